# Copyright 2026 tinyvla_ros contributors
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""Small datasets and base models that several files of tests use."""

from __future__ import annotations

import shutil

import pytest


@pytest.fixture(scope="session")
def images(tmp_path_factory):
    """Three episodes with two cameras stored as images; tests must not change it."""
    from harness import datasets
    return datasets.write_dataset(tmp_path_factory.mktemp("images") / "demos")


@pytest.fixture(scope="session")
def videos(images, tmp_path_factory):
    """The same with the front camera stored as video; tests must not change it."""
    from harness import datasets
    root = shutil.copytree(images, tmp_path_factory.mktemp("videos") / "demos")
    return datasets.to_video(root, "front", "libx264")


@pytest.fixture
def root(images, tmp_path):
    """A copy of the image dataset that a test may break."""
    return shutil.copytree(images, tmp_path / "demos")


@pytest.fixture
def video_root(videos, tmp_path):
    """A copy of the video dataset that a test may break."""
    return shutil.copytree(videos, tmp_path / "video" / "demos")


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """A dataset to train on for a few steps; tests must not change it."""
    from harness.small_training import write_dataset
    return write_dataset(tmp_path_factory.mktemp("training") / "data")


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """A function that returns the directory of a small base model of a family."""
    from harness.small_models import write_model
    root, written = tmp_path_factory.mktemp("models"), {}

    def model(family: str) -> str:
        if family not in written:
            written[family] = str(write_model(root / family, family))
        return written[family]
    return model

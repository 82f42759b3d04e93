# SPDX-License-Identifier: Apache-2.0
"""A small LeRobotDataset with images and one with videos, for whoever reads or checks datasets."""

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

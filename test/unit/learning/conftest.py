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

"""Demonstrations of MetaWorld that several files of tests use."""

from __future__ import annotations

import pytest

from harness.metaworld_training import TASKS, recipe
from training.data.collect import collect
from training.data.dataset import load_demonstrations


@pytest.fixture(scope="session")
def dataset(tmp_path_factory):
    pytest.importorskip("metaworld", reason="collects with the simulator")
    root = tmp_path_factory.mktemp("data") / "demos"
    collect(TASKS, 2, 0, root, workers=1, size=48)
    return root


@pytest.fixture(scope="session")
def demonstrations(dataset):
    r = recipe()
    return load_demonstrations(dataset, r.cameras, r.state, r.action)

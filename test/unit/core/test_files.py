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

"""Output directories are checked first and made when there is something to write."""

from __future__ import annotations

import pytest

from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.files import check_new_directory, check_output_directory
from training.data.lerobot.writer import LeRobotDatasetWriter

CHECKS = [check_output_directory, check_new_directory]


@pytest.mark.parametrize("check", [*CHECKS, lambda p: LeRobotDatasetWriter(p, 10, {}, "toy")])
def test_a_check_makes_nothing(check, tmp_path):
    check(tmp_path / "results" / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("check", CHECKS)
def test_an_empty_directory_is_taken(check, tmp_path):
    check(tmp_path)


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("below", ["", "out", "a/b/out"])
def test_what_cannot_be_made_is_named_with_what_is_in_the_way(check, below, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file") as caught:
        check(tmp_path / "file" / below)
    assert str(tmp_path / "file" / below) in str(caught.value)

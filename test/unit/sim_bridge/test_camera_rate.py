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

"""Rates at which the simulated cameras can run."""

from __future__ import annotations

import pytest

from sim_bridge.episodes import RunParameters
from sim_bridge.simulated_robot import SimulatedRobotConfig
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.options import validate


def parameters(**values) -> RunParameters:
    return validate(RunParameters, values, lambda name: name)


@pytest.mark.parametrize(("rate", "steps"), [(0.0, 4), (80.0, 1), (40.0, 2), (26.667, 3),
                                             (20.0, 4), (5.0, 16)])
def test_an_image_comes_with_every_so_many_control_steps(rate, steps):
    checked = parameters(mode="realtime", camera_rate=rate)
    assert SimulatedRobotConfig.load().steps_between_images(checked.camera_rate) == steps


@pytest.mark.parametrize(("values", "words"), [
    ({"mode": "realtime", "camera_rate": 30.0}, ["30 Hz", "80 divided by", "40"]),
    ({"mode": "realtime", "camera_rate": 79.0}, ["79 Hz"]),
    ({"mode": "realtime", "camera_rate": 100.0}, ["camera_rate", "100", "80"]),
    ({"mode": "realtime", "camera_rate": -1.0}, ["camera_rate", "-1"]),
    ({"mode": "lockstep", "camera_rate": 20.0}, ["20 Hz", "lock-step", "realtime"]),
])
def test_other_rates_are_one_sentence(values, words):
    with pytest.raises(InputError) as err:
        parameters(**values)
    assert all(word in str(err.value) for word in words), err.value

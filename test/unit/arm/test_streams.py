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

"""Whether an input is alive: its age, its rate, and frozen cameras."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyvla_ros.arm.contract_inputs import CameraStream, JointStream
from tinyvla_ros.arm.observation.liveness import ARRIVALS, StreamHealth

IMAGE = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
OTHER = IMAGE + 1


def camera(**changes) -> StreamHealth:
    return StreamHealth("/front", CameraStream(**{"topic": "/front", "timeout": 0.2} | changes))


def arrive(health: StreamHealth, now_s: float, image: np.ndarray | None = None) -> None:
    """Hand in a message that was stamped when it arrived."""
    same = image is not None and health.is_same_image(image)
    health.arrived(now_s, round(now_s * 1e9) + 1, image, same)


def test_it_waits_for_the_first_message():
    health = camera()
    assert health.problem(100.0) == "waiting for /front"
    assert health.age(100.0) == np.inf
    arrive(health, 100.0, IMAGE)
    assert health.problem(100.0) == ""


def test_a_stream_that_ends_is_stale_after_its_timeout():
    health = StreamHealth("/joint_states", JointStream(timeout=0.05))
    arrive(health, 10.0)
    assert health.problem(10.0499) == ""
    assert health.age(10.03) == pytest.approx(0.03)
    problem = health.problem(10.0501)
    assert "/joint_states is stale" in problem and "0.05 s" in problem
    arrive(health, 11.0)
    assert health.problem(11.0) == "", "it came back"


def test_a_frozen_camera_is_noticed_and_recovers():
    health = camera(frozen_after=3)
    for i, problem in enumerate([False, False, True, True]):
        arrive(health, i / 10, IMAGE.copy())
        assert bool(health.problem(i / 10)) is problem
    assert "/front is frozen: 3 identical images" in health.problem(0.3)
    arrive(health, 0.4, OTHER)
    assert health.problem(0.4) == ""
    arrive(health, 0.5, IMAGE)
    arrive(health, 0.6, OTHER)
    arrive(health, 0.7, IMAGE)
    assert health.problem(0.7) == "", "in a row, not in all"


def test_one_pixel_of_noise_is_a_living_camera():
    health = camera(frozen_after=2)
    for i in range(10):
        image = IMAGE.copy()
        image[0, 0, 0] = i
        arrive(health, i / 10, image)
        assert health.problem(i / 10) == ""


def test_a_simulated_camera_may_repeat_itself():
    health = camera(frozen_after=None)
    for i in range(1000):
        arrive(health, i / 100, IMAGE)
    assert health.problem(10.0) == ""


def test_a_camera_that_changes_size_is_not_frozen():
    health = camera(frozen_after=2)
    arrive(health, 0.0, np.zeros((2, 2, 3), np.uint8))
    arrive(health, 0.1, np.zeros((4, 4, 3), np.uint8))
    assert health.problem(0.1) == ""


def test_stale_is_reported_before_frozen():
    health = camera(frozen_after=2)
    arrive(health, 0.0, IMAGE)
    arrive(health, 0.1, IMAGE)
    assert "frozen" in health.problem(0.1)
    assert "stale" in health.problem(1.0)


def test_a_driver_that_repeats_its_last_message_is_dead():
    health = camera()
    for i in range(10):
        health.arrived(i / 10, stamp_ns=1, image=IMAGE)
    assert "stale" in health.problem(1.0)
    assert health.age(1.0) == 1.0
    health.arrived(1.1, stamp_ns=2, image=IMAGE)
    assert health.problem(1.1) == ""


def test_reset_forgets_everything():
    health = camera(frozen_after=2)
    arrive(health, 0.0, IMAGE)
    arrive(health, 0.1, IMAGE)
    health.reset()
    assert health.problem(0.1) == "waiting for /front"
    assert health.rate() == 0.0
    arrive(health, 0.2, IMAGE)
    assert health.problem(0.2) == "", "the image before does not count"


@given(st.floats(0.5, 1000.0), st.integers(2, 200), st.floats(0.0, 1e6))
def test_the_rate_is_messages_per_second(rate, messages, start):
    health = camera()
    for i in range(messages):
        arrive(health, start + i / rate)
    assert health.rate() == pytest.approx(rate, rel=1e-3)


def test_the_rate_is_that_of_late():
    health = camera()
    assert health.rate() == 0.0
    arrive(health, 0.0)
    assert health.rate() == 0.0, "one message has no rate"
    health.arrived(0.0, stamp_ns=2)
    assert health.rate() == 0.0, "nor have two at the same time"
    for i in range(2 * ARRIVALS):
        arrive(health, 100.0 + i / 10)
    assert health.rate() == pytest.approx(10.0)

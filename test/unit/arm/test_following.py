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

"""Whether the arm follows its commands: named if not, silent for an arm that lags."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.arm.following import Following
from tinyvla_ros.arm.plan import Plan
from tinyvla_ros.arm.safety import Motion
from tinyvla_ros.core.configuration import parse

T, MS = 1_000_000_000_000, 1_000_000
TURN = 2 * math.pi
JOINT = {"unit": "rad", "velocity": 2.0, "jump": 0.2}


def contract(output: str = "joint_trajectory", **wrist) -> RobotContract:
    return parse(RobotContract, {
        "name": "arm", "cameras": {"front": {"topic": "front"}}, "joint_states": {},
        "actions": {"elbow": JOINT | {"low": -2.0, "high": 2.0, "state": "elbow"},
                    "wrist": JOINT | {"low": -2.0, "high": 2.0, "state": "wrist"} | wrist},
        "outputs": [{"type": output, "topic": "arm", "channels": ["elbow", "wrist"]}]}, "arm.yaml")


def continuous() -> RobotContract:
    robot = contract().model_dump(exclude_unset=True)
    robot["actions"]["wrist"] = JOINT | {"continuous": True, "state": "wrist"}
    return parse(RobotContract, robot, "arm.yaml")


def plan(way, seconds: float = 20.0, start_ns: int = T) -> Plan:
    """Return a plan whose wrist goes ``way(seconds)``; the elbow stands still."""
    times = np.arange(1, round(seconds / 0.02) + 1) * 0.02
    rows = np.stack([np.zeros_like(times), [way(t) for t in times]], 1)
    return Plan(start_ns, 20 * MS, rows, ("elbow", "wrist"), Motion.at_rest([0.0, way(0.0)]))


def run(following: Following, plan: Plan, wrist, begin: float = 0.0, end: float = 5.0,
        noise: float = 1e-3) -> list[str]:
    """Return who was stuck at each control period, with a wrist measured at ``wrist(seconds)``."""
    rng, stuck = np.random.default_rng(0), []
    for t in np.arange(begin, end, 0.01):
        measured = {"elbow": 0.0, "wrist": wrist(t)}
        measured = {n: v + noise * rng.standard_normal() for n, v in measured.items()}
        following.add(T + round(t * 1e9), plan, measured)
        stuck.append(following.stuck)
        assert bool(following.stuck) == bool(following.problem)
    return stuck


def swing(t: float) -> float:
    return 0.3 * math.sin(2.0 * t)


def delayed(way, lag: float):
    return lambda t: way(max(t - lag, 0.0))


@pytest.mark.parametrize("output", ["joint_trajectory", "positions"])
def test_an_arm_that_stands_still_is_named_within_a_second_and_a_half(output):
    following = Following(contract(output), ("elbow", "wrist"))
    stuck = run(following, plan(swing), lambda t: 0.0)
    assert "wrist" in stuck[:150] and set(stuck[150:]) == {"wrist"} and "elbow" not in stuck
    assert following.problem.startswith("wrist was commanded 0.") and "rad" in following.problem
    assert "ros2 control list_controllers" in following.problem


@pytest.mark.parametrize("lag", [0.0, 0.1, 0.3, 0.45])
@pytest.mark.parametrize("speed", [0.5, 1.0, 2.0, 4.0])
def test_an_arm_that_lags_is_not(lag, speed):
    def way(t: float) -> float:
        return 0.3 * math.sin(speed * t)

    assert set(run(Following(contract(), ("elbow", "wrist")), plan(way),
                   delayed(way, lag))) == {""}


def test_a_slow_arm_behind_a_first_order_filter_is_not():
    position, filtered = 0.0, []
    for t in np.arange(0.0, 5.0, 0.01):
        position += (swing(t) - position) * 0.01 / 0.3
        filtered.append(position)
    assert set(run(Following(contract(), ("elbow", "wrist")), plan(swing),
                   lambda t: filtered[round(t * 100)])) == {""}


@pytest.mark.parametrize("way", [lambda t: 0.03 * math.sin(2 * t), lambda t: 0.02 * t,
                                 lambda t: 0.5])
def test_small_and_slow_commands_say_nothing(way):
    following = Following(contract(), ("elbow", "wrist"))
    assert set(run(following, plan(way), lambda t: way(0.0), end=4.0)) == {""}


@pytest.mark.parametrize("driver", [lambda v: v, lambda v: math.remainder(v, TURN)])
def test_a_joint_that_turns_without_end(driver):
    def way(t: float) -> float:
        return 3.0 + 0.3 * t  # passes pi

    robot = continuous()
    turning = Following(robot, ("elbow", "wrist"))
    assert set(run(turning, plan(way), lambda t: driver(way(max(t - 0.3, 0.0))))) == {""}
    # At pi the noise of a joint that stands still wraps, and is no motion.
    stuck = run(Following(robot, ("elbow", "wrist")), plan(way),
                lambda t: driver(math.pi + 1e-4 * math.sin(90 * t)))
    assert set(stuck[160:]) == {"wrist"}


def test_an_arm_that_follows_again_is_named_no_more():
    following = Following(contract(), ("elbow", "wrist"))
    path = plan(swing)
    assert run(following, path, lambda t: 0.0, end=3.0)[-1] == "wrist"
    stuck = run(following, path, swing, begin=3.0, end=6.0)
    assert set(stuck[20:]) == {""}


def test_plans_that_begin_where_the_arm_is_add_up():
    """Commands that depart further than ``jump`` end in a hold, and the next plan begins anew."""
    following = Following(contract(), ("elbow", "wrist"))
    for piece in range(10):
        begin = piece * 0.4
        path = plan(lambda t: 0.3 * t, 0.3, T + round(begin * 1e9))
        stuck = run(following, path, lambda t: 0.0, begin, begin + 0.4)
    assert set(stuck) == {"wrist"}
    # Moved by hand between two plans: nothing was commanded on the way.
    following.reset()
    run(following, plan(lambda t: 0.0, 0.3), lambda t: 0.0, end=0.4)
    later = plan(lambda t: 1.0, 3.0, T + round(0.4e9))
    assert set(run(following, later, lambda t: 1.0, 0.4, 3.0)) == {""}


def test_reset_and_channels_that_nothing_measures():
    following = Following(contract(), ("elbow", "wrist"))
    run(following, plan(swing), lambda t: 0.0)
    following.reset()
    assert following.stuck == following.problem == ""
    unmeasured = contract()
    unmeasured = unmeasured.model_copy(update={"actions": {
        n: c.model_copy(update={"state": None}) for n, c in unmeasured.actions.items()}})
    assert set(run(Following(unmeasured, ("elbow", "wrist")), plan(swing),
                   lambda t: 0.0)) == {""}

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

"""What the dry-run arm does with commands: the rules of the controllers it stands for."""

from __future__ import annotations

import numpy as np
import pytest

from harness.commands import MS, NOW, array, point, trajectory, twist
from tinyvla_ros.dry_run.followers import PositionsFollower, TwistFollower
from tinyvla_ros.dry_run.trajectory import Refused, TrajectoryFollower


@pytest.fixture
def follower():
    return TrajectoryFollower(("a", "b"), (0.0, 1.0))


def at(follower, ms: float) -> list[float]:
    return follower.sample(NOW + round(ms * MS))[0].round(12).tolist()


# ---- the rules of joint_trajectory_controller ---------------------------------------------


def test_it_stands_where_it_started(follower):
    assert at(follower, 0) == [0.0, 1.0]
    assert at(follower, 1e6) == [0.0, 1.0]


def test_a_zero_stamp_starts_now_from_the_current_state_and_the_last_point_is_held(follower):
    follower.accept(trajectory(point(100, [1.0, 2.0]), point(300, [3.0, 0.0])), NOW)
    assert at(follower, 0) == [0.0, 1.0]
    assert at(follower, 25) == [0.25, 1.25]
    assert at(follower, 100) == [1.0, 2.0]
    assert at(follower, 200) == [2.0, 1.0]
    assert at(follower, 300) == at(follower, 5000) == [3.0, 0.0]
    assert follower.sample(NOW + 200 * MS)[1] == pytest.approx([10.0, -10.0])
    assert follower.sample(NOW + 300 * MS)[1].tolist() == [0.0, 0.0]


def test_a_future_stamp_is_reached_in_time_beginning_at_once(follower):
    follower.accept(trajectory(point(100, [1.0, 2.0]), at_ns=NOW + 100 * MS), NOW)
    assert at(follower, 100) == [0.5, 1.5]
    assert at(follower, 200) == [1.0, 2.0]


def test_points_whose_time_has_passed_are_skipped(follower):
    follower.accept(trajectory(point(0, [4.0, 4.0]), point(100, [5.0, 5.0]), at_ns=NOW - 50 * MS),
                    NOW)
    assert at(follower, 0) == [4.5, 4.5], "a controller jumps there, too"


def test_a_trajectory_that_ends_now_is_taken_and_one_in_the_past_is_not(follower):
    follower.accept(trajectory(point(100, [1.0, 2.0]), at_ns=NOW - 100 * MS), NOW)
    assert at(follower, 0) == [1.0, 2.0]
    late = trajectory(point(100, [9.0, 9.0]), at_ns=NOW - 101 * MS)
    with pytest.raises(Refused, match=r"ended 0\.001 s ago") as err:
        follower.accept(late, NOW)
    assert err.value.cause == "in the past"
    assert at(follower, 0) == [1.0, 2.0]


def test_a_new_trajectory_replaces_the_old_one_at_once(follower):
    follower.accept(trajectory(point(100, [1.0, 1.0]), point(1000, [100.0, 1.0])), NOW)
    follower.accept(trajectory(point(50, [0.0, 1.0])), NOW + 50 * MS)
    assert at(follower, 50) == [0.5, 1.0]
    assert at(follower, 75) == [0.25, 1.0]
    assert at(follower, 100) == at(follower, 1000) == [0.0, 1.0]


def test_joints_may_come_in_any_order(follower):
    follower.accept(trajectory(point(100, [2.0, 1.0], [0.0, 0.0]), names=("b", "a")), NOW)
    assert at(follower, 100) == [1.0, 2.0]


def test_velocities_make_it_a_cubic(follower):
    """The cubic is determined by both ends, so a cubic motion is followed exactly."""
    def motion(t):
        return 2 * t ** 3 - 3 * t ** 2 + t

    def slope(t):
        return 6 * t ** 2 - 6 * t + 1

    points = [point(round(1000 * t), [motion(t), 1.0], [slope(t), 0.0]) for t in (0.0, 0.4, 0.7)]
    points.append(point(1000, [motion(1.0), 1.0], [0.0, 0.0]))
    follower.accept(trajectory(*points), NOW)
    for t in np.linspace(0.0, 0.69, 50):
        position, velocity = follower.sample(NOW + round(t * 1e9))
        assert position == pytest.approx([motion(t), 1.0], abs=1e-8)
        assert velocity == pytest.approx([slope(t), 0.0], abs=1e-7)


def test_replacing_goes_on_with_the_current_velocity(follower):
    moving = trajectory(point(100, [1.0, 1.0], [10.0, 0.0]), point(200, [1.0, 1.0], [0.0, 0.0]))
    follower.accept(moving, NOW)
    before = follower.sample(NOW + 99 * MS)
    follower.accept(trajectory(point(100, [2.0, 1.0], [0.0, 0.0])), NOW + 99 * MS)
    after = follower.sample(NOW + 99 * MS)
    assert after[0] == pytest.approx(before[0])
    assert after[1] == pytest.approx(before[1])


def test_a_segment_is_linear_unless_both_ends_have_velocities(follower):
    follower.accept(trajectory(point(100, [1.0, 1.0]), point(200, [2.0, 1.0], [0.0, 0.0])), NOW)
    assert at(follower, 150) == [1.5, 1.0]


def test_one_hold_point_stops_it(follower):
    follower.accept(trajectory(point(1000, [10.0, 1.0])), NOW)
    follower.accept(trajectory(point(50, [1.0, 1.0], [0.0, 0.0])), NOW + 100 * MS)
    assert at(follower, 150) == at(follower, 9000) == [1.0, 1.0]


def test_time_that_goes_back_does_not_move_it_elsewhere(follower):
    follower.accept(trajectory(point(100, [1.0, 2.0])), NOW)
    assert at(follower, -1e6) == [0.0, 1.0]


@pytest.mark.parametrize(("message", "cause"), [
    (trajectory(point(100, [1.0]), names=("a",)), "wrong joints"),
    (trajectory(point(100, [1.0, 1.0]), names=()), "wrong joints"),
    (trajectory(point(100, [1.0, 1.0]), names=("a", "c")), "wrong joints"),
    (trajectory(point(100, [1.0, 1.0]), names=("a", "a")), "wrong joints"),
    (trajectory(point(100, [1.0] * 3), names=("a", "b", "c")), "wrong joints"),
    (trajectory(), "no points"),
    (trajectory(point(100, [1.0, 1.0]), point(100, [2.0, 2.0])), "times not increasing"),
    (trajectory(point(100, [1.0, 1.0]), point(50, [2.0, 2.0])), "times not increasing"),
    (trajectory(point(100, [1.0])), "wrong length"),
    (trajectory(point(100, [])), "wrong length"),
    (trajectory(point(100, [1.0, 1.0], [0.0])), "wrong length"),
    (trajectory(point(100, [1.0, 1.0], accelerations=[0.0])), "wrong length"),
    (trajectory(point(100, [1.0, 1.0], effort=[0.0, 0.0])), "effort"),
    (trajectory(point(100, [1.0, float("nan")])), "not finite"),
    (trajectory(point(100, [1.0, 1.0], [0.0, float("inf")])), "not finite"),
    (trajectory(point(100, [1.0, 1.0], [0.0, 0.1])), "moving at the end"),
    (trajectory(point(100, [1.0, 1.0]), at_ns=1), "in the past"),
])
def test_what_is_refused_changes_nothing(follower, message, cause):
    follower.accept(trajectory(point(100, [1.0, 2.0])), NOW)
    with pytest.raises(Refused) as err:
        follower.accept(message, NOW + 50 * MS)
    assert err.value.cause == cause
    assert at(follower, 75) == [0.75, 1.75]


# ---- positions and twists -----------------------------------------------------------------


def test_positions_are_reached_within_a_period():
    follower = PositionsFollower(("a", "b"), (0.0, 1.0), 20 * MS)
    follower.accept(array(1.0, 1.0), NOW)
    assert at(follower, 10) == [0.5, 1.0]
    follower.accept(array(1.0, 1.0), NOW + 10 * MS)
    assert at(follower, 20) == at(follower, 900) == [1.0, 1.0], "repeating it delays nothing"


@pytest.mark.parametrize(("message", "cause"), [
    (array(1.0), "wrong length"), (array(1.0, float("nan")), "not finite")])
def test_bad_positions_are_refused(message, cause):
    follower = PositionsFollower(("a", "b"), (0.0, 1.0), 20 * MS)
    with pytest.raises(Refused) as err:
        follower.accept(message, NOW)
    assert err.value.cause == cause


def test_a_twist_moves_the_hand_until_it_times_out():
    follower = TwistFollower(("linear.x", "angular.z"), (0.4, 0.0, 0.3), NOW)
    follower.accept(twist(NOW, linear_x=0.5, angular_z=1.0), NOW)
    assert follower.sample(NOW + 40 * MS)[0].tolist() == [0.5, 1.0]
    assert follower.position == pytest.approx([0.42, 0.0, 0.3])
    follower.accept(twist(NOW + 40 * MS, linear_x=-0.5), NOW + 40 * MS)
    assert follower.sample(NOW + 9000 * MS)[0].tolist() == [0.0, 0.0]
    assert follower.position == pytest.approx([0.37, 0.0, 0.3]), "0.1 s after its stamp it stops"
    assert follower.orientation == pytest.approx([0.0, 0.0, np.sin(0.02), np.cos(0.02)])


@pytest.mark.parametrize(("message", "cause"), [
    (twist(0), "stale"), (twist(NOW - 101 * MS), "stale"),
    (twist(NOW, angular_x=float("nan")), "not finite")])
def test_bad_twists_are_refused(message, cause):
    follower = TwistFollower(("linear.x",), (0.4, 0.0, 0.3), NOW)
    with pytest.raises(Refused) as err:
        follower.accept(message, NOW)
    assert err.value.cause == cause

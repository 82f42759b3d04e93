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

"""The states of a policy on an arm, and what leads from one to the next."""

from __future__ import annotations

import numpy as np
import pytest

from harness.supervised import (
    ACCELERATION,
    CHANNELS,
    DT,
    MS,
    ROWS,
    STILL,
    T,
    accept,
    assert_comes_to_rest,
    at,
    chunk,
    gentle,
    make,
    moves,
    running,
)
from tinyvla_ros.arm.plan import Plan
from tinyvla_ros.core.types import ActionChunk

# ---- enabling -------------------------------------------------------------------------------


def test_nothing_moves_before_it_is_activated():
    supervisor = make(active=False)
    assert supervisor.state == "inactive"
    assert not supervisor.may_infer
    assert accept(supervisor, chunk(), 0) is None
    supervisor.enable(True, T)
    assert supervisor.state == "inactive", "the switch alone activates nothing"
    assert accept(supervisor, chunk(), 0) is None


def test_it_starts_disabled_and_moves_when_enabled():
    supervisor = make(enabled=False)
    assert supervisor.state == "disabled"
    assert supervisor.reason == "disabled by the operator"
    assert not supervisor.may_infer
    assert accept(supervisor, chunk(), 0) is None
    assert supervisor.enable(True, T) is None
    assert (supervisor.state, supervisor.may_infer) == ("waiting", True)
    plan = accept(supervisor, chunk(), 0)
    assert plan.chunk is not None
    assert plan.instruction == "do it"
    assert (supervisor.state, supervisor.reason, supervisor.plans) == ("running", "", 1)


def test_disabling_brings_the_arm_to_rest_at_once():
    supervisor = running()
    plan = supervisor.enable(False, at(100))
    assert plan.start_ns == at(100)
    assert moves(plan)
    assert_comes_to_rest(plan)
    assert supervisor.state == "disabled"
    assert accept(supervisor, chunk(100), 120) is None
    assert supervisor.enable(False, at(140)) is None, "one plan is enough"
    assert supervisor.holds == {"disabled by the operator": 1}


def test_enabling_what_is_enabled_changes_nothing():
    """Above all not that the arm is brought to rest when something fails."""
    supervisor = running()
    assert supervisor.enable(True, at(40)) is None
    assert supervisor.state == "running"
    assert_comes_to_rest(supervisor.tick(at(60), "front is stale"))


def test_an_arm_moved_by_others_while_disabled_goes_on_from_where_it_is():
    supervisor = running()
    supervisor.enable(False, at(100))
    supervisor.enable(True, at(5000))
    plan = accept(supervisor, chunk(5000, joint=1.5), 5000, {"joint": 1.5})
    assert plan.chunk is not None
    assert np.allclose(plan.commands[:, 0], 1.5), "not from where it was commanded last"


# ---- waiting, problems and recovery ---------------------------------------------------------


def test_the_reason_names_what_is_missing():
    supervisor = make()
    assert supervisor.tick(at(0), "waiting for /front") is None
    assert (supervisor.state, supervisor.reason) == ("waiting", "waiting for /front")
    assert supervisor.tick(at(20), "") is None
    assert (supervisor.state, supervisor.reason) == ("waiting", "waiting for the first chunk")
    assert not supervisor.holds


def test_a_problem_gives_exactly_one_plan_that_brings_the_arm_to_rest():
    supervisor = running()
    assert supervisor.tick(at(90), "") is None
    plan = supervisor.tick(at(100), "front is stale: nothing for more than 0.2 s")
    assert plan.start_ns == at(100)
    assert moves(plan)
    assert_comes_to_rest(plan)
    assert supervisor.plan is plan
    assert supervisor.state == "holding"
    for i in range(1, 50):
        assert supervisor.tick(at(100 + 20 * i), "front is stale: nothing") is None
    assert supervisor.holds == {"front is stale": 1}
    assert supervisor.plans == 1, "a hold is no plan of the policy's"


def test_a_hold_continues_the_last_commands():
    supervisor = running()
    before = supervisor.plan.motion(at(111))
    plan = supervisor.tick(at(111), "joint_states is stale")
    assert np.array_equal(plan.begin.value, before.value)
    assert np.array_equal(plan.begin.step, before.step)


def test_the_next_good_chunk_ends_a_hold():
    supervisor = running()
    rest = supervisor.tick(at(100), "front is stale")
    where = float(rest.commands[-1, 0])
    plan = accept(supervisor, chunk(600, joint=where), 620, {"joint": where})
    assert plan.chunk is not None
    assert (supervisor.state, supervisor.reason) == ("running", "")
    assert not supervisor.seams, "there was nothing to blend with"


def test_a_chunk_observed_before_a_hold_is_refused():
    supervisor = running()
    supervisor.tick(at(100), "front is frozen")
    assert accept(supervisor, chunk(99.9, joint=0.1), 110) is None
    assert supervisor.state == "holding"
    assert accept(supervisor, chunk(100, joint=gentle(begin=0.05)), 110) is not None
    assert supervisor.state == "running"


def test_a_chunk_observed_before_a_reset_or_before_disabling_is_refused():
    supervisor = running()
    supervisor.reset(at(100))
    assert accept(supervisor, chunk(80, joint=0.1), 110) is None
    supervisor = running()
    supervisor.enable(False, at(100))
    supervisor.enable(True, at(105))
    assert accept(supervisor, chunk(80, joint=0.1), 110) is None
    assert accept(supervisor, chunk(105, joint=0.1), 110) is not None


def test_a_problem_while_waiting_moves_nothing():
    supervisor = make()
    for i in range(3):
        assert supervisor.tick(at(20 * i), "joint_states is stale") is None
    assert supervisor.plan is None


# ---- stop and reset -------------------------------------------------------------------------


def test_a_stop_stays_until_reset():
    supervisor = running()
    assert_comes_to_rest(supervisor.stop("stopped by the operator", at(100)))
    for act in (lambda: supervisor.tick(at(120), ""), lambda: supervisor.tick(at(130), "stale"),
                lambda: accept(supervisor, chunk(140), 140),
                lambda: supervisor.enable(False, at(150)),
                lambda: supervisor.enable(True, at(160)),
                lambda: accept(supervisor, chunk(170), 170)):
        assert act() is None
        assert (supervisor.state, supervisor.reason) == ("stopped", "stopped by the operator")
        assert not supervisor.may_infer
    assert supervisor.reset(at(900)) is None
    assert supervisor.state == "disabled", "to move again is a decision of its own"
    supervisor.enable(True, at(900))
    assert accept(supervisor, chunk(900, joint=0.1), 900) is not None


def test_a_stop_outlives_the_lifecycle():
    supervisor = running()
    supervisor.stop("stopped by the operator", at(100))
    supervisor.deactivate(at(200))
    assert supervisor.state == "inactive"
    supervisor.activate(enabled=True)
    assert (supervisor.state, supervisor.reason) == ("stopped", "stopped by the operator")
    assert accept(supervisor, chunk(300), 300) is None
    supervisor.reset(at(400))
    assert supervisor.state == "disabled"


def test_a_stop_while_inactive_counts():
    supervisor = make(active=False)
    assert supervisor.stop("stopped by the operator", at(0)) is None
    supervisor.activate(enabled=True)
    assert supervisor.state == "stopped"


def test_a_stop_while_holding_leaves_the_brakes_alone():
    supervisor = running()
    rest = supervisor.tick(at(100), "front is stale")
    assert supervisor.stop("stopped by the operator", at(110)) is None
    assert supervisor.plan is rest


def test_reset_leaves_a_disabled_arm_disabled():
    supervisor = make(enabled=False)
    supervisor.stop("stopped by the operator", at(0))
    supervisor.reset(at(10))
    assert supervisor.state == "disabled"


def test_reset_while_running_brings_the_arm_to_rest():
    supervisor = running()
    assert_comes_to_rest(supervisor.reset(at(100)))
    assert supervisor.state == "waiting"


# ---- the lifecycle and jumps of time --------------------------------------------------------


def test_deactivating_leaves_the_arm_at_a_hold_point():
    supervisor = running()
    assert_comes_to_rest(supervisor.deactivate(at(100)))
    assert (supervisor.state, supervisor.reason) == ("inactive", "deactivated")
    assert accept(supervisor, chunk(110), 110) is None
    assert supervisor.tick(at(120), "front is stale") is None
    assert supervisor.state == "inactive"
    assert supervisor.deactivate(at(130)) is None
    assert supervisor.reset(at(140)) is None
    assert supervisor.state == "inactive"


def test_activating_again_starts_from_nothing():
    supervisor = running()
    supervisor.deactivate(at(100))
    supervisor.activate(enabled=False)
    assert supervisor.state == "disabled"
    assert supervisor.plan is None


def test_time_that_jumped_back_is_a_new_beginning():
    supervisor = running()
    supervisor.forget()
    assert supervisor.state == "waiting"
    assert supervisor.plan is None
    early = ActionChunk(5 * MS, CHANNELS, chunk().actions, DT)
    assert supervisor.accept(early, "do it", STILL, 5 * MS) is not None


def test_an_observation_ahead_of_the_clock_starts_at_its_own_time():
    supervisor = make()
    plan = accept(supervisor, chunk(12.5), 0)
    assert plan.start_ns == at(12.5)
    assert np.allclose(plan.commands[:ROWS, 1], 0.04)


def assert_continues(plan: Plan, before: Plan, at_ms: float) -> None:
    """A plan goes on from where the one before would be, within the acceleration."""
    old, new = before.motion(at(at_ms)), plan.motion(at(at_ms))
    assert np.abs(old.value - new.value)[:2].max() < 1e-9
    assert np.abs(old.step - new.step)[0] < 1e-9
    steps = np.diff(np.concatenate([[new.value[0] - new.step[0], new.value[0]],
                                    plan.commands[:, 0]]), n=2)
    assert np.abs(steps).max() <= ACCELERATION * DT * DT * (1 + 1e-6)


@pytest.mark.parametrize("join", ["replace", "ensemble", "rtc"])
def test_a_person_and_the_policy_go_on_from_what_the_other_commanded(join):
    supervisor = running(join=join)
    for at_ms in (40, 60, 80):
        assert accept(supervisor, chunk(at_ms, joint=gentle(begin=0.01)), at_ms)
    policy = supervisor.plan
    # The person wants to go back, at once.
    back = chunk(90, joint=-0.2 - gentle())
    now_ns = at(100)
    supervisor.tick(now_ns, "")
    measured = {"joint": float(policy.motion(now_ns).value[0])}
    person = supervisor.accept(back, "", measured, now_ns, is_blended=False)
    assert_continues(person, policy, 100)
    assert person.commands[:, 0].min() < -0.1
    again = accept(supervisor, chunk(190, joint=gentle(begin=-0.05)), 200)
    assert_continues(again, person, 200)
    assert again.chunk.actions[-1, 0] > person.motion(at(200)).value[0]


def test_a_pace_is_the_policys_alone():
    supervisor = running()
    supervisor.pacing.pace = 0.5
    rows = chunk(20, turn=0.4)
    supervisor.tick(at(20), "")
    plan = supervisor.accept(rows, "", STILL, at(20), is_blended=False)
    assert plan.chunk.actions[-1, 2] == pytest.approx(0.4)

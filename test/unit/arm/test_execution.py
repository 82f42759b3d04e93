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

"""What of a chunk is executed, and what a plan is made of."""

from __future__ import annotations

import math
import sys
import threading
from collections import deque

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.commands import message
from harness.controller import Controller
from harness.supervised import (
    ACCELERATION,
    DT,
    DT_MS,
    MS,
    PATIENT,
    ROWS,
    STILL,
    VELOCITY,
    T,
    accept,
    assert_comes_to_rest,
    at,
    chunk,
    gentle,
    make,
    running,
)
from tinyvla_ros.arm.blending import Seam, seam_summary
from tinyvla_ros.arm.plan import Plan

# Rows are float32 and times whole nanoseconds, which is below a millionth; another curve than the
# plan's would be off by thousandths.
MARGIN = 1e-6

# ---- what of a chunk is executed ------------------------------------------------------------


def test_rows_whose_time_has_passed_are_skipped():
    supervisor = make()
    gripper = 0.001 * np.arange(ROWS)
    plan = accept(supervisor, chunk(0, gripper=gripper), 60)
    assert plan.start_ns == at(60)
    assert np.allclose(plan.commands[:ROWS - 3, 1], gripper[3:])
    assert plan.chunk.stamp_ns == at(0), "the stamp is the observation's"
    assert len(plan.chunk.actions) == ROWS


def test_a_chunk_whose_rows_are_under_way_is_read_between_them():
    """Stamps are not multiples of the period, and a part of a row is no time to reach it in."""
    supervisor = make()
    line = 0.001 * np.arange(1, ROWS + 1)  # of the gripper, at the end of each row
    plan = accept(supervisor, chunk(3, gripper=line), 48)
    assert plan.start_ns == at(48)
    reached_ms = 48 - 3 + DT_MS * np.arange(1, ROWS - 2)
    assert np.allclose(plan.commands[:ROWS - 3, 1], 0.001 * reached_ms / DT_MS)
    assert plan.chunk.stamp_ns == at(3), "the stamp is the observation's"
    assert np.allclose(plan.chunk.actions[3:, 1], line[3:ROWS - 1])


def test_plans_of_all_phases_go_on_where_the_one_before_would_be():
    supervisor = running()
    for ms in (33, 41.7, 41.7, 60, 61.234567):
        before = supervisor.plan.motion(at(ms))
        plan = accept(supervisor, chunk(ms - 7, joint=gentle(begin=0.01)), ms)
        assert plan.start_ns == at(ms)
        assert np.array_equal(plan.begin.value, before.value)
        assert np.array_equal(plan.begin.step, before.step)
        assert_plan_within_limits(plan)


def test_plans_for_a_controller_depart_when_it_has_them():
    """The curve departs half a period before the first row begins."""
    supervisor = running(lead=0.03)
    assert supervisor.plan.departs_ns == at(30)
    assert supervisor.plan.start_ns == at(40)
    before = supervisor.plan
    plan = accept(supervisor, chunk(40, joint=gentle(begin=0.01)), 60)
    assert plan.departs_ns == at(90)
    assert np.array_equal(plan.begin.value, before.motion(at(100)).value)
    for ms in (60, 71, 99):
        assert np.array_equal(plan.motion(at(ms)).value, before.motion(at(ms)).value)
    rest = supervisor.tick(at(65), "front is stale")
    assert rest.departs_ns == at(95)
    assert np.array_equal(rest.begin.value, plan.motion(at(105)).value)
    assert np.array_equal(rest.motion(at(70)).value, before.motion(at(70)).value)
    assert_comes_to_rest(rest)


def test_a_chunk_within_all_limits_is_executed_bit_for_bit():
    supervisor = make()
    rng = np.random.default_rng(0)
    new = chunk(0, joint=gentle(), gripper=rng.uniform(0, 0.08, ROWS),
                turn=np.linspace(0.03, 0.4, ROWS))
    plan = accept(supervisor, new, 0)
    assert np.array_equal(plan.chunk.actions, new.actions)
    assert np.array_equal(plan.commands[:ROWS].astype(np.float32), new.actions)
    assert not supervisor.interventions


def test_a_plan_ends_at_rest_so_that_a_dead_policy_stops_the_arm():
    supervisor = running()
    plan = supervisor.plan
    assert len(plan.commands) > ROWS
    changes = np.diff(plan.commands[:, 0])
    assert changes[ROWS - 2] > 0.0 and changes[-1] == 0.0
    assert np.abs(np.diff(changes)).max() <= ACCELERATION * DT * DT * (1 + 1e-6)
    assert plan.end_ns - T <= 1.0e9 + 1e9 * VELOCITY / ACCELERATION


def test_no_more_than_the_longest_duration_is_sent():
    supervisor = make(max_duration=0.1)
    plan = accept(supervisor, chunk(0, gripper=0.005 * np.arange(ROWS)), 40)
    assert len(plan.chunk.actions) == 5
    assert np.allclose(plan.commands[:3, 1], [0.01, 0.015, 0.02])
    assert (plan.commands[3:, 1] == plan.commands[2, 1]).all()


def test_braking_after_a_single_row_goes_on_from_its_speed():
    supervisor = running()
    same = supervisor.plan.commands[:ROWS, 0]
    plan = accept(supervisor, chunk(0, joint=same), 300)
    assert plan.commands[0, 0] == pytest.approx(same[-1])
    assert_plan_within_limits(plan)
    assert len(plan.commands) > 2


def test_a_chunk_that_ran_out_is_a_hold():
    supervisor = running()
    end_ns = supervisor.plan.end_ns
    assert supervisor.tick(end_ns - 1, "") is None
    assert supervisor.state == "running"
    assert supervisor.tick(end_ns, "") is None, "it ended at rest: nothing more to send"
    assert supervisor.state == "holding"
    assert "ran out" in supervisor.reason
    assert sum(supervisor.holds.values()) == 1
    late_ms = (end_ns - T) / MS + 100
    where = float(supervisor.plan.commands[-1, 0])
    assert accept(supervisor, chunk(late_ms, joint=where), late_ms) is not None
    assert supervisor.state == "running"


@pytest.mark.parametrize(("max_duration", "late_ms"), [(1.0, ROWS * DT_MS), (0.1, 100),
                                                       (0.1, 80.001)])
def test_a_chunk_that_is_too_late_is_refused_with_a_reason(max_duration, late_ms):
    supervisor = make(max_duration=max_duration)
    assert accept(supervisor, chunk(0), late_ms) is None
    assert supervisor.state == "holding"
    assert supervisor.holds == {"chunk too late": 1}
    assert f"{late_ms / 1e3:.3f} s after its observation" in supervisor.reason
    supervisor.tick(at(late_ms + 20), "")
    assert "after its observation" in supervisor.reason, "the operator can read it"
    assert accept(supervisor, chunk(400), 410) is not None


def test_a_late_chunk_leaves_the_plan_before_alone():
    supervisor = running()
    plan = supervisor.plan
    assert accept(supervisor, chunk(-400), 20) is None
    assert supervisor.plan is plan
    assert supervisor.state == "running"


# ---- violations -----------------------------------------------------------------------------


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("row", [0, 4, ROWS - 1])
def test_a_chunk_that_is_not_finite_stops_the_arm(value, row):
    supervisor = running()
    joint = gentle(begin=0.01).astype(np.float32)
    joint[row] = value
    plan = accept(supervisor, chunk(40, joint=joint), 80)
    assert_comes_to_rest(plan)
    assert supervisor.state == "stopped"
    assert "'joint'" in supervisor.reason and str(value) in supervisor.reason
    assert supervisor.interventions == {"finite joint": 1}
    assert supervisor.holds == {"Channel 'joint', finite": 1}


def test_a_jump_holds_the_arm_and_the_reason_stays_readable():
    supervisor = make()
    assert accept(supervisor, chunk(0, joint=1.0), 0, STILL) is None
    assert supervisor.state == "holding"
    supervisor.tick(at(20), "")
    assert "'joint'" in supervisor.reason and "0.3" in supervisor.reason
    assert accept(supervisor, chunk(40, joint=0.1), 40, STILL) is not None
    assert supervisor.state == "running"


def test_a_refused_chunk_while_running_brings_the_arm_to_rest():
    supervisor = running(position="hold")
    same = supervisor.plan.commands[2:ROWS, 0]
    plan = accept(supervisor, chunk(40, joint=same, gripper=0.5, rows=ROWS - 2), 60)
    assert_comes_to_rest(plan)
    assert supervisor.state == "holding"
    assert supervisor.interventions == {"position gripper": 1}


def test_no_measured_value_no_motion():
    supervisor = running()
    plan = accept(supervisor, chunk(40, joint=0.01), 60, measured={"other": 1.0})
    assert_comes_to_rest(plan)
    assert (supervisor.state, supervisor.reason) == ("holding", "no measured value: joint")


def test_a_measured_value_that_is_not_finite_stops():
    supervisor = running()
    assert_comes_to_rest(accept(supervisor, chunk(40, joint=0.01), 60, {"joint": math.nan}))
    assert supervisor.state == "stopped"


def test_all_rows_of_a_sent_chunk_are_within_the_limits_past_ones_too():
    supervisor = make()
    new = chunk(0, joint=[9.0] * 3 + [0.0] * 13, gripper=[-1.0] * 3 + [5.0] * 13)
    plan = accept(supervisor, new, 60)
    actions = plan.chunk.actions
    assert actions.dtype == np.float32
    assert np.abs(actions[:, 0]).max() <= 2.0
    assert actions[:, 1].min() >= 0.0 and actions[:, 1].max() <= np.float32(0.08)
    assert supervisor.interventions == {"position gripper": 1}, "only what is executed counts"


# ---- blending -------------------------------------------------------------------------------


def test_seams_are_kept_and_summed_up():
    supervisor = running()
    accept(supervisor, chunk(40, joint=gentle(begin=0.004)), 80)
    assert len(supervisor.seams) == 1
    assert seam_summary([]) == {}
    summary = seam_summary([Seam(0.1, 2.0), Seam(0.3, 4.0)])
    assert summary["seam_position_p50"] == pytest.approx(0.2)
    assert summary["seam_velocity_max"] == 4.0
    assert set(summary) == {f"seam_{m}_{q}" for m in ("position", "velocity")
                            for q in ("p50", "p99", "max")}


def test_seams_may_be_summed_up_while_the_control_thread_adds_some():
    seams, done = deque([Seam(0.1, 2.0)] * 1000, maxlen=1000), threading.Event()

    def add():
        while not done.is_set():
            seams.append(Seam(0.1, 2.0))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread = threading.Thread(target=add)
    thread.start()
    try:
        for _ in range(100):
            assert seam_summary(seams)["seam_position_max"] == 0.1
    finally:
        done.set()
        thread.join()
        sys.setswitchinterval(interval)


def test_real_time_chunking_goes_on_from_what_is_executed():
    supervisor = make(join="rtc")
    assert supervisor.prefix(at(0), at(40)) is None, "nothing to go on from"
    plan = accept(supervisor, chunk(0, joint=0.2), 0, STILL)
    prefix = supervisor.prefix(at(40), at(80))
    assert (prefix.weights[:2] == 1.0).all() and prefix.weights[2] < 1.0
    executed = plan.commands[2:ROWS].astype(np.float32)
    assert np.array_equal(prefix.actions[:ROWS - 2], executed), "clamped, not as predicted"
    supervisor.tick(at(60), "front is stale")
    assert supervisor.prefix(at(80), at(120)) is None, "after a hold it is free"


# ---- any sequence of events -----------------------------------------------------------------

events = st.lists(st.tuples(
    st.sampled_from(["chunk"] * 6 + ["problem", "reset", "disable", "fine"]),
    st.integers(0, 150 * MS),                           # after the event before
    st.integers(0, 120 * MS),                           # age of the observation
    st.lists(st.floats(-0.2, 0.2), min_size=3, max_size=3),
    st.floats(0.0, 0.1)), min_size=2, max_size=12)


@PATIENT
@given(events, st.sampled_from(["replace", "ensemble", "rtc"]), st.sampled_from([0, 13, 45]))
def test_the_arm_is_never_asked_for_more_than_its_limits(script, join, lead_ms):
    """Follow all plans along the clock: a row is reached at the end of its period."""
    supervisor = make(join=join, lead=lead_ms / 1e3)
    now_ns, rng = T, np.random.default_rng(0)
    due: list[Plan] = []  # the plans that matter, in the order they take over
    for kind, wait_ns, age_ns, offsets, noise in script:
        now_ns += wait_ns
        where = follow(due, now_ns)[0] if due else 0.0
        plan = None
        if kind == "chunk":
            walk = where + offsets[0] + np.cumsum(rng.normal(0, noise, ROWS))
            new = chunk((now_ns - age_ns - T) / MS, walk, 0.04 + offsets[1], offsets[2] * 4)
            supervisor.tick(now_ns, "")
            plan = supervisor.accept(new, "do it", {"joint": where}, now_ns)
        elif kind == "problem":
            plan = supervisor.tick(now_ns, "front is stale")
        elif kind == "reset":
            plan = supervisor.reset(now_ns)
        elif kind == "disable":
            plan = supervisor.enable(False, now_ns)
            supervisor.enable(True, now_ns)
        else:
            supervisor.tick(now_ns, "")
        if plan is not None:
            if lead_ms:  # or later, where only the plan before can stop in time
                assert 0 <= plan.departs_ns - now_ns - lead_ms * MS < DT_MS * MS
            else:
                assert plan.start_ns == now_ns
            assert_plan_within_limits(plan)
            due.append(plan)
    if not due:
        return
    if lead_ms:
        assert_controller_keeps_limits(due, lead_ms * MS)
    step_ns = DT_MS * MS // 3
    path = np.array([follow(due, int(t)) for t in np.arange(T, due[-1].end_ns, step_ns)])
    speed = np.abs(np.diff(path, axis=0)).max(axis=0, initial=0.0) / (step_ns / 1e9)
    assert speed[2] <= 2.0 * (1 + 1e-5)
    if not lead_ms:
        assert speed[0] <= VELOCITY * (1 + 1e-5)
        assert np.abs(path[:, 0]).max() <= 2.0
        assert path[:, 1].min() >= 0.0 and path[:, 1].max() <= 0.08


def follow(plans: list[Plan], now_ns: int) -> np.ndarray:
    """Return where an arm is that goes through the rows of every plan that has begun."""
    begun = [p for p in plans if p.start_ns <= now_ns] or plans[:1]
    return begun[-1].motion(now_ns).value


def assert_controller_keeps_limits(plans: list[Plan], lead_ns: int) -> None:
    """Let a controller follow the curve; every plan comes as late as it may."""
    joints = ["joint", "gripper"]
    arm = Controller(joints, plans[0].begin.value[:2])
    ends = [p.made_ns + lead_ns for p in plans[1:]] + [plans[-1].end_ns]
    for plan, end_ns in zip(plans, ends, strict=True):
        begin_ns = plan.made_ns + lead_ns
        times, positions, velocities = plan.trajectory()
        arm.accept(message(joints, times, positions[:, :2], velocities[:, :2]), begin_ns)
        for ns in sorted({*range(begin_ns, end_ns, 7 * MS), *arm.times}):
            if begin_ns <= ns < end_ns:
                where, speed, acceleration = arm.state(ns)
                assert abs(speed[0]) <= VELOCITY * (1 + 1e-5)
                assert abs(acceleration[0]) <= ACCELERATION * (1 + 1e-3)
                assert abs(where[0]) <= 2.0 + MARGIN
                assert -MARGIN <= where[1] <= 0.08 + MARGIN


def assert_plan_within_limits(plan: Plan) -> None:
    rows = np.concatenate([plan.begin.value[None], plan.commands])
    changes = np.concatenate([plan.begin.step[None], np.diff(rows, axis=0)])
    assert np.isfinite(rows).all()
    assert np.abs(rows[:, 0]).max() <= 2.0
    assert np.abs(changes[:, 0]).max() <= VELOCITY * DT * (1 + 1e-5)
    assert np.abs(np.diff(changes[:, 0])).max() <= ACCELERATION * DT * DT * (1 + 1e-4) + 1e-12
    assert np.abs(np.diff(rows[:, 2])).max() <= 2.0 * DT * (1 + 1e-5)
    assert changes[-1, 0] == 0.0 and rows[-1, 2] == 0.0

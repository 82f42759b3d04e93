# SPDX-License-Identifier: Apache-2.0
"""The states of a policy on an arm, and the plans that lead from one to the next."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.arm.joining import Seam
from tinyvla_ros.arm.plan import Plan
from tinyvla_ros.arm.safety import Motion
from tinyvla_ros.arm.supervisor import Supervisor, seam_summary
from tinyvla_ros.policy_config import PolicyConfig
from tinyvla_ros.types import ActionChunk

MS = 1_000_000
DT_MS, DT, ROWS = 20, 0.02, 16
T = 1_000_000 * MS  # when the tests begin
CHANNELS = ("joint", "gripper", "turn")
VELOCITY, ACCELERATION = 1.0, 5.0
STILL = {"joint": 0.0}
PATIENT = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def make(enabled: bool = True, active: bool = True, join: str = "replace",
         max_duration: float = 1.0, lead: float = 0.0, **on_violation) -> Supervisor:
    """Return the supervisor of an arm with a joint, a gripper and a velocity."""
    outputs = [{"type": "chunk", "topic": "commands", "channels": list(CHANNELS)}]
    if lead:
        outputs = [{"type": "joint_trajectory", "topic": "arm", "channels": ["joint", "gripper"],
                    "lead": lead},
                   {"type": "twist", "topic": "turn", "frame": "base",
                    "channels": {"turn": {"to": "angular.z"}}}]
    contract = RobotContract.model_validate({
        "name": "test arm", "cameras": {"front": {"topic": "/front"}}, "joint_states": {},
        "actions": {
            "joint": {"unit": "rad", "low": -2.0, "high": 2.0, "velocity": VELOCITY,
                      "acceleration": ACCELERATION, "jump": 0.3, "state": "joint"},
            "gripper": {"unit": "m", "low": 0.0, "high": 0.08},
            "turn": {"unit": "rad/s", "low": -0.5, "high": 0.5, "velocity": 2.0,
                     "hold": "zero"}},
        "outputs": outputs,
        "on_violation": on_violation,
        "execution": {"join": join, "max_duration": max_duration}})
    config = PolicyConfig.model_validate({
        "cameras": {"front": {"height": 48, "width": 48}}, "state": ["joint"],
        "action": {"channels": CHANNELS, "units": ["rad", "m", "rad/s"], "low": [-2.0, 0.0, -0.5],
                   "high": [2.0, 0.08, 0.5], "dt": DT, "horizon": ROWS, "execute_steps": 8},
        "instructions": ["do it"]})
    supervisor = Supervisor(contract, config)
    if active:
        supervisor.activate(enabled)
    return supervisor


def chunk(at_ms: float = 0, joint=0.0, gripper=0.04, turn=0.0, rows: int = ROWS) -> ActionChunk:
    """Return a chunk observed so many ms after the tests begin; values are columns."""
    columns = [np.broadcast_to(np.asarray(v, np.float32), rows) for v in (joint, gripper, turn)]
    return ActionChunk(T + round(at_ms * MS), CHANNELS, np.stack(columns, axis=1), DT)


def gentle(rows: int = ROWS, begin: float = 0.0) -> np.ndarray:
    """Return positions that start from rest within the limits: half of the acceleration."""
    return begin + ACCELERATION / 2 * DT * DT * np.cumsum(np.minimum(np.arange(1, rows + 1), 8))


def running(**options) -> Supervisor:
    """Return a supervisor that moves the arm along ``gentle``."""
    supervisor = make(**options)
    assert accept(supervisor, chunk(0, joint=gentle()), 0) is not None
    assert supervisor.state == "running"
    return supervisor


def accept(supervisor: Supervisor, new: ActionChunk, at_ms: float, measured=None) -> Plan | None:
    """Hand in a chunk as the node does; the joint follows what it was told unless given."""
    now_ns = T + round(at_ms * MS)
    supervisor.tick(now_ns, "")
    if measured is None:
        told = supervisor.plan and float(supervisor.plan.motion(now_ns).value[0])
        measured = {"joint": told or 0.0}
    return supervisor.accept(new, "do it", measured, now_ns)


def at(ms: float) -> int:
    return T + round(ms * MS)


def moves(plan: Plan) -> bool:
    return bool(np.any(np.diff(plan.commands[:, 0], prepend=plan.begin.value[0])))


def assert_comes_to_rest(plan: Plan) -> None:
    """A hold: no chunk, decelerating no harder than allowed, velocities to zero."""
    assert plan.chunk is None
    assert plan.instruction == ""
    joint = np.concatenate([[plan.begin.value[0]], plan.commands[:, 0]])
    changes = np.concatenate([[plan.begin.change[0]], np.diff(joint)])
    assert np.abs(np.diff(changes)).max() <= ACCELERATION * DT * DT * (1 + 1e-6)
    assert changes[-1] == 0.0
    assert plan.commands[-1, 2] == 0.0


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
    assert np.allclose(plan.commands[:, 0], 1.5), "not from where it was told last"


# ---- waiting, problems and recovery ---------------------------------------------------------


def test_it_says_what_it_waits_for():
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


def test_a_hold_goes_on_from_what_was_told():
    supervisor = running()
    before = supervisor.plan.motion(at(111))
    plan = supervisor.tick(at(111), "joint_states is stale")
    assert np.array_equal(plan.begin.value, before.value)
    assert np.array_equal(plan.begin.change, before.change)


def test_the_next_good_chunk_ends_a_hold():
    supervisor = running()
    rest = supervisor.tick(at(100), "front is stale")
    where = float(rest.commands[-1, 0])
    plan = accept(supervisor, chunk(600, joint=where), 620, {"joint": where})
    assert plan.chunk is not None
    assert (supervisor.state, supervisor.reason) == ("running", "")
    assert not supervisor.seams, "nothing was joined"


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


# ---- what of a chunk is executed ------------------------------------------------------------


def test_rows_that_went_by_are_skipped():
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
        assert np.array_equal(plan.begin.change, before.change)
        assert_plan_within_limits(plan)


def test_plans_for_a_controller_begin_when_it_has_them():
    supervisor = running(lead=0.03)
    assert supervisor.plan.start_ns == at(30)
    before = supervisor.plan.motion(at(90))
    plan = accept(supervisor, chunk(40, joint=gentle(begin=0.01)), 60)
    assert plan.start_ns == at(90)
    assert np.array_equal(plan.begin.value, before.value)
    rest = supervisor.tick(at(65), "front is stale")
    assert rest.start_ns == at(95)
    assert np.array_equal(rest.begin.value, plan.motion(at(95)).value)
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
def test_a_chunk_that_is_too_late_is_refused_and_said(max_duration, late_ms):
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


def test_what_is_sent_of_a_chunk_is_within_the_limits_also_where_it_went_by():
    supervisor = make()
    new = chunk(0, joint=[9.0] * 3 + [0.0] * 13, gripper=[-1.0] * 3 + [5.0] * 13)
    plan = accept(supervisor, new, 60)
    actions = plan.chunk.actions
    assert actions.dtype == np.float32
    assert np.abs(actions[:, 0]).max() <= 2.0
    assert actions[:, 1].min() >= 0.0 and actions[:, 1].max() <= np.float32(0.08)
    assert supervisor.interventions == {"position gripper": 1}, "only what is executed counts"


# ---- joining --------------------------------------------------------------------------------


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


# ---- whatever comes, whenever it comes ------------------------------------------------------

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
            assert plan.start_ns == now_ns + lead_ms * MS
            assert_plan_within_limits(plan)
            due.append(plan)
    if not due:
        return
    step_ns = DT_MS * MS // 3
    path = np.array([follow(due, int(t)) for t in np.arange(T, due[-1].end_ns, step_ns)])
    speed = np.abs(np.diff(path, axis=0)).max(axis=0, initial=0.0) / (step_ns / 1e9)
    assert speed[0] <= VELOCITY * (1 + 1e-5)
    assert speed[2] <= 2.0 * (1 + 1e-5)
    assert np.abs(path[:, 0]).max() <= 2.0
    assert path[:, 1].min() >= 0.0 and path[:, 1].max() <= 0.08


def follow(plans: list[Plan], now_ns: int) -> np.ndarray:
    """Return where an arm is that goes through the rows of every plan that has begun."""
    begun = [p for p in plans if p.start_ns <= now_ns] or plans[:1]
    return begun[-1].motion(now_ns).value


def assert_plan_within_limits(plan: Plan) -> None:
    rows = np.concatenate([plan.begin.value[None], plan.commands])
    changes = np.concatenate([plan.begin.change[None], np.diff(rows, axis=0)])
    assert np.isfinite(rows).all()
    assert np.abs(rows[:, 0]).max() <= 2.0
    assert np.abs(changes[:, 0]).max() <= VELOCITY * DT * (1 + 1e-5)
    assert np.abs(np.diff(changes[:, 0])).max() <= ACCELERATION * DT * DT * (1 + 1e-4) + 1e-12
    assert np.abs(np.diff(rows[:, 2])).max() <= 2.0 * DT * (1 + 1e-5)
    assert changes[-1, 0] == 0.0 and rows[-1, 2] == 0.0


# ---- the plan itself ------------------------------------------------------------------------


def a_plan(rows, begin: float = 0.0, change: float = 0.0) -> Plan:
    commands = np.asarray(rows, np.float64)[:, None]
    return Plan(T, DT_MS * MS, commands, ("joint",),
                Motion(np.array([begin]), np.array([change])))


def test_a_row_is_told_when_its_period_begins_and_reached_when_it_ends():
    plan = a_plan([1.0, 3.0, 3.0])
    assert [plan.row(at(t)) for t in (-1, 0, 19.9, 20, 60)] == [-1, 0, 0, 1, 3]
    assert plan.end_ns == at(60)
    assert [float(plan.values(at(t))[0]) for t in (0, 20, 40)] == [1.0, 3.0, 3.0]
    assert plan.values(at(60)) is None, "after the plan"
    assert float(plan.values(at(-50))[0]) == 0.0, "before it, what it goes on from"
    assert [float(plan.motion(at(t)).value[0]) for t in (0, 20, 40, 60)] == [0.0, 1.0, 3.0, 3.0]
    assert [float(plan.motion(at(t)).change[0]) for t in (0, 20, 40, 60)] == [0.0, 1.0, 2.0, 0.0]


def test_between_two_rows_it_is_interpolated():
    plan = a_plan([1.0, 3.0, 3.0])
    assert plan.motion(at(30)).value == pytest.approx(2.0)
    assert plan.motion(at(30)).change == pytest.approx(1.5), "since 10 ms, where it was at 0.5"
    assert plan.values(at(10)) == pytest.approx(2.0)
    assert plan.values(at(-10)) == pytest.approx(0.5), "on the way to the first row"


@given(st.floats(-1.0, 1.0), st.lists(st.floats(-1.0, 1.0), min_size=1, max_size=12),
       st.booleans())
def test_the_cubic_between_rows_never_leaves_their_range(begin, rows, at_rest_last):
    """What a joint_trajectory_controller makes of positions and slopes (Hermite)."""
    plan = a_plan(rows + rows[-1:] * at_rest_last, begin)
    slopes = plan.slopes()[:, 0]
    assert slopes.shape == (len(plan.commands),)
    assert slopes[-1] == 0.0, "a controller wants to end at rest"
    points = np.concatenate([[begin], plan.commands[:, 0]])
    slopes = np.concatenate([[0.0], slopes]) * DT
    s = np.linspace(0.0, 1.0, 101)
    fastest = np.abs(np.diff(points)).max()
    for p, q, v, w in zip(points, points[1:], slopes, slopes[1:], strict=False):
        curve = ((1 + 2 * s) * (1 - s) ** 2 * p + s * (1 - s) ** 2 * v
                 + s * s * (3 - 2 * s) * q + s * s * (s - 1) * w)
        assert curve.min() >= min(p, q) - 1e-12
        assert curve.max() <= max(p, q) + 1e-12
        # Between rows it is faster than from row to row, by half at most.
        assert np.abs(np.diff(curve)).max() * 100 <= 1.5 * fastest + 1e-9


def test_a_straight_line_has_its_own_slope():
    plan = a_plan(0.01 * np.arange(1, 6), change=0.01)
    assert np.allclose(plan.slopes()[:-1, 0], 0.01 / DT)

# SPDX-License-Identifier: Apache-2.0
"""The dry-run arm without ROS: the controller's rules, the states, the pictures, the report."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.arm.contract_check import check_contract
from tinyvla_ros.arm.supervisor import Supervisor
from tinyvla_ros.dry_run.arm import DryRunArm
from tinyvla_ros.dry_run.followers import PositionsFollower, TwistFollower
from tinyvla_ros.dry_run.pictures import Sketch
from tinyvla_ros.dry_run.report import ARM, POLICY, Report
from tinyvla_ros.dry_run.trajectory import Refused, TrajectoryFollower
from tinyvla_ros.dry_run.untrained import start_state, untrained_config, write_untrained_checkpoint
from tinyvla_ros.errors import InputError
from tinyvla_ros.graph import (
    DryRunOptions,
    PolicyOptions,
    dry_run_graph,
    policy_graph,
)
from tinyvla_ros.policy import Policy
from tinyvla_ros.policy_config import PolicyConfig
from tinyvla_ros.resources import share_directory
from tinyvla_ros.types import Observation

MS = 1_000_000
NOW = 1_000 * 1_000_000_000
ROBOTS = share_directory() / "config" / "robots"


def stamp(ns: int):
    return SimpleNamespace(sec=ns // 1_000_000_000, nanosec=ns % 1_000_000_000)


def point(ms: int, positions, velocities=(), **more):
    fields = {"positions": positions, "velocities": velocities, "accelerations": (), "effort": ()}
    return SimpleNamespace(time_from_start=stamp(ms * MS), **{**fields, **more})


def trajectory(*points, at_ns: int = 0, names=("a", "b")):
    return SimpleNamespace(header=SimpleNamespace(stamp=stamp(at_ns)), joint_names=list(names),
                           points=list(points))


def array(*values):
    return SimpleNamespace(data=list(values))


def twist(at_ns: int, **components):
    axes = {f"{part}_{axis}": components.get(f"{part}_{axis}", 0.0)
            for part in ("linear", "angular") for axis in "xyz"}
    parts = {part: SimpleNamespace(**{axis: axes[f"{part}_{axis}"] for axis in "xyz"})
             for part in ("linear", "angular")}
    return SimpleNamespace(header=SimpleNamespace(stamp=stamp(at_ns)),
                           twist=SimpleNamespace(**parts))


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


def test_what_went_by_is_skipped(follower):
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


# ---- the arm of a contract ----------------------------------------------------------------


def robot(name: str):
    """A contract with a configuration that fits it and an arm at rest."""
    contract = RobotContract.load(ROBOTS / f"{name}.yaml")
    config = untrained_config(contract)
    check_contract(contract, config)
    start = start_state(contract, config, ROBOTS)
    return contract, config, DryRunArm(contract, config, start, NOW)


def ur5e_trajectory(contract, lift: float):
    names = contract.outputs[0].targets
    positions = [lift if n == "shoulder_lift_joint" else 0.0 for n in names]
    return trajectory(point(100, positions, [0.0] * 6), names=names)


def test_channels_drive_their_states_and_the_others_hardly_move():
    contract, config, arm = robot("ur5e")
    assert "gripper" in config.state
    assert arm.observe(NOW).state["shoulder_lift_joint"] == pytest.approx(-1.57)
    arm.command(0, ur5e_trajectory(contract, -1.5), NOW)
    arm.command(1, array(0.0), NOW)
    first, second = arm.observe(NOW + 500 * MS), arm.observe(NOW + 500 * MS)
    assert first.state["shoulder_lift_joint"] == -1.5
    assert first.state["gripper"] != second.state["gripper"]
    assert first.state["gripper"] == pytest.approx(0.0, abs=1e-3)
    assert first.channels["gripper"] == pytest.approx(0.8 / 9.41), "in the contract's unit"
    assert arm.accepted == {o.topic: 1 for o in contract.outputs}


def test_speed_is_what_joint_states_show():
    contract, _, arm = robot("ur5e")
    arm.update(NOW)
    arm.command(0, ur5e_trajectory(contract, -1.52), NOW)
    for ms in range(10, 201, 10):
        arm.update(NOW + ms * MS)
        arm.update(NOW + ms * MS + 1000)
    # Fastest in the middle: 3 s^2 - 2 s^3 grows by 0.148 from s = 0.4 to 0.5.
    assert arm.speeds["shoulder_lift_joint"] == pytest.approx(0.148 * 0.05 / 0.01)
    assert arm.fastest() == "shoulder_lift_joint"
    assert arm.speed("shoulder_lift_joint") == "0.74 rad/s (74 % of the limit)"


def test_refusals_are_counted_by_cause():
    contract, _, arm = robot("ur5e")
    topic = contract.outputs[0].topic
    for lift in (float("nan"), float("inf")):
        with pytest.raises(Refused):
            arm.command(0, ur5e_trajectory(contract, lift), NOW)
    assert arm.refused == {f"{topic}: not finite": 2}
    assert arm.last_refusal.startswith(f"{topic}: Point 0 of the trajectory has positions")
    assert not any(arm.accepted.values())


def test_a_twist_drives_the_end_effector():
    _, config, arm = robot("servo")
    assert config.state == ("ee_x", "ee_y", "ee_z")
    arm.command(0, twist(NOW, linear_x=0.1), NOW)
    moment = arm.update(NOW + 50 * MS)
    assert moment.state["ee_x"] == pytest.approx(0.405)
    assert moment.channels["ee_vx"] == 0.1
    assert arm.speed("ee_vx") == "0.1 m/s (100 % of the limit)"


def test_a_chunk_output_is_no_arm():
    with pytest.raises(InputError, match=r"action_chunk is of type 'chunk'.*sim-eval"):
        robot("metaworld")


# ---- pictures -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ur5e", "servo"])
def test_pictures_show_the_motion_and_are_never_identical(name):
    contract, _, arm = robot(name)
    sketch = Sketch(contract.actions, 320, 240)
    rest = arm.observe(NOW)
    if name == "ur5e":
        arm.command(0, ur5e_trajectory(contract, -0.8), NOW)
    else:
        arm.command(0, twist(NOW, linear_x=3.0), NOW)
    moved = arm.observe(NOW + 100 * MS)
    first, again, next_, other = (sketch.draw("wrist", frame, moment) for frame, moment in (
        (1, rest), (1, rest), (2, rest), (1, moved)))
    assert first.shape == (240, 320, 3) and first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert 0 < np.abs(first.astype(int) - next_)[30:220].max() < 4, "noise only"
    assert (np.abs(first.astype(int) - other) > 50).sum() > 200, "the arm has moved"
    images = [cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1], 1)
              for image in (first, next_)]
    assert not np.array_equal(images[0][30:220], images[1][30:220]), "compressed neither"


# ---- the untrained checkpoint -------------------------------------------------------------


@pytest.mark.parametrize("name", ["ur5e", "servo"])
def test_an_untrained_checkpoint_touches_no_limit(name, tmp_path):
    contract = RobotContract.load(ROBOTS / f"{name}.yaml")
    write_untrained_checkpoint(contract, tmp_path)
    config = PolicyConfig.load(tmp_path)
    check_contract(contract, config)
    policy, supervisor = Policy(tmp_path), Supervisor(contract, config)
    start = start_state(contract, config, tmp_path)
    arm = DryRunArm(contract, config, start, NOW)
    supervisor.activate(enabled=True)
    rng = np.random.default_rng(0)
    for i in range(60):
        stamp_ns = NOW + i * 40 * MS
        images = {n: rng.integers(0, 256, (240, 320, 3), np.uint8) for n in config.cameras}
        state = arm.observe(NOW).state
        chunk = policy.infer(Observation(stamp_ns, images, state, "dry run"))
        supervisor.tick(stamp_ns + 10 * MS, "")
        plan = supervisor.accept(chunk, "dry run", state, stamp_ns + 10 * MS)
        assert plan is not None
    assert supervisor.interventions == {}
    assert np.ptp(chunk.actions, axis=0).min() > 0, "it does move"


def test_the_arm_starts_where_the_checkpoint_was_trained(tmp_path):
    from safetensors.numpy import save_file
    contract, config, _ = robot("ur5e")
    assert start_state(contract, config, tmp_path)["shoulder_pan_joint"] == 0.0
    mean = np.arange(len(config.state), dtype=np.float32) / 10
    save_file({"state_mean": mean}, tmp_path / "normalizer.safetensors")
    start = start_state(contract, config, tmp_path)
    assert list(start.values()) == pytest.approx(mean)
    arm = DryRunArm(contract, config, start, NOW)
    channels = arm.observe(NOW).channels
    assert channels["elbow_joint"] == pytest.approx(0.2)
    assert channels["shoulder_lift_joint"] == 0.0, "within the limits"
    save_file({"state_mean": mean[1:]}, tmp_path / "normalizer.safetensors")
    with pytest.raises(InputError, match="does not belong"):
        start_state(contract, config, tmp_path)


def test_a_robot_that_measures_nothing_has_no_checkpoint():
    contract = RobotContract.load(ROBOTS / "servo.yaml").model_copy(update={"ee_pose": None})
    with pytest.raises(InputError, match="names no state"):
        untrained_config(contract)


# ---- graph and report ---------------------------------------------------------------------


def test_the_policy_of_a_real_arm_starts_disabled_with_whole_paths(tmp_path, monkeypatch):
    contract = RobotContract.load(ROBOTS / "ur5e.yaml")
    write_untrained_checkpoint(contract, tmp_path / "checkpoint")
    monkeypatch.chdir(tmp_path)
    node, = policy_graph(PolicyOptions(robot=str(ROBOTS / "ur5e.yaml"), checkpoint="checkpoint"))
    assert node.parameters["enabled"] is False
    assert node.parameters["checkpoint"] == str(tmp_path / "checkpoint")
    with pytest.raises(InputError, match="Unknown camera"):
        policy_graph(PolicyOptions(robot=str(ROBOTS / "servo.yaml"), checkpoint="checkpoint"))


def test_a_dry_run_needs_nothing_from_its_user():
    policy, arm = dry_run_graph(DryRunOptions())
    assert policy.parameters["enabled"] is True
    assert policy.parameters["robot"] == arm.parameters["robot"] == str(ROBOTS / "ur5e.yaml")
    config = PolicyConfig.load(arm.parameters["checkpoint"])
    assert config.instructions == ("dry run",)


@pytest.mark.parametrize(("options", "words"), [
    ({"robot": "/nowhere.yaml"}, "/nowhere.yaml"),
    ({"robot": str(ROBOTS / "metaworld.yaml")}, "of type 'chunk'"),
    ({"checkpoint": "/nowhere"}, r"/nowhere has no config\.json"),
    ({"instruction": "dry rum"}, "Did you mean 'dry run'"),
])
def test_what_a_dry_run_cannot_do_is_said_before_it_starts(options, words):
    with pytest.raises(InputError, match=words):
        dry_run_graph(DryRunOptions(**options))


def test_the_report_adds_up():
    report = Report(0.0)
    assert report.problem().startswith("the arm was never commanded")
    report.add(POLICY, "waiting for camera/front", {"state": "waiting", "plans": "0"}, 2.0)
    report.add("other_node: part", "broken", {"state": "x"}, 2.5)
    report.add(POLICY, "running", {"state": "running", "plans": "1"}, 3.0)
    report.add(POLICY, "running", {"state": "running", "plans": "30", "hold stale": "2"}, 4.0)
    report.add(ARM, "ok", {"accepted": "31", "refused": "0", "last_refusal": "",
                           "largest_velocity": "elbow 0.1 rad/s (10 % of the limit)",
                           "largest_velocity elbow": "0.1 rad/s (10 % of the limit)"}, 4.0)
    assert report.problem() == ""
    assert report.line(4.0) == (
        "   4 s  policy running, 30 plans | arm 31 commands followed, 0 refused, fastest: "
        "elbow 0.1 rad/s (10 % of the limit)")
    summary = report.summary(5.0)
    for words in ("starting 2.0 s, waiting 1.0 s, running 2.0 s", "stale (2)",
                  "largest velocity elbow  0.1 rad/s"):
        assert words in summary
    report.add(ARM, "refused", {"accepted": "31", "refused": "1", "last_refusal": "a: past",
                                "refused a: in the past": "1"}, 5.0)
    assert "1: a: in the past (1)" in report.summary(5.0)
    assert report.problem() == "the arm refused commands: a: in the past (1)"

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

"""The dry-run arm without ROS: states, images, summary."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from harness.commands import MS, NOW, ROBOTS, array, point, trajectory, twist
from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.arm.contract_check import check_contract
from tinyvla_ros.arm.supervisor import Supervisor
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.types import Observation
from tinyvla_ros.dry_run.arm import DryRunArm
from tinyvla_ros.dry_run.sketch import Sketch
from tinyvla_ros.dry_run.summary import ARM, POLICY, DryRunSummary
from tinyvla_ros.dry_run.trajectory import Refused
from tinyvla_ros.dry_run.untrained import start_state, untrained_config, write_untrained_checkpoint
from tinyvla_ros.policy.config import PolicyConfig
from tinyvla_ros.policy.policy import Policy
from tinyvla_ros.start.graph import DryRunOptions, PolicyOptions, dry_run_graph, policy_graph

# ---- the arm of a contract ----------------------------------------------------------------


# All that a controller follows: the simulated arm takes whole chunks.
REAL = sorted(p.stem for p in ROBOTS.glob("*.yaml")
              if p.stem not in ("metaworld", "so101_lockstep"))


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


# ---- images -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ur5e", "servo"])
def test_images_show_the_motion_and_are_never_identical(name):
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


@pytest.mark.parametrize("name", REAL)
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


# ---- graph and summary --------------------------------------------------------------------


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
def test_a_dry_run_that_cannot_work_is_refused_before_it_starts(options, words):
    with pytest.raises(InputError, match=words):
        dry_run_graph(DryRunOptions(**options))


def test_the_summary_adds_up():
    summary = DryRunSummary(0.0)
    assert summary.problem().startswith("the arm was never commanded")
    summary.add(POLICY, "waiting for camera/front", {"state": "waiting", "plans": "0"}, 2.0)
    summary.add("other_node: part", "broken", {"state": "x"}, 2.5)
    summary.add(POLICY, "running", {"state": "running", "plans": "1"}, 3.0)
    summary.add(POLICY, "running", {"state": "running", "plans": "30", "hold stale": "2"}, 4.0)
    summary.add(ARM, "ok", {"accepted": "31", "refused": "0", "last_refusal": "",
                           "largest_velocity": "elbow 0.1 rad/s (10 % of the limit)",
                           "largest_velocity elbow": "0.1 rad/s (10 % of the limit)"}, 4.0)
    assert summary.problem() == ""
    assert summary.line(4.0) == (
        "   4 s  policy running, 30 plans | arm 31 commands followed, 0 refused, fastest: "
        "elbow 0.1 rad/s (10 % of the limit)")
    table = summary.table(5.0)
    for words in ("starting 2.0 s, waiting 1.0 s, running 2.0 s", "stale (2)",
                  "largest velocity elbow  0.1 rad/s"):
        assert words in table
    summary.add(ARM, "refused", {"accepted": "31", "refused": "1", "last_refusal": "a: past",
                                "refused a: in the past": "1"}, 5.0)
    assert "1: a: in the past (1)" in summary.table(5.0)
    assert summary.problem() == "the arm refused commands: a: in the past (1)"

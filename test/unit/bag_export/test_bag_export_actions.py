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

"""The actions exported from bags are what was executed."""

from __future__ import annotations

import numpy as np

from harness import bags
from harness.bags import SIM_NS, WALL_NS, WORDS
from tinyvla_ros.core.configuration import read_json

DT_NS = 12_500_000


def test_in_real_time_a_chunk_counts_from_when_it_arrived(tmp_path, capsys):
    # Chunk n is of step 16 n, comes in step 16 n + 5 and counts from the next: 16 n + 6.
    bag = bags.write(tmp_path / "bag", bags.realtime(1.5))
    bags.export(tmp_path / "data", bag)
    data = bags.load(tmp_path / "data")
    actions = data.actions.reshape(-1, 2)
    first = 8  # of the first frame that had a chunk for all of its steps
    assert bags.numbers(data.images)[0][0] == first // 4
    for i, action in enumerate(actions):
        step = first + i
        n = (step - 6) // 16
        row = step - 16 * n
        if row < 16:
            np.testing.assert_array_equal(action, bags.chunk_rows(n, 16)[row])
        else:  # past its end: `hold` of the contract is zero for dx, the last for gripper
            np.testing.assert_array_equal(action, [0.0, bags.chunk_rows(n, 16)[15, 1]])
    held = sum((first + i - 6) % 16 + 6 >= 16 for i in range(len(actions)))
    assert f"the arm held for {held} of {len(actions)} control steps" in capsys.readouterr().out


def test_a_recorder_that_is_late_changes_nothing(tmp_path):
    sent = bags.realtime(1.5)
    bags.export(tmp_path / "now", bags.write(tmp_path / "a", sent))
    bags.export(tmp_path / "late", bags.write(tmp_path / "b", sent, late_ns=100_000_000))
    np.testing.assert_array_equal(bags.load(tmp_path / "now").actions,
                                  bags.load(tmp_path / "late").actions)


def test_chunks_for_another_instruction_were_not_executed(tmp_path):
    sent = bags.realtime(1.0)
    stray = bags.trajectory("/action_chunk", SIM_NS + 20 * DT_NS, np.full((16, 2), 9.0), DT_NS,
                            WALL_NS + 25 * DT_NS, words="pull the block")
    bags.export(tmp_path / "with", bags.write(tmp_path / "a", [*sent, stray]))
    bags.export(tmp_path / "without", bags.write(tmp_path / "b", sent))
    np.testing.assert_array_equal(bags.load(tmp_path / "with").actions,
                                  bags.load(tmp_path / "without").actions)


def test_states_reached_are_actions_of_a_hand_guided_demonstration(tmp_path, capsys):
    bag = bags.write(tmp_path / "bag", bags.arm_messages(), {})
    bags.export(tmp_path / "data", bag, "--robot", bags.arm_contract(tmp_path),
                "--instruction", WORDS, "--dt", 0.01)
    data = bags.load(tmp_path / "data", dt=0.01, state=("joint_1", "elbow"),
                     channels=("joint_1", "elbow"))
    begin = read_json(tmp_path / "data/meta/bags.json")["episodes"][0]["first_stamp_ns"]
    ends = (begin - WALL_NS) / 1e9 + np.arange(data.actions[:, :, 0].size) * 0.01 + 0.01
    np.testing.assert_allclose(data.actions[:, :, 0].reshape(-1), ends, atol=1e-5)
    np.testing.assert_allclose(data.actions[:, :, 1].reshape(-1), -ends, atol=1e-5)
    output = capsys.readouterr().out
    assert "its outcome was not recorded" in output
    assert "actions from state" in output


def test_trajectories_are_interpolated_and_replaced_when_the_next_arrives(tmp_path):
    sent = bags.arm_messages()
    dt_ns = 20_000_000
    for n in range(10):
        # Joint 1 goes up by 1 a second from n / 10, in trajectories that overlap.
        start = WALL_NS + n * 200_000_000
        ends = (np.arange(20) + 1) * 0.02
        rows = np.stack([10 * n + ends, -10 * n - ends], 1)
        sent.append(bags.trajectory("/arm/joint_trajectory", start, rows, dt_ns, start + 1_000_000,
                                    names=("joint_1", "joint_2")))
    bag = bags.write(tmp_path / "bag", sent)
    output = {"type": "joint_trajectory", "topic": "/arm/joint_trajectory",
              "channels": {"joint_1": {"scale": 2.0, "offset": 1.0}, "elbow": {"to": "joint_2"}}}
    bags.export(tmp_path / "data", bag, "--robot", bags.arm_contract(tmp_path, output),
                "--fps", 10, "--tolerance", 0.03)
    data = bags.load(tmp_path / "data", dt=0.02, state=("joint_1", "elbow"),
                     channels=("joint_1", "elbow"))
    begin = read_json(tmp_path / "data/meta/bags.json")["episodes"][0]["first_stamp_ns"]
    actions = data.actions.reshape(-1, 2)
    starts = begin - WALL_NS + np.arange(len(actions)) * dt_ns
    n = (starts + dt_ns // 2) // 200_000_000
    inside = (starts + dt_ns) % 200_000_000 > dt_ns  # first points are approached from the last
    expected = 10 * n + (starts + dt_ns - n * 200_000_000) / 1e9
    np.testing.assert_allclose(actions[inside, 1], -expected[inside], atol=1e-5)
    np.testing.assert_allclose(actions[inside, 0], (expected[inside] - 1.0) / 2.0, atol=1e-5)
    assert read_json(tmp_path / "data/meta/bags.json")["actions"] == "trajectory"


def test_points_with_velocities_are_joined_by_cubics_as_the_controller_does(tmp_path):
    sent = bags.arm_messages()
    message = bags.trajectory("/arm/joint_trajectory", WALL_NS - 100_000_000,
                              [[0.0, 0.0], [4.0, 0.0]], 2_100_000_000, WALL_NS - 50_000_000,
                              names=("joint_1", "joint_2"))
    first, last = message.message.points
    first.time_from_start.sec, first.time_from_start.nanosec = 0, 100_000_000
    last.time_from_start.sec, last.time_from_start.nanosec = 2, 100_000_000
    first.velocities, last.velocities = np.zeros(2), np.zeros(2)
    bag = bags.write(tmp_path / "bag", [message, *sent])
    output = {"type": "joint_trajectory", "topic": "/arm/joint_trajectory",
              "channels": {"joint_1": {}, "elbow": {"to": "joint_2"}}}
    bags.export(tmp_path / "data", bag, "--robot", bags.arm_contract(tmp_path, output),
                "--fps", 10, "--tolerance", 0.03, "--dt", 0.1)
    data = bags.load(tmp_path / "data", dt=0.1, state=("joint_1", "elbow"),
                     channels=("joint_1", "elbow"))
    begin = read_json(tmp_path / "data/meta/bags.json")["episodes"][0]["first_stamp_ns"]
    share = ((begin - WALL_NS) / 1e9 + 0.1 * (np.arange(len(data.actions)) + 1)) / 2.0
    np.testing.assert_allclose(data.actions[:, 0, 0], 4.0 * share**2 * (3 - 2 * share), atol=1e-5)


def test_twists_count_until_the_next_and_for_as_long_as_servo_takes_them(tmp_path):
    sent = bags.arm_messages()
    kind = "geometry_msgs/msg/TwistStamped"
    for i in range(50):
        if 20 <= i < 30:
            continue
        stamp = WALL_NS + i * 20_000_000
        vector = bags.make("geometry_msgs/msg/Vector3", x=i / 100, y=0.0, z=0.0)
        nothing = bags.make("geometry_msgs/msg/Vector3", x=0.0, y=0.0, z=0.0)
        twist = bags.make("geometry_msgs/msg/Twist", linear=vector, angular=nothing)
        sent.append(bags.Sent("/servo", kind, stamp + 1_000_000, bags.make(
            kind, header=bags.header(stamp), twist=twist)))
    contract = bags.arm_contract(
        tmp_path, {"type": "twist", "topic": "/servo", "frame": "base",
                   "channels": {"vx": {"to": "linear.x"}}},
        vx={"unit": "m/s", "low": -1.0, "high": 1.0, "hold": "zero"})
    bags.export(tmp_path / "data", bags.write(tmp_path / "bag", sent), "--robot", contract,
                "--dt", 0.01, "--tolerance", 0.03)
    actions = bags.load(tmp_path / "data", dt=0.01, state=("joint_1",), channels=("vx",)).actions
    begin = read_json(tmp_path / "data/meta/bags.json")["episodes"][0]["first_stamp_ns"]
    middle = (begin - WALL_NS + np.arange(actions.size) * 10_000_000 + 5_000_000) / 1e9
    actions = actions.reshape(-1)
    near = (middle > 0.02) & (middle < 0.39)
    assert np.abs(actions[near] - middle[near] / 2).max() < 0.0101
    assert (actions[(middle > 0.5) & (middle < 0.6)] == 0.0).all()


def test_positions_count_until_the_next_in_the_units_of_the_policy(tmp_path):
    sent = bags.arm_messages()
    kind = "std_msgs/msg/Float64MultiArray"
    for i in range(20):
        layout = bags.make("std_msgs/msg/MultiArrayLayout", dim=[], data_offset=0)
        sent.append(bags.Sent("/gripper", kind, WALL_NS + i * 100_000_000 + 1_000_000, bags.make(
            kind, layout=layout, data=np.array([0.8 - 10.0 * i / 100]))))
    contract = bags.arm_contract(
        tmp_path, {"type": "positions", "topic": "/gripper",
                   "channels": {"gripper": {"scale": -10.0, "offset": 0.8}}},
        gripper={"unit": "m", "low": 0.0, "high": 1.0})
    bags.export(tmp_path / "data", bags.write(tmp_path / "bag", sent), "--robot", contract,
                "--dt", 0.01)
    actions = bags.load(tmp_path / "data", dt=0.01, state=("joint_1",),
                        channels=("gripper",)).actions
    begin = read_json(tmp_path / "data/meta/bags.json")["episodes"][0]["first_stamp_ns"]
    middle = begin - WALL_NS + np.arange(actions.size) * 10_000_000 + 5_000_000
    np.testing.assert_allclose(actions.reshape(-1), np.minimum(middle // 100_000_000, 19) / 100,
                               atol=1e-6)

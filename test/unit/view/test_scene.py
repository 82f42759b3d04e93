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

"""What a viewer is told of the messages of a robot."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from harness import ros_messages
from harness.bags import (
    CHANNELS,
    STRING,
    WALL_NS,
    Sent,
    arm_messages,
    chunk_rows,
    claims,
    image,
    joints,
    lockstep,
    trajectory,
)
from harness.ros_messages import make
from harness.viewed import contract, tell
from tinyvla_ros.view.robot_topics import RobotTopics
from tinyvla_ros.view.scene_time import SceneTime
from tinyvla_ros.view.viewer import (
    BEND,
    COMMAND,
    JUMP,
    LATENCY,
    MEASURED,
    SPEED,
    Level,
    Limits,
)

DT_NS = 12_500_000
MS = 1_000_000


def status(name: str, message: str, log_ns: int, level: int = 0, **values: str) -> Sent:
    kind = "diagnostic_msgs/msg/DiagnosticArray"
    pairs = [make("diagnostic_msgs/msg/KeyValue", key=k, value=v) for k, v in values.items()]
    one = make("diagnostic_msgs/msg/DiagnosticStatus", level=level, name=name, message=message,
               hardware_id="", values=pairs)
    return Sent("/diagnostics", kind, log_ns,
                make(kind, header=ros_messages.header(log_ns), status=[one]))


def chunk_at(ms: int, rows, topic: str = "/action_chunk", names=CHANNELS) -> Sent:
    return trajectory(topic, WALL_NS + ms * MS, np.array(rows), 100 * MS, WALL_NS + ms * MS,
                      names=names)


# ---- time -----------------------------------------------------------------------------------

def test_time_is_when_messages_came_until_there_is_a_clock():
    time = SceneTime()
    assert time.now(1000) == 1000
    assert time.stamped(900, 1000) == 900
    assert time.stamped(0, 1000) == 1000  # unstamped
    time.tick(50, 2000)
    assert time.now(9_000_000_000) == 2000  # it stands still until the next tick
    time.tick(60, 9_000_000_000)
    assert time.now(9_000_000_000) == 2010 and time.stamped(70, 9_000_000_000) == 2020


def test_time_goes_on_when_the_simulation_begins_anew():
    time = SceneTime()
    time.tick(7_000_000_000, 100)
    time.tick(9_000_000_000, 200)
    before = time.now(200)
    time.tick(0, 300)
    assert time.now(300) == before
    time.tick(1_000_000_000, 400)
    assert time.now(400) == before + 1_000_000_000


def test_a_stamp_of_another_clock_is_not_used():
    assert SceneTime().stamped(5_000_000_000, WALL_NS) == WALL_NS


# ---- plans ----------------------------------------------------------------------------------

def test_commands_are_the_rows_that_were_executed():
    commands = tell(lockstep(observations=4, k=4)).of(COMMAND)
    shown = np.array([[values[c] for c in CHANNELS] for _, values in commands])
    assert shown == pytest.approx(np.concatenate([chunk_rows(i)[:4] for i in range(3)]))
    times = np.array([at for at, _ in commands])
    assert set(np.diff(times)) == {DT_NS}


def test_a_plan_begins_with_the_row_for_now():
    rows = [[float(i), -float(i)] for i in range(5)]
    late = Sent(*chunk_at(0, rows)[:2], WALL_NS + 250 * MS, chunk_at(0, rows).message)
    plan, = tell([late]).plans
    assert plan.channels == CHANNELS
    assert plan.rows[:, 0].tolist() == [2.0, 3.0, 4.0]
    assert (plan.at_ns, plan.begin_ns) == (WALL_NS + 250 * MS, WALL_NS + 200 * MS)


def test_a_seam_has_a_jump_and_a_bend_of_every_channel():
    first, second = [[0.1 * i, 0.0] for i in range(6)], [[0.5, 0.0]] * 6
    viewer = tell([chunk_at(0, first), chunk_at(200, second)])
    (at, jump), = viewer.of(JUMP)
    (_, bend), = viewer.of(BEND)
    assert at == WALL_NS + 200 * MS
    assert jump == pytest.approx({"dx": 0.3, "gripper": 0.0}, abs=1e-6)
    assert bend == pytest.approx({"dx": -1.0, "gripper": 0.0}, abs=1e-6)  # flat, after 1 per s


def test_what_is_sent_is_the_plan_and_what_the_policy_meant_only_without_it():
    rows = [[0.0, 0.0]] * 4
    viewer = tell([chunk_at(0, rows), chunk_at(10, rows, "/policy_node/chunk"),
                   chunk_at(20, rows, "/policy_node/prefix")])
    assert len(viewer.plans) == 1
    viewer = tell([chunk_at(10, rows, "/policy_node/chunk")])
    assert len(viewer.plans) == 1 and not viewer.of(COMMAND)


def test_trajectories_have_the_names_and_units_of_the_channels():
    robot = RobotTopics(contract(outputs=[{
        "type": "joint_trajectory", "topic": "arm/command",
        "channels": {"gripper": {"to": "finger", "scale": 2.0, "offset": 1.0}}},
        {"type": "positions", "topic": "x/command", "channels": {"dx": {"scale": 10.0}}}],
        actions={n: {"unit": "m", "low": -1.0, "high": 1.0, "velocity": 0.5}
                 for n in CHANNELS}))
    sent = [chunk_at(0, [[1.0], [1.2], [1.4]], "/arm/command", ["finger"])]
    sent += [Sent("/x/command", "std_msgs/msg/Float64MultiArray", WALL_NS + i * 100 * MS,
                  ros_messages.vector([5.0 + i])) for i in range(4)]
    viewer = tell(sent, robot)
    plan, = viewer.plans
    assert plan.channels == ("gripper",)
    assert plan.rows[:, 0].tolist() == pytest.approx([0.0, 0.1, 0.2])
    assert [v["dx"] for _, v in viewer.of(COMMAND) if "dx" in v] == pytest.approx(
        [0.5, 0.6, 0.7, 0.8])
    # 0.1 m in 0.1 s, where 0.5 m/s is allowed.
    assert [v["dx"] for _, v in viewer.of(SPEED) if "dx" in v] == pytest.approx([2.0] * 3)


# ---- sensors --------------------------------------------------------------------------------

def test_sensors_are_shown_under_their_own_names_and_as_what_they_measure():
    robot = RobotTopics(contract(actions={
        "dx": {"unit": "rad", "low": -1.0, "high": 1.0, "state": "elbow", "jump": 0.1},
        "gripper": {"unit": "m", "low": -1.0, "high": 1.0}}))
    viewer = tell([joints(WALL_NS, {"joint_1": 0.25, "joint_2": 0.5}, WALL_NS + MS)], robot)
    assert viewer.of("joints") == [(WALL_NS, {"joint_1": 0.25, "joint_2": 0.5})]
    assert viewer.of(MEASURED) == [(WALL_NS, {"dx": 0.5})]
    contents, = viewer.contents
    assert contents.limits["dx"] == Limits("rad", -1.0, 1.0, None)
    assert contents.sensors == ["joints"] and contents.channels == list(CHANNELS)


def test_without_a_contract_all_is_shown_but_limits():
    viewer = tell(lockstep(), RobotTopics(None))
    contents, = viewer.contents
    assert contents.cameras == ["front", "wrist"] and contents.channels == list(CHANNELS)
    assert contents.sensors == ["joints", "ee_pose"] and not contents.limits
    assert viewer.of(COMMAND) and viewer.plans


def test_latency_is_from_the_arrival_of_the_image():
    sent = [image("front", WALL_NS, 0, WALL_NS + 20 * MS),
            trajectory("/policy_node/chunk", WALL_NS, chunk_rows(0), DT_NS, WALL_NS + 65 * MS)]
    assert tell(sent).of(LATENCY) == [(WALL_NS + 65 * MS, {"image to chunk": 45.0})]


def test_every_image_is_shown_or_as_many_a_second_as_are_wanted():
    sent = arm_messages(2.0)
    all_of_them = tell(sent).images
    assert sum(camera == "front" for _, camera, *_ in all_of_them) == 60
    few = tell(sent, images_per_s=10.0).images
    assert 15 <= sum(camera == "front" for _, camera, *_ in few) <= 21
    assert not tell(sent, wanted=False).images


def test_an_image_arrives_with_its_pixels():
    (_, camera, data, kind), = tell([image("front", WALL_NS, 7, WALL_NS)]).images
    shown = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert (camera, kind, shown.shape) == ("front", "jpeg", (32, 32, 3))
    assert abs(int(shown[20, 20, 0]) - 27) < 5


def test_a_jpeg_goes_on_as_it_is():
    _, jpeg = cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))
    msg = make("sensor_msgs/msg/CompressedImage", header=ros_messages.header(WALL_NS),
               format="rgb8; jpeg compressed bgr8", data=jpeg.reshape(-1))
    sent = Sent("/camera/front/image_raw/compressed", "sensor_msgs/msg/CompressedImage",
                WALL_NS, msg)
    (_, camera, data, kind), = tell([sent]).images
    assert (camera, kind, data) == ("front", "jpeg", jpeg.tobytes())


def test_an_image_that_cannot_be_shown_is_named_once():
    sent = [Sent("/depth", "sensor_msgs/msg/Image", WALL_NS + i, ros_messages.image(
        WALL_NS + i, np.zeros((4, 4, 2), np.uint8), "16UC1")) for i in range(3)]
    viewer = tell(sent)
    (_, level, source, text), = viewer.events
    assert (level, source) == (Level.WARN, "view") and "/depth" in text and "16UC1" in text


# ---- states and events ----------------------------------------------------------------------

def test_who_commands_is_a_state_and_an_event():
    viewer = tell(claims((0.0, "policy_node", "policy"), (1.0, "policy_node", "")))
    assert [(name, text) for _, name, text in viewer.states] == [
        ("commander", "policy"), ("commander", "nobody")]
    assert [text for *_, text in viewer.events] == ["commands as policy", "no longer commands"]


def test_statuses_tell_of_changes_holds_and_latencies():
    name = "policy_node: policy"
    viewer = tell([
        status(name, "running", WALL_NS, state="running", total_ms_p50="31.5", **{"hold x": "1"}),
        status(name, "running", WALL_NS + 1, state="running", **{"hold x": "1"}),
        status(name, "camera/front is stale", WALL_NS + 2, 1, state="holding",
               **{"hold x": "3"})])
    assert [(level, text) for _, level, _, text in viewer.events] == [
        (Level.INFO, "running"), (Level.WARN, "camera/front is stale"),
        (Level.WARN, "hold: x (2 times)")]
    assert viewer.states[-1][1:] == ("policy", "holding")
    assert viewer.of(LATENCY) == [(WALL_NS, {"total p50": 31.5})]


def test_the_instruction_and_the_episode_are_states():
    kind = "diagnostic_msgs/msg/DiagnosticStatus"
    pairs = [make("diagnostic_msgs/msg/KeyValue", key=k, value=v) for k, v in
             (("index", "3"), ("task", "push"))]
    begin = make(kind, level=0, name="", message="begin", hardware_id="", values=pairs)
    end = make(kind, level=0, name="", message="end", hardware_id="", values=[
        *pairs, make("diagnostic_msgs/msg/KeyValue", key="success", value="true")])
    viewer = tell([Sent("/instruction", STRING, WALL_NS, make(STRING, data="push it")),
                   Sent("/episode", kind, WALL_NS + 1, begin),
                   Sent("/episode", kind, WALL_NS + 2, end)])
    assert [s[1:] for s in viewer.states] == [
        ("instruction", "push it"), ("episode", "index 3, task push"), ("episode", "success")]
    assert viewer.events[-1][3] == "end of index 3, task push, success"


# ---- several robots -------------------------------------------------------------------------

def test_of_several_robots_the_one_of_the_namespace_is_shown():
    sent = [Sent(f"/{side}{s.topic}", *s[1:]) for side in ("left", "right")
            for s in [joints(WALL_NS, {"joint_1": 1.0}, WALL_NS), chunk_at(0, [[0.0, 0.0]] * 3)]]
    sent += [status(f"{side}/policy_node: policy", side, WALL_NS, state="running")
             for side in ("left", "right")]
    viewer = tell(sent, RobotTopics(contract(), "left"))
    assert len(viewer.of("joints")) == 1 and len(viewer.plans) == 1
    assert [(source, text) for *_, source, text in viewer.events] == [
        ("policy_node: policy", "left")]

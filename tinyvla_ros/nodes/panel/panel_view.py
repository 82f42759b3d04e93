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

"""What the page shows of a running graph: diagnostics, joints, the plan, and pictures."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message
from rclpy.subscription import Subscription
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.arm.contract_streams import InputStream, contract_streams
from tinyvla_ros.core.errors import InputError, MessageError
from tinyvla_ros.core.ros.commander import COMMANDER
from tinyvla_ros.core.ros.messages import stamp_to_ns, trajectory_to_chunk
from tinyvla_ros.nodes.panel.polled_topics import PolledTopics
from tinyvla_ros.nodes.shared.runner import LATCHED, status_name
from tinyvla_ros.nodes.shared.topics import message_class, stream_qos
from tinyvla_ros.panel.pictures import Pictures, as_jpeg

# A status that was not repeated for so long says nothing any more, s.
STATUS_S = 3.0
# A position that was not measured for so long is not shown, s.
JOINT_S = 1.0
# How often topics are read while nobody looks, s.
UNSEEN_S = 0.2
# Rows of a chunk that are shown.
MOST_ROWS = 64


class PanelView:
    """What came on the topics; all but its thread's own methods may be called by any thread.

    Attributes:
        viewers: how many pages show the cameras; they are not read for nobody.

    Args:
        node: whose namespace and clock count.
        contract: of the robot.
        driver: name of the node that commands the arm.
        pictures: takes the cameras' newest.
        picture_rate: how often they are looked for, 1/s.
    """

    def __init__(self, node: Node, contract: RobotContract, driver: str, pictures: Pictures,
                 picture_rate: float):
        self._node, self._contract, self._pictures = node, contract, pictures
        self._lock = threading.Lock()
        self._driver = status_name(node, driver, "policy" if driver == "policy_node" else "teleop")
        self._recorder = status_name(node, "episode_recorder_node", "recording")
        self._group = status_name(node, "", "").removesuffix(": ")
        # name -> status as JSON, and when it came, steady s.
        self._statuses: dict[str, tuple[dict[str, Any], float]] = {}
        self._joints: dict[str, tuple[float, float]] = {}  # value, and when it came, steady s
        self._plan: dict[str, Any] | None = None
        self._commander = self._instruction = ""
        self._camera_errors: dict[str, str] = {}
        self._streams = contract_streams(contract, contract.cameras)
        self._camera_subscriptions: list = []
        self.viewers = 0
        self._period = 1.0 / picture_rate
        self._topics = topics = PolledTopics(node, "_panel_view", self._show_cameras)
        topics.add(DiagnosticArray, "/diagnostics", self._on_diagnostics, QoSProfile(depth=50))
        topics.add(String, f"{driver}/{COMMANDER}", self._on_commander, LATCHED)
        topics.add(JointTrajectory, f"{driver}/chunk", self._on_chunk, QoSProfile(depth=1))
        # A subscription that asks for kept messages gets none of a publisher that keeps none.
        for qos in (LATCHED, QoSProfile(depth=1)):
            topics.add(String, contract.instruction, self._on_instruction, qos)
        for stream in self._streams:
            if not stream.camera:
                self._read_states(stream)
        topics.start()

    def close(self) -> None:
        """Read the topics no more."""
        self._topics.close()

    def status(self, name: str = "") -> dict[str, Any] | None:
        """Return the status of the recorder, or of the driver; None if there is none now."""
        with self._lock:
            found = self._statuses.get(name or self._driver)
        return found[0] if found and time.monotonic() - found[1] < STATUS_S else None

    @property
    def recorder(self) -> dict[str, Any] | None:
        """The status of the recorder; None if there is none now."""
        return self.status(self._recorder)

    @property
    def instruction(self) -> str:
        """The newest instruction; empty before the first."""
        return self._instruction

    def state(self) -> dict[str, Any]:
        """Return what is shown, as JSON."""
        now_s = time.monotonic()
        with self._lock:
            others = [{"name": n, "level": s["level"], "message": s["message"]}
                      for n, (s, at_s) in self._statuses.items()
                      if s["level"] and now_s - at_s < STATUS_S
                      and n not in (self._driver, self._recorder)]
            joints = {n: v for n, (v, at_s) in self._joints.items() if now_s - at_s < JOINT_S}
            errors = dict(self._camera_errors)
        return {"now": self._node.get_clock().now().nanoseconds / 1e9,
                "driver": self.status(), "recorder": self.recorder, "others": others,
                "commander": self._commander, "instruction": self._instruction,
                "joints": joints, "plan": self._plan, "camera_errors": errors,
                "camera_ages": self._pictures.ages()}

    # ---- its thread -----------------------------------------------------------------------

    def _show_cameras(self) -> float:
        """Read the cameras while somebody looks; return when to read again, s."""
        if (self.viewers > 0) != bool(self._camera_subscriptions):
            for subscription in self._camera_subscriptions:
                self._topics.remove(subscription)
            self._camera_subscriptions = [self._read_camera(s) for s in self._streams
                                          if s.camera] if self.viewers else []
            self._pictures.clear()
        # Twice as often as pictures are wanted, because cameras keep another time.
        return self._period / 2 if self.viewers else UNSEEN_S

    def _read_camera(self, stream: InputStream) -> Subscription:
        kind, camera = message_class(stream.type), stream.camera

        def take(data: bytes) -> None:
            error = ""
            try:
                self._pictures.put(camera, as_jpeg(stream.decode(deserialize_message(data, kind))))
            except MessageError as err:
                error = str(err)
            with self._lock:
                self._camera_errors[camera] = error

        qos = stream_qos(stream.settings)
        qos.depth = 1  # the newest
        return self._topics.add(kind, stream.settings.topic, take, qos, raw=True,
                                period=self._period)

    def _read_states(self, stream: InputStream) -> None:
        def take(msg) -> None:
            try:
                values = stream.decode(msg)
            except MessageError:
                return  # the driver of the arm says so in its status
            with self._lock:
                now_s = time.monotonic()
                self._joints |= {n: (v, now_s) for n, v in values.items() if math.isfinite(v)}

        self._topics.add(message_class(stream.type), stream.settings.topic, take,
                         stream_qos(stream.settings))

    def _on_diagnostics(self, msg: DiagnosticArray) -> None:
        now_s = time.monotonic()
        with self._lock:
            for status in msg.status:
                if not self._group or status.name.startswith(self._group):
                    self._statuses[status.name] = ({
                        "level": status.level[0], "message": status.message,
                        "values": {v.key: v.value for v in status.values}}, now_s)

    def _on_commander(self, msg: String) -> None:
        self._commander = msg.data

    def _on_instruction(self, msg: String) -> None:
        self._instruction = msg.data

    def _on_chunk(self, msg: JointTrajectory) -> None:
        try:
            chunk = trajectory_to_chunk(msg, msg.joint_names)
            self._plan = {"stamp": stamp_to_ns(msg.header.stamp) / 1e9, "dt": chunk.dt_ns / 1e9,
                          "names": list(chunk.channels),
                          "rows": _rounded(chunk.actions[:MOST_ROWS].tolist())}
        except InputError:
            self._plan = None


def _rounded(rows: Sequence[Sequence[float]]) -> list[list[float]]:
    return [[round(v, 5) for v in row] for row in rows]

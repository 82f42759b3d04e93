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

"""What the page does to a running graph: services, instruction, episodes, and its joystick."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Joy
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.ros.episode_event import EpisodeEvent
from tinyvla_ros.nodes.panel.panel_view import PanelView
from tinyvla_ros.nodes.shared.run_guard import other_publishers
from tinyvla_ros.nodes.shared.runner import EPISODE_QOS, LATCHED
from tinyvla_ros.nodes.shared.sent_request import SentRequest
from tinyvla_ros.panel.joy_layout import TOPIC
from tinyvla_ros.panel.robot import Service
from tinyvla_ros.policy.config import PolicyConfig
from tinyvla_ros.teleop.session import DemonstrationSession

# How often it is asked who listens, s.
LOOK_S = 0.5
# How often it is looked whether services have answered, and how long, s.
POLL_S, ANSWER_S = 0.05, 10.0


class PanelRobot:
    """``tinyvla_ros.panel.robot.Robot`` over ROS.

    Args:
        node: publishes and calls.
        view: what is shown.
        contract: of the robot.
        config: of the policy; None if it is not known.
        driver: name of the node that commands the arm.
        run: id of the run that episodes belong to; empty for none.
    """

    def __init__(self, node: Node, view: PanelView, contract: RobotContract,
                 config: PolicyConfig | None, driver: str, run: str):
        self._node, self._view, self._contract, self._config = node, view, contract, config
        self._driver, self._run = driver, run
        self._joy = node.create_publisher(Joy, TOPIC, QoSProfile(depth=20))
        enable = node.create_client(SetBool, f"{driver}/enable")
        self._clients = {
            "enable": (enable, SetBool.Request(data=True)),
            "hold": (enable, SetBool.Request(data=False)),
            "stop": (node.create_client(Trigger, f"{driver}/stop"), Trigger.Request()),
            "reset": (node.create_client(Trigger, f"{driver}/reset"), Trigger.Request())}
        self._heard, self._looks_s = False, 0.0
        self._sent: deque[tuple[SentRequest, float, Callable[[bool, str], None]]] = deque()
        node.create_timer(POLL_S, self._poll, clock=Clock(clock_type=ClockType.STEADY_TIME))
        # Made when they are needed: a simulation has publishers of its own, and nobody else.
        self._events = self._words = None
        self._session = DemonstrationSession(0, 0.0, self._event_values, self._publish_event)

    # ---- what is shown --------------------------------------------------------------------

    def about(self) -> dict[str, Any]:
        """Return what does not change."""
        channels = self._config.action.channels if self._config else self._contract.actions
        return {"robot": self._contract.name, "namespace": self._node.get_namespace().strip("/"),
                "driver": self._driver, "cameras": list(self._contract.cameras),
                "instructions": list(self._config.instructions) if self._config else [],
                "channels": [
                    {"name": name, "unit": channel.unit, "low": channel.low, "high": channel.high,
                     "state": channel.state or name}
                    for name in channels if (channel := self._contract.actions.get(name))]}

    def state(self) -> dict[str, Any]:
        """Return what changes."""
        state = self._view.state()
        session = self._session
        values = {"state": session.state, "kept": session.kept, "successes": session.successes,
                  "discarded": session.discarded}
        if self._driver == "teleop_node" and state["driver"]:
            told = state["driver"]["values"]
            values = {"state": told.get("session", ""), **{
                name: told.get(name, 0) for name in ("kept", "successes", "discarded")}}
        return state | {"session": values, "listens": self._is_heard()}

    def _is_heard(self) -> bool:
        """Whether the driver listens to the page's joystick; a recorder may, too."""
        now_s = time.monotonic()
        if now_s >= self._looks_s:
            self._looks_s = now_s + LOOK_S
            place = self._driver, self._node.get_namespace()
            self._heard = place in {
                (i.node_name, i.node_namespace) for i in
                self._node.get_subscriptions_info_by_topic(self._joy.topic_name)}
        return self._heard

    def watch(self, viewers: int) -> None:
        """Say how many pages show the cameras."""
        self._view.viewers = viewers

    # ---- what is done ---------------------------------------------------------------------

    def send_joy(self, axes: Sequence[float], buttons: Sequence[int]) -> None:
        """Publish what the driver does."""
        msg = Joy(axes=axes, buttons=buttons)
        msg.header.stamp = self._node.get_clock().now().to_msg()
        msg.header.frame_id = "panel"
        self._joy.publish(msg)

    def lose_driver(self) -> None:
        """Publish a joystick without axes and buttons: there is none any more."""
        self.send_joy((), ())

    def call(self, service: Service, answer: Callable[[bool, str], None]) -> None:
        """Call a service of the driver."""
        client, request = self._clients[service]
        if not client.service_is_ready():
            answer(False, f"{client.srv_name} is not there; is {self._driver} running in this "
                          "ROS domain and namespace?")
            return

        self._sent.append((SentRequest(client, request, repeats=service in ("hold", "stop")),
                           time.monotonic() + ANSWER_S, answer))

    def _poll(self) -> None:
        """Tell the pages what services answered."""
        for _ in range(len(self._sent)):
            sent, until_s, answer = entry = self._sent.popleft()
            if sent.poll():
                answer(sent.answer.success, sent.answer.message)
            elif time.monotonic() < until_s:
                self._sent.append(entry)
            else:
                sent.forget()

    def instruct(self, text: str) -> str:
        """Publish an instruction."""
        topic = self._contract.instruction
        if self._driver == "teleop_node":  # which leads the episodes and waits for words
            self._refuse_beside(topic, int(self._words is not None), "has the instruction")
        else:
            self._check_episodes()
        if self._config is not None:
            self._config.check_instruction(text)
        if self._words is None:
            self._words = self._node.create_publisher(String, topic, LATCHED)
        self._words.publish(String(data=text))
        return f"Told: {text}"

    def label(self, press: str) -> str:
        """Begin and end episodes; with teleop_node, its own buttons do."""
        if self._driver == "teleop_node":
            return ""
        self._check_episodes()
        why_not = "" if self._view.recorder else \
            "there is no episode_recorder_node here; start the policy with record:=true"
        return self._session.press(press, time.monotonic(), why_not)

    def close(self) -> None:
        """Abort the running episode."""
        self._session.close()

    def _check_episodes(self) -> None:
        """Raise ``InputError`` if another node leads the episodes."""
        self._refuse_beside("episode", int(self._events is not None),
                            "leads the episodes of this run")

    def _refuse_beside(self, topic: str, mine: int, does: str) -> None:
        others = other_publishers(self._node, self._node.resolve_topic_name(topic), mine)
        if others:
            raise InputError(f"{' and '.join(others)} {does}; that is not for this page.")

    def _event_values(self) -> dict[str, object]:
        words = self._view.instruction
        return {"task": words, "instruction": words, **({"run": self._run} if self._run else {})}

    def _publish_event(self, event: EpisodeEvent) -> None:
        if self._events is None:
            self._events = self._node.create_publisher(DiagnosticStatus, "episode", EPISODE_QOS)
        msg = DiagnosticStatus()
        event.fill(msg, KeyValue, f"{self._node.get_name()}: episode")
        self._events.publish(msg)

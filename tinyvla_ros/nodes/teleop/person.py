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

"""A person at a node that drives an arm: their devices, and the operator behind them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from rclpy.node import Node

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.arm.supervisor import Supervisor
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.extras import EXTRAS, is_installed
from tinyvla_ros.nodes.policy.policy_parameters import OperatorInput, PersonParameters
from tinyvla_ros.nodes.teleop.teleop_inputs import JOY, LEADER, TeleopInputs
from tinyvla_ros.teleop.joystick import Joystick
from tinyvla_ros.teleop.kinematics import Kinematics, model_text, prepare
from tinyvla_ros.teleop.leader import Leader, LeaderMapping
from tinyvla_ros.teleop.mapping import Mapping
from tinyvla_ros.teleop.operator import Commanded, Operator, Speeds

# Shortest time between two chunks that nothing but another deflection asks for, s.
REPLAN_S = 0.01


class Person:
    """What a person drives with.

    Attributes:
        operator: makes chunks of what the person does.
        joystick: the device with the dead man; None without one.
        leader: the leader arm; None without one.

    Args:
        node: subscribes.
        contract: of the arm, with its channels in the order of the chunks.
        options: the node's parameters.
        device: ``joy`` or ``leader``.
        commanded: returns what the arm is commanded at a time in ns; None if nothing was.
        period: of the chunks' rows, s; None for one that fits the arm.

    Raises:
        InputError: the parameters do not fit each other or the arm.
    """

    def __init__(self, node: Node, contract: RobotContract, options: PersonParameters,
                 device: OperatorInput,
                 commanded: Callable[[int], Commanded | None], period: float | None = None):
        self._node, self._options = node, options
        if device == "joy" and not options.mapping:
            raise InputError("Parameter 'mapping' is empty; give game_controller, xbox, spacenav, "
                             "keyboard or a file, or drive with a leader.")
        mapping = Mapping.load(options.mapping) if options.mapping else None
        topics = {name: node.resolve_topic_name(name) for name in (JOY, LEADER)}
        self.joystick = mapping and Joystick(mapping, topics[JOY], options.input_timeout)
        self.leader = Leader(contract, LeaderMapping.load(options.leader), topics[LEADER],
                             options.input_timeout) if device == "leader" else None
        self.operator = Operator(
            contract, mapping, self.joystick, self.leader, options.gripper,
            options.gripper_opens, Speeds(options.speed, options.linear_speed,
                                          options.angular_speed, options.gripper_speed,
                                          options.align_speed), commanded,
            lambda: node.get_clock().now().nanoseconds, period)
        if self.operator.needs_kinematics and options.description:
            text, folder = model_text(options.description)
            self.operator.use_kinematics(lambda joints: Kinematics(text, joints, options.ee_frame,
                                                                   folder))
        if options.mode:
            self.operator.set_mode(options.mode)
        self._described = ""  # the robot description that is in use
        self._inputs: TeleopInputs | None = None
        self._replanned_s = 0.0

    @property
    def _has_kinematics(self) -> bool:
        return self.operator.needs_kinematics and all(map(is_installed, EXTRAS["teleop"]))

    def prepare(self) -> None:
        """Do what takes half a second, which no arm that moves should wait."""
        if self._has_kinematics:
            prepare()

    def listen(self, check_stamp: Callable[[object], int], on_change: Callable[[], None],
               on_press: Callable[[Sequence[str]], None],
               report: Callable[[str, InputError], None], say: Callable[[str], None]) -> None:
        """Subscribe to the devices.

        Args:
            check_stamp: returns a stamp in ns, or raises ``MessageError``.
            on_change: called when another chunk may be wanted.
            on_press: called with the names of buttons that were pressed.
            report: called with topic and error for every refused message.
            say: gets sentences for the person.
        """
        def changed(matters: bool) -> None:
            # What holds or releases the arm counts at once; devices may send more often than that.
            now_s = time.monotonic()
            if matters or now_s - self._replanned_s >= REPLAN_S:
                self._replanned_s = now_s
                on_change()

        self._inputs = TeleopInputs(self._node, self.operator.lock, self.joystick, self.leader,
                                    check_stamp, changed, on_press, report)
        if self._has_kinematics and not self._options.description and self.leader is None:
            self._inputs.listen_for_description(
                lambda text: self._on_description(text, report, say))

    def _on_description(self, text: str, report: Callable[[str, InputError], None],
                        say: Callable[[str], None]) -> None:
        if text == self._described:
            return
        is_first, self._described = not self._described, text
        try:
            self.operator.use_kinematics(lambda joints: Kinematics(text, joints,
                                                                   self._options.ee_frame))
            if self._options.mode and is_first:  # later the person has chosen
                self.operator.set_mode(self._options.mode)
            say("robot_description has come: the end effector can be moved.")
        except InputError as err:
            report("robot_description", err)

    def problem(self, now_s: float) -> str:
        """Return why the person may not move the arm, empty if they may; steady seconds."""
        return self._inputs.problem(now_s)

    def disconnect(self) -> None:
        """Forget what is pressed; it must be released before it counts again."""
        if self._inputs is not None:
            self._inputs.disconnect()

    def close(self) -> None:
        """Take the subscriptions from the graph."""
        if self._inputs is not None:
            self._inputs.close()

    def describe(self) -> dict[str, object]:
        """Return key -> value for diagnostics."""
        operator = self.operator
        values: dict[str, object] = {"mapping": self._options.mapping, "mode": operator.mode,
                                     "modes": " ".join(operator.modes)}
        if self.joystick is not None:
            with operator.lock:
                values["stuck"] = self.joystick.stuck()
        if self.leader is not None:
            values["aligned"] = str(operator.aligned).lower()
        return values


def commanded_of(supervisor: Supervisor | None, now_ns: int) -> Commanded | None:
    """Return what a supervisor's plan commands at a time, ns; None if nothing was planned."""
    plan = supervisor and supervisor.plan
    if plan is None:
        return None
    motion = plan.motion(now_ns)
    return Commanded(motion.value, motion.step / (plan.dt_ns / 1e9),
                     supervisor.state == "running", now_ns >= plan.end_ns)

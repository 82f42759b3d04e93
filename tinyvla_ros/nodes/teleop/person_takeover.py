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

"""A person who may take the arm from the policy of the same node."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rclpy.node import Node

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.nodes.policy.policy_inputs import PolicyInputs
from tinyvla_ros.nodes.policy.policy_parameters import PolicyNodeParameters
from tinyvla_ros.nodes.teleop.person import Person
from tinyvla_ros.policy.config import ActionSpec
from tinyvla_ros.teleop.operator import NO_INSTRUCTION, Commanded
from tinyvla_ros.teleop.takeover import TakeoverSwitch


class PersonTakeover(TakeoverSwitch):
    """Their devices and what they need to know of the arm, which are its joints, not its cameras.

    Attributes:
        operator: makes chunks of what they do, with the channels and the period of the policy's.
        inputs: what they need to know of the arm.

    Args:
        node: subscribes.
        contract: of the arm.
        action: of the policy.
        options: the node's parameters.
        commanded: returns what the arm is commanded at a time in ns; None if nothing was.
        on_change: called when another chunk may be wanted.
        report: called with a topic and an error for every refused message.

    Raises:
        InputError: the parameters do not fit each other or the arm.
    """

    def __init__(self, node: Node, contract: RobotContract, action: ActionSpec,
                 options: PolicyNodeParameters, commanded: Callable[[int], Commanded | None],
                 on_change: Callable[[], None], report: Callable[[str, InputError], None]):
        if not options.mapping:
            raise InputError("Parameter 'mapping' is empty, and a person takes over with a dead "
                             "man; give game_controller, xbox, spacenav, keyboard or a file.")
        self._log = node.get_logger()
        contract = contract.model_copy(update={
            "actions": {name: contract.actions[name] for name in action.channels}})
        self._person = Person(node, contract, options, options.takeover, commanded, action.dt)
        self.operator = self._person.operator
        super().__init__(self._person.joystick, self._person.problem, self.operator.reset)
        self._person.prepare()
        self.inputs = PolicyInputs(node, contract, self.operator.config, report,
                                   lambda text: text, NO_INSTRUCTION)
        self._person.listen(self.inputs.checked_stamp, on_change, self._on_press, report,
                            self._log.info)

    def disconnect(self) -> None:
        """Give the arm back; what is pressed must be released before it counts again."""
        self._person.disconnect()
        self.end()

    def close(self) -> None:
        """Take the subscriptions from the graph."""
        self._person.close()
        self.inputs.close()

    def _on_press(self, buttons: Sequence[str]) -> None:
        if "mode" in buttons:
            self._log.info(self.operator.switch_mode())

    def describe(self) -> dict[str, object]:
        """Return key -> value for diagnostics."""
        return {f"person {k}": v for k, v in self._person.describe().items()} | {
            "takeovers": self.count}

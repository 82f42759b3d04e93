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

"""A person drives an arm, as a policy does: the same contract, limits, watchdogs and outputs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import ClassVar

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from rclpy.clock import Clock, ClockType
from std_msgs.msg import String
from std_srvs.srv import Trigger

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.core.resources import default_robot
from tinyvla_ros.core.ros.commander import HUMAN
from tinyvla_ros.core.ros.episode_event import EpisodeEvent
from tinyvla_ros.nodes.policy.policy_inputs import PolicyInputs
from tinyvla_ros.nodes.policy.policy_parameters import DriverParameters
from tinyvla_ros.nodes.policy_node import PolicyNode
from tinyvla_ros.nodes.shared.runner import EPISODE_QOS, LATCHED, run_node
from tinyvla_ros.nodes.teleop.person import Person, commanded_of
from tinyvla_ros.nodes.teleop.teleop_parameters import TeleopParameters
from tinyvla_ros.teleop.operator import NO_INSTRUCTION, SAG, Operator
from tinyvla_ros.teleop.session import DemonstrationSession

# A new scene that was asked for and has not come by then is no reason to wait, s.
RESET_LIMIT_S = 30.0
TICK_S = 0.05


class TeleopNode(PolicyNode):
    """The operator is the policy of this node."""

    NAME: ClassVar[str] = "teleop_node"
    PARAMETERS: ClassVar[type[DriverParameters]] = TeleopParameters
    PART: ClassVar[str] = "teleop"
    COMMANDER: ClassVar[str] = HUMAN
    SAG: ClassVar[float] = SAG

    def __init__(self):
        self._person: Person | None = None
        self._event_publisher = self._instruction_publisher = None
        self._session: DemonstrationSession | None = None
        self._reset_client = None
        self._reset_asked_s = 0.0
        self._reset_future = None  # the answer that is waited for
        self._text = ""  # the newest sentence for the person
        super().__init__()
        self.create_timer(TICK_S, self._tick, clock=Clock(clock_type=ClockType.STEADY_TIME))

    # ---- in place of a policy's -----------------------------------------------------------

    def _load_contract(self) -> RobotContract:
        contract = RobotContract.load(self._options.robot or default_robot())
        # A person does not sample chunks that must be blended.
        return contract.with_execution("replace", 1.0, (
            "replan_every=1", "catch_up=0", "takeover=1"))

    def _load_policy(self, contract: RobotContract) -> Operator:
        self._person = Person(self, contract, self._options, self._options.input,
                              lambda now_ns: commanded_of(self._supervisor, now_ns))
        return self._person.operator

    def _make_takeover(self, contract: RobotContract) -> None:
        return None  # nobody takes over from a person

    def _make_monitor(self) -> None:
        return None  # nothing watches a person

    def _note(self, sentence: str) -> None:
        self.get_logger().debug(sentence)  # about cameras and checkpoints, which nobody needs here

    def _prepare(self) -> str:
        self._diagnostics.hardware_id = self._options.input
        self._person.prepare()
        driver = "a leader arm" if self._person.leader else "a person"
        return f"{driver} with mapping {self._options.mapping or 'none'}"

    def _make_inputs(self, contract: RobotContract) -> PolicyInputs:
        options = self._options
        inputs = PolicyInputs(self, contract, self._policy.config, self._report,
                              lambda text: text, options.instruction or NO_INSTRUCTION,
                              listens=not options.instruction)
        self._person.listen(inputs.checked_stamp, self._on_input, self._on_press, self._report,
                            self._say)
        self._event_publisher = self.create_publisher(DiagnosticStatus, "episode", EPISODE_QOS)
        if options.instruction:
            self._instruction_publisher = self.create_publisher(String, contract.instruction,
                                                                LATCHED)
            self._instruction_publisher.publish(String(data=options.instruction))
        if options.reset_service:
            self._reset_client = self.create_client(Trigger, options.reset_service)
        self._session = DemonstrationSession(
            options.episodes, options.reset_s, self._event_values, self._publish_event,
            self._ask_for_reset if options.reset_service else None)
        return inputs

    def _rest(self) -> None:
        if self._session is not None:
            self._session.close()
        super()._rest()
        if self._person is not None:
            self._person.disconnect()

    def _release(self) -> None:
        super()._release()
        if self._person is None:
            return
        self._person.close()
        for publisher in (self._event_publisher, self._instruction_publisher):
            if publisher is not None:
                self.destroy_publisher(publisher)
        if self._reset_client is not None:
            self.destroy_client(self._reset_client)
        self._person = self._session = self._reset_client = None
        self._event_publisher = self._instruction_publisher = None

    @property
    def _waits_for_enable(self) -> bool:
        """Whether a leader has no dead man."""
        return self._person.leader is not None and self._person.joystick is None

    def on_activate(self, state):
        """Start; a leader without a dead man waits for ~/enable."""
        if self._waits_for_enable:
            self._options = self._options.model_copy(update={"enabled": False})
        return super().on_activate(state)

    def _on_enable(self, request, response):
        response = super()._on_enable(request, response)
        if response.success and self._waits_for_enable:
            with self._policy.lock:
                self._person.leader.engage(request.data)
        return response

    def _run_problem(self) -> str:
        if problem := super()._run_problem():
            return problem
        if self._session is not None and self._session.is_resetting:
            return f"waiting for a new scene from {self._options.reset_service}"
        return self._person.problem(time.monotonic()) if self._person is not None else ""

    # ---- the person -----------------------------------------------------------------------

    def _on_input(self) -> None:
        if self._active:
            self._loop.replan()

    def _on_press(self, buttons: Sequence[str]) -> None:
        if not self._active:
            return
        for button in buttons:
            if button == "mode":
                self._say(self._policy.switch_mode())
            else:
                self._say(self._session.press(button, time.monotonic(), self._why_no_episode()))

    def _why_no_episode(self) -> str:
        # A released dead man is no reason: many press start first.
        supervisor = self._supervisor
        if not supervisor.may_infer:
            return supervisor.reason
        return self._inputs.problem(time.monotonic(), self.get_clock().now().nanoseconds)

    def _say(self, sentence: str) -> None:
        if sentence:
            self._text = sentence
            self.get_logger().info(sentence)
            self._diagnostics.publish()

    # ---- demonstrations -------------------------------------------------------------------

    def _event_values(self) -> dict[str, object]:
        instruction = self._inputs.instruction if self._inputs else self._options.instruction
        return {"task": self._options.task or instruction, "instruction": instruction,
                "run": self._guard.run, "commander": HUMAN}

    def _publish_event(self, event: EpisodeEvent) -> None:
        msg = DiagnosticStatus()
        event.fill(msg, KeyValue, f"{self.get_name()}: episode")
        self._event_publisher.publish(msg)

    def _ask_for_reset(self) -> None:
        self._reset_asked_s = time.monotonic()
        self._person.disconnect()  # a dead man that stays held must not move the new scene's arm
        if not self._reset_client.service_is_ready():
            self._end_reset(f"no node offers {self._options.reset_service}; make a new scene by "
                            "hand")
            return
        self._reset_future = self._reset_client.call_async(Trigger.Request())
        self._reset_future.add_done_callback(self._on_reset_answer)

    def _on_reset_answer(self, future) -> None:
        if future is not self._reset_future:
            return  # to a question that was given up
        answer = future.result()
        if answer is None or not answer.success:
            self._end_reset(f"{self._options.reset_service} refused: "
                            f"{answer.message if answer else 'no answer'}")
        else:
            self._end_reset("")

    def _end_reset(self, why: str) -> None:
        if why:
            self.get_logger().warning(why)
        self._reset_future = None
        if self._session is not None and self._session.is_resetting:
            if self._active:
                self._loop.reset()  # the arm may be elsewhere now
            self._session.reset_done()

    def _tick(self) -> None:
        if not self._active:
            return
        now_s = time.monotonic()
        if self._session.is_resetting and now_s - self._reset_asked_s > RESET_LIMIT_S:
            self._end_reset(f"{self._options.reset_service} did not answer for "
                            f"{RESET_LIMIT_S:g} s; make a new scene by hand")
        why_not = self._why_no_episode() if self._session.begins_next else ""
        self._say(self._session.tick(now_s, why_not))

    # ---- diagnostics ----------------------------------------------------------------------

    def _describe_policy(self) -> dict[str, object]:
        session = self._session
        values = {"input": self._options.input, **self._person.describe(), "message": self._text}
        if session is not None:
            values |= {"session": session.state, "kept": session.kept,
                       "successes": session.successes, "discarded": session.discarded}
        return values


def main() -> int:
    """Run the node; see ``ros2 run tinyvla_ros teleop_node``."""
    return run_node(TeleopNode)

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

"""The policy as a managed ROS 2 node: observations in, checked commands out."""

from __future__ import annotations

import gc
import time
import traceback
from collections.abc import Callable
from functools import partial, wraps
from typing import ClassVar

from lifecycle_msgs.srv import ChangeState
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.arm.contract_check import check_contract
from tinyvla_ros.arm.supervisor import Supervisor
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.resources import default_checkpoint, default_robot
from tinyvla_ros.core.ros.commander import POLICY
from tinyvla_ros.core.ros.messages import fill_prefix, fill_trajectory
from tinyvla_ros.core.types import ActionChunk, Prefix
from tinyvla_ros.core.worker import Worker
from tinyvla_ros.nodes.policy.inference import INFERENCE
from tinyvla_ros.nodes.policy.outputs import OutputPublisher, make_outputs
from tinyvla_ros.nodes.policy.policy_inputs import PolicyInputs
from tinyvla_ros.nodes.policy.policy_loop import PolicyLoop
from tinyvla_ros.nodes.policy.policy_monitor import PolicyMonitor
from tinyvla_ros.nodes.policy.policy_parameters import DriverParameters, PolicyNodeParameters
from tinyvla_ros.nodes.policy.policy_status import driving_message, driving_values
from tinyvla_ros.nodes.policy.policy_warm_up import warm_up
from tinyvla_ros.nodes.shared.declare_parameters import declare_parameters
from tinyvla_ros.nodes.shared.run_guard import RunGuard
from tinyvla_ros.nodes.shared.runner import (
    LATCHED,
    WARN,
    Diagnostics,
    run_node,
)
from tinyvla_ros.nodes.teleop.person import commanded_of
from tinyvla_ros.nodes.teleop.person_takeover import PersonTakeover
from tinyvla_ros.policy.policy import Policy

_SUCCESS, _FAILURE, _ERROR = (TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE,
                              TransitionCallbackReturn.ERROR)


def _transition(failure: TransitionCallbackReturn):
    """Make a transition of a function that raises when it fails; rclpy hides what it raises."""
    def decorate(act: Callable):
        @wraps(act)
        def run(node: PolicyNode, state: LifecycleState) -> TransitionCallbackReturn:
            node.failure = None
            try:
                act(node, state)
            except Exception as err:
                node.fail(act.__name__, err)
                return failure
            return getattr(LifecycleNode, act.__name__)(node, state)
        return run
    return decorate


class PolicyNode(LifecycleNode):
    """Loads on configure, subscribes and infers while active, holds the arm when deactivated.

    A person who drives the arm is a policy, too: ``teleop_node`` is derived from this one.

    Attributes:
        NAME: of the node.
        PARAMETERS: model of its parameters.
        PART: what its status on /diagnostics is about.
        COMMANDER: who commands the arm through it.
        SAG: see ``Supervisor``.
        exit_code: set to end the process.
        failure: what the newest transition failed with; None if it did not.
    """

    NAME: ClassVar[str] = "policy_node"
    PARAMETERS: ClassVar[type[DriverParameters]] = PolicyNodeParameters
    PART: ClassVar[str] = "policy"
    COMMANDER: ClassVar[str] = POLICY
    SAG: ClassVar[float] = 0.0

    def __init__(self):
        super().__init__(self.NAME)
        self.exit_code: int | None = None
        self.failure: Exception | None = None
        self._options = declare_parameters(self, self.PARAMETERS, self._on_parameters)
        self._is_starting = self._options.autostart
        self._guard = RunGuard(self, self._options.run, "~/chunk")
        self._policy: Policy | None = None
        self._inputs: PolicyInputs | None = None
        self._outputs: list[OutputPublisher] = []
        self._supervisor: Supervisor | None = None
        self._loop: PolicyLoop | None = None
        self._workers = [Worker("inference"), Worker("control")]
        self._watcher = Worker("monitor")
        self._takeover: PersonTakeover | None = None
        self._monitor: PolicyMonitor | None = None
        self._active = False
        # What failed in the inference thread, and the number of plans then: the next clears it.
        self._problem, self._plans_before = "", 0
        for service in self.services:
            if service.srv_type is ChangeState:
                service.callback = partial(self._on_change_state, service.callback)
        self.create_service(SetBool, "~/enable", self._on_enable)
        self.create_service(Trigger, "~/stop", self._on_stop)
        self.create_service(Trigger, "~/reset", self._on_reset)
        # Chunks before blending and limits and what they were to continue, to be recorded and
        # replayed.
        self._raw_chunk_publisher = self.create_publisher(JointTrajectory, "~/chunk", 10)
        self._prefix_publisher = self.create_publisher(JointTrajectory, "~/prefix", 10)
        self._commander_publisher = self.create_publisher(String, "~/commander", LATCHED)
        self._publish_commander("")
        self._diagnostics = Diagnostics(self, self.PART, "", self._describe)
        if self._is_starting and not (self.trigger_configure() == _SUCCESS
                                      and self.trigger_activate() == _SUCCESS):
            if isinstance(self.failure, InputError):
                raise self.failure
            self.exit_code = 1
        self._is_starting = False

    # ---- lifecycle ------------------------------------------------------------------------

    @_transition(_FAILURE)
    def on_configure(self, state: LifecycleState) -> None:
        """Load the checkpoint and the contract, check one against the other, warm up."""
        contract = self._load_contract()
        self._policy = self._load_policy(contract)
        config = self._policy.config
        for sentence in check_contract(contract, config):
            self._note(sentence)
        loaded = self._prepare()
        self._supervisor = Supervisor(contract, config, self.SAG)
        self._outputs = make_outputs(self, contract.outputs, config.action.channels)
        self._inputs = self._make_inputs(contract)
        self._takeover = self._make_takeover(contract)
        self._monitor = self._make_monitor()
        self._loop = PolicyLoop(
            self._policy, contract, self._inputs, self._outputs, self._supervisor,
            self.get_clock(), self._workers, self._on_state, self._report,
            self._publish_raw_chunk, self._run_problem,
            getattr(self._options, "extra_latency", 0.0), self._publish_commander,
            self.COMMANDER, self._takeover, self._monitor)
        # A full collection among all that was loaded would stop the arm's threads for tens of ms.
        gc.collect()
        gc.freeze()
        self.get_logger().info(f"{loaded}, for robot {contract.name}")

    def _note(self, sentence: str) -> None:
        """Log what works and may surprise."""
        self.get_logger().info(sentence)

    def _load_policy(self, contract: RobotContract) -> Policy:
        """Return what drives the arm."""
        options = self._options
        return Policy(options.checkpoint or str(default_checkpoint()), options.device,
                      options.seed, options.threads, options.sample_steps or None,
                      backend=options.backend)

    def _prepare(self) -> str:
        """Do what takes long before the arm depends on it; return what drives the arm."""
        options = self._options
        warm_up(self._policy, self._workers[0], options.device)
        self._diagnostics.hardware_id = self._policy.digest
        return (f"checkpoint {options.checkpoint or default_checkpoint()} ({self._policy.digest}) "
                f"on {self._policy.backend}, {options.device}")

    def _make_inputs(self, contract: RobotContract) -> PolicyInputs:
        return PolicyInputs(self, contract, self._policy.config, self._report,
                            self._policy.match_instruction,
                            instruction_timeout=self._options.instruction_timeout)

    def _make_takeover(self, contract: RobotContract) -> PersonTakeover | None:
        """Return who may take over from the policy; None if nobody may."""
        if not self._options.takeover:
            return None
        if len(self._workers) < 3:
            self._workers.append(Worker("person"))
        return PersonTakeover(self, contract, self._policy.config.action, self._options,
                              lambda now_ns: commanded_of(self._supervisor, now_ns),
                              self._on_person, self._report)

    def _make_monitor(self) -> PolicyMonitor | None:
        """Return what watches the policy; None if nothing does."""
        return PolicyMonitor.of(self, self._policy, self._watcher, self._options.monitor,
                                self._options.threads)

    def _on_person(self) -> None:
        if self._active:
            self._loop.replan()

    @_transition(_FAILURE)
    def on_activate(self, state: LifecycleState) -> None:
        """Start the policy loop; it commands the arm if enabled."""
        self._problem, self._active = "", True
        for inputs in self._all_inputs():
            inputs.activate(True)
        self._loop.start(self._options.enabled)
        self.get_logger().info("ready, " + (
            "enabled" if self._options.enabled else "disabled until ~/enable is called"))

    @_transition(_ERROR)
    def on_deactivate(self, state: LifecycleState) -> None:
        """Bring the arm to rest and ignore messages."""
        self._rest()

    @_transition(_ERROR)
    def on_cleanup(self, state: LifecycleState) -> None:
        """Unload the checkpoint and remove its topics."""
        self._release()

    @_transition(_ERROR)
    def on_shutdown(self, state: LifecycleState) -> None:
        """Bring the arm to rest and end the process."""
        self.exit_code = 1
        self._rest()
        self._release()
        self.exit_code = 0

    def _on_change_state(self, change: Callable, request, response):
        """Refuse a transition that the present state does not have; rclpy would end the node."""
        try:
            return change(request, response)
        except RuntimeError as err:
            transition = request.transition
            self.get_logger().error(f"Transition {transition.label or transition.id} is not "
                                    f"possible now: {err}")
            response.success = False
            return response

    def fail(self, transition: str, err: Exception) -> None:
        """Undo a transition that failed, as far as that goes, and say why.

        The arm comes to rest; after anything but activating the node is unconfigured.
        """
        self.failure = err
        if not isinstance(err, InputError):
            self.get_logger().error(f"{transition} failed:\n{traceback.format_exc()}")
        elif not self._is_starting:  # otherwise it ends the process with its sentence
            self.get_logger().error(str(err))
        self._rest()
        if transition != "on_activate":
            self._release()

    def close(self) -> None:
        """Bring the arm to rest; called when the process ends, for any reason."""
        self._rest()
        self._guard.release()

    def _rest(self) -> None:
        if self._active:
            self._active = False
            self._loop.stop()
            for inputs in self._all_inputs():
                inputs.activate(False)
            if self._takeover is not None:
                self._takeover.disconnect()

    def _release(self) -> None:
        for part in (self._inputs, self._takeover, self._monitor, *self._outputs):
            if part is not None:
                part.close()
        self._policy = self._inputs = self._takeover = self._monitor = None
        self._supervisor = self._loop = None
        self._outputs = []
        gc.unfreeze()

    def _all_inputs(self) -> list[PolicyInputs]:
        return [self._inputs, *([self._takeover.inputs] if self._takeover else [])]

    def _load_contract(self) -> RobotContract:
        contract = RobotContract.load(self._options.robot or default_robot())
        return contract.with_execution(self._options.join, self._options.pace)

    def _on_parameters(self, options: DriverParameters, changed: set[str]
                       ) -> Callable[[], None]:
        options.check_change(changed, self._policy is not None, self._active)

        def apply() -> None:
            self._options = options
            if self._loop is not None and "extra_latency" in changed:
                self._loop.set_extra_latency(options.extra_latency)

        return apply

    def _run_problem(self) -> str:
        """Return why no node of this run may act yet, empty if it may."""
        if not self._guard.settled:
            return "looking for another run in this ROS domain"
        wanted = self._options.wait_for
        return f"waiting for {wanted}" if wanted and not self._guard.has_begun(wanted) else ""

    def _publish_commander(self, name: str) -> None:
        self._commander_publisher.publish(String(data=name))

    def _publish_raw_chunk(self, chunk: ActionChunk, instruction: str,
                           prefix: Prefix | None) -> None:
        if prefix is not None:
            msg = JointTrajectory()
            fill_prefix(msg, chunk, prefix, instruction, JointTrajectoryPoint)
            self._prefix_publisher.publish(msg)
        msg = JointTrajectory()
        fill_trajectory(msg, chunk, instruction, JointTrajectoryPoint)
        self._raw_chunk_publisher.publish(msg)

    # ---- services -------------------------------------------------------------------------

    def _on_enable(self, request, response):
        if request.data and self._active and (why := self._why_not_enabled()):
            response.success, response.message = False, why
            self.get_logger().warning(f"not enabled: {why}")
            return response
        if self._takeover is not None:
            self._takeover.forget()
        return self._serve(response, "enabled" if request.data else "disabled",
                           lambda: self._loop.enable(request.data))

    def _why_not_enabled(self) -> str:
        if self._supervisor.state == "stopped":
            return f"{self._supervisor.reason}; call ~/reset first"
        rival = next(filter(None, (o.rival() for o in self._outputs)), "")
        return rival and f"{rival}; end it, or remap one of them"

    def _on_stop(self, request, response):
        return self._serve(response, "stopped until ~/reset is called",
                           lambda: self._loop.emergency_stop("stopped by the operator"))

    def _on_reset(self, request, response):
        return self._serve(response, "observations forgotten", self._loop and self._loop.reset)

    def _serve(self, response, message: str, act):
        if not self._active:
            response.success, response.message = False, "the node is not active; activate it first"
            return response
        act()
        self._problem = ""
        response.success, response.message = True, message
        self.get_logger().info(message)
        self._diagnostics.publish()
        return response

    # ---- diagnostics ----------------------------------------------------------------------

    def _on_state(self) -> None:
        if self._loop.failure is not None:
            self.get_logger().fatal(self._supervisor.reason)
            self.exit_code = 1
        self._diagnostics.publish_if_changed()

    def _report(self, topic: str, err: InputError) -> None:
        if topic == INFERENCE:
            self._problem, self._plans_before = f"{topic}: {err}", self._supervisor.plans
        self.get_logger().warning(f"{topic}: {err}", throttle_duration_sec=1.0)
        self._diagnostics.publish_if_changed()

    def _describe(self):
        if self._supervisor is None:
            return WARN, f"inactive: {self.failure or 'not configured'}", {}
        supervisor, loop, inputs = self._supervisor, self._loop, self._inputs
        # Together: the control thread changes both.
        state, reason = supervisor.state, supervisor.reason
        publishers = [*(o.publisher for o in self._outputs), self._raw_chunk_publisher]
        values = self._describe_policy() | driving_values(supervisor, loop, inputs, publishers)
        values["state"] = state
        for part in (self._takeover, self._monitor):
            if part is not None:
                values |= part.describe()
        if supervisor.plans > self._plans_before or not supervisor.may_infer:
            self._problem = ""
        # A refused message first: it may be why inference has nothing good.
        refused = inputs.refusal(time.monotonic())
        return *driving_message(
            state, reason, "; ".join(filter(None, (refused, self._problem))),
            loop.following.problem or (self._monitor.warning if self._monitor else ""),
            "running" if loop.driver == self.COMMANDER else "a person drives"), values

    def _describe_policy(self) -> dict[str, object]:
        return {"checkpoint_digest": self._policy.digest, "backend": self._policy.backend,
                "sample_steps": self._policy.backend.sample_steps,
                "instruction_timeout": f"{self._options.instruction_timeout:g}"}


def main() -> int:
    """Run the node; see ``ros2 run tinyvla_ros policy_node``."""
    return run_node(PolicyNode)

# SPDX-License-Identifier: Apache-2.0
"""The policy as a managed ROS 2 node: observations in, checked commands out."""

from __future__ import annotations

import time
from typing import Literal

import numpy as np
from pydantic import Field
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from tinyvla_ros.arm.blending import ChunkBlending
from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.arm.contract_check import check_contract
from tinyvla_ros.arm.supervisor import Supervisor, seam_summary
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.messages import fill_trajectory
from tinyvla_ros.core.resources import default_checkpoint, default_robot
from tinyvla_ros.core.run_claims import RunMember
from tinyvla_ros.core.types import ActionChunk, Observation
from tinyvla_ros.core.worker import Worker
from tinyvla_ros.nodes.declare_parameters import declare_parameters
from tinyvla_ros.nodes.outputs import OutputPublisher, make_outputs
from tinyvla_ros.nodes.policy_inputs import PolicyInputs
from tinyvla_ros.nodes.policy_loop import PolicyLoop
from tinyvla_ros.nodes.run_guard import RunGuard
from tinyvla_ros.nodes.runner import ERROR, OK, SUBSCRIBERS, WARN, Diagnostics, run_node
from tinyvla_ros.policy.policy import Policy

_LEVELS = {"running": OK, "stopped": ERROR}
_SUCCESS, _FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


class PolicyNodeParameters(RunMember):
    """Parameters of ``policy_node``."""

    robot: str = Field("", description="Robot contract, a file like those in config/robots; empty "
                                       "for the arm that sim_bridge_node simulates.")
    checkpoint: str = Field("", description="Checkpoint directory; empty for the shipped one.")
    device: str = Field("cpu", description="Torch device: cpu, cuda or cuda:N.")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Seed of the sampler's noise.")
    threads: int = Field(1, ge=1, le=64, description="CPU threads of the network.")
    sample_steps: int = Field(0, ge=0, le=1000,
                              description="DDIM steps; 0 for the checkpoint's own.")
    join: Literal["", ChunkBlending] = Field(
        "", description="How chunks are blended; empty for the contract's execution.join.")
    enabled: bool = Field(False, description="Command the arm from the start; otherwise wait for "
                                             "~/enable.")
    autostart: bool = Field(True, description="Configure and activate at once; otherwise wait "
                                              "for a lifecycle manager.")
    wait_for: str = Field("", description="Name of a node of the same run; nothing is commanded "
                          "before it has begun.")
    extra_latency: float = Field(0.0, ge=0.0, le=10.0, description="Seconds added to every "
                                 "inference, for experiments.")


class PolicyNode(LifecycleNode):
    """Loads on configure, subscribes and infers while active, holds the arm when deactivated.

    Attributes:
        exit_code: set to end the process.
    """

    def __init__(self):
        super().__init__("policy_node")
        self.exit_code: int | None = None
        self._failure: InputError | None = None
        self._options = declare_parameters(self, PolicyNodeParameters)
        self._guard = RunGuard(self, self._options.run, "~/chunk")
        self._policy: Policy | None = None
        self._inputs: PolicyInputs | None = None
        self._outputs: list[OutputPublisher] = []
        self._supervisor: Supervisor | None = None
        self._loop: PolicyLoop | None = None
        self._workers = (Worker("inference"), Worker("control"))
        self._active = False
        # The newest refused input, and the number of plans then: the next plan clears it.
        self._problem, self._plans_before = "", 0
        self.create_service(SetBool, "~/enable", self._on_enable)
        self.create_service(Trigger, "~/stop", self._on_stop)
        self.create_service(Trigger, "~/reset", self._on_reset)
        # Chunks before blending and limits, to be recorded and replayed.
        self._raw_chunk_publisher = self.create_publisher(JointTrajectory, "~/chunk", 10)
        self._diagnostics = Diagnostics(self, "policy", "", self._describe)
        if self._options.autostart:
            self.trigger_configure()
            if self._failure is not None:
                raise self._failure
            self.trigger_activate()

    # ---- lifecycle ------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the checkpoint and the contract, check one against the other, warm up."""
        options, self._failure = self._options, None
        try:
            contract = self._load_contract()
            path = options.checkpoint or str(default_checkpoint())
            self._policy = Policy(path, options.device, options.seed, options.threads,
                                  options.sample_steps or None)
            config = self._policy.config
            for sentence in check_contract(contract, config):
                self.get_logger().info(sentence)
        except InputError as err:
            self._failure, self._policy = err, None
            self.get_logger().error(str(err))
            return _FAILURE
        self._workers[0].start(self._warm_up)
        self._workers[0].wait(timeout=60.0)
        if self._failure is not None:
            self.get_logger().error(str(self._failure))
            return _FAILURE
        self._diagnostics.hardware_id = self._policy.digest
        self._supervisor = Supervisor(contract, config)
        self._outputs = make_outputs(self, contract.outputs, config.action.channels)
        self._inputs = PolicyInputs(self, contract, config, self._report,
                                    self._policy.match_instruction)
        self._loop = PolicyLoop(
            self._policy, contract, self._inputs, self._outputs, self._supervisor,
            self.get_clock(), self._workers, self._on_state, self._report,
            self._publish_raw_chunk, self._run_problem, options.extra_latency)
        self.get_logger().info(
            f"checkpoint {path} ({self._policy.digest}) on {options.device} for robot "
            f"{contract.name}")
        return _SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start the policy loop; it commands the arm if enabled."""
        self._problem = ""
        self._inputs.activate(True)
        self._loop.start(self._options.enabled)
        self._active = True
        self.get_logger().info("ready, " + (
            "enabled" if self._options.enabled else "disabled until ~/enable is called"))
        return super().on_activate(state)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Bring the arm to rest and ignore messages."""
        self._rest()
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Unload the checkpoint and remove its topics."""
        self._release()
        return super().on_cleanup(state)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Bring the arm to rest and end the process."""
        self._rest()
        self._release()
        self.exit_code = 0
        return super().on_shutdown(state)

    def close(self) -> None:
        """Bring the arm to rest; called when the process ends, for any reason."""
        self._rest()
        self._guard.release()

    def _rest(self) -> None:
        if self._active:
            self._active = False
            self._loop.stop()
            self._inputs.activate(False)

    def _release(self) -> None:
        for part in (self._inputs, *self._outputs):
            if part is not None:
                part.close()
        self._policy = self._inputs = self._supervisor = self._loop = None
        self._outputs = []

    def _load_contract(self) -> RobotContract:
        contract = RobotContract.load(self._options.robot or default_robot())
        return contract.with_blending(self._options.join) if self._options.join else contract

    def _warm_up(self) -> None:
        """Infer once in the inference thread, so that the first chunk is not the slowest."""
        config = self._policy.config
        images = {n: np.zeros((c.height, c.width, 3), np.uint8) for n, c in config.cameras.items()}
        try:
            self._policy.infer(Observation(1, images, dict.fromkeys(config.state, 0.0),
                                           config.instructions[0]))
        except InputError as err:
            self._failure = err

    def _run_problem(self) -> str:
        """Return why no node of this run may act yet, empty if it may."""
        if not self._guard.settled:
            return "looking for another run in this ROS domain"
        wanted = self._options.wait_for
        return f"waiting for {wanted}" if wanted and not self._guard.has_begun(wanted) else ""

    def _publish_raw_chunk(self, chunk: ActionChunk, instruction: str) -> None:
        msg = JointTrajectory()
        fill_trajectory(msg, chunk, instruction, JointTrajectoryPoint)
        self._raw_chunk_publisher.publish(msg)

    # ---- services -------------------------------------------------------------------------

    def _on_enable(self, request, response):
        return self._serve(response, "enabled" if request.data else "disabled",
                           lambda: self._loop.enable(request.data))

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
        self._diagnostics.publish()

    def _report(self, topic: str, err: InputError) -> None:
        self._problem, self._plans_before = f"{topic}: {err}", self._supervisor.plans
        self.get_logger().warning(self._problem, throttle_duration_sec=1.0)
        self._diagnostics.publish_if_changed()

    def _describe(self):
        if self._supervisor is None:
            return WARN, "inactive: not configured", {}
        supervisor, loop = self._supervisor, self._loop
        state, reason, plans = supervisor.state, supervisor.reason, supervisor.plans
        values = {"checkpoint_digest": self._policy.digest, "state": state,
                  "instruction": self._inputs.instruction, "plans": plans}
        values |= {k: f"{v:.2f}" for k, v in loop.latencies.summary().items()}
        values |= {k: f"{v:.5f}" for k, v in seam_summary(supervisor.seams).items()}
        for kind, counts in (("intervention", supervisor.interventions),
                             ("hold", supervisor.holds), ("missed", loop.unused)):
            # dict() copies at once; another thread may add a key during the loop.
            values |= {f"{kind} {k}": n for k, n in dict(counts).items()}
        values |= {"images": self._inputs.images}
        publishers = [*(o.publisher for o in self._outputs), self._raw_chunk_publisher]
        values |= {f"{SUBSCRIBERS}{p.topic_name}": p.get_subscription_count() for p in publishers}
        values |= self._inputs.describe(time.monotonic())
        if plans > self._plans_before:
            self._problem = ""
        if self._problem and state != "stopped":
            return ERROR, self._problem, values
        message = "running" if state == "running" else reason
        return _LEVELS.get(state, WARN), message, values


def main() -> int:
    """Run the node; see ``ros2 run tinyvla_ros policy_node``."""
    return run_node(PolicyNode)

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

"""The graphs of a policy, described once, for ``ros2 launch`` and for the ``tinyvla`` command."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from tinyvla_ros.arm.blending import ChunkBlending
from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.arm.contract_check import check_contract
from tinyvla_ros.arm.observation.liveness import InstructionTimeout
from tinyvla_ros.arm.pace import PaceOption
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.files import check_output_directory
from tinyvla_ros.core.options import Flag
from tinyvla_ros.core.resources import default_checkpoint, robot_file
from tinyvla_ros.core.scenes import EPISODE_SCENES, ScenesOption
from tinyvla_ros.monitor.interface import MonitorAction
from tinyvla_ros.monitor.monitor_file import MonitorFile
from tinyvla_ros.policy.backends.backend import BACKEND_HELP, BackendName
from tinyvla_ros.policy.backends.choose import choose_backend
from tinyvla_ros.policy.config import PolicyConfig
from tinyvla_ros.policy.saved_checkpoint import SavedCheckpoint
from tinyvla_ros.start.device_options import DeviceOptions, device_parameters
from tinyvla_ros.start.node_description import (
    NodeDescription,
    NodeSettings,
    describe_nodes,
    directory_of_now,
    given_options,
)
from tinyvla_ros.start.panel_graph import PageOptions, page_device, page_node


def _recorded_backend(checkpoint: Path, options: SimEvalOptions | PolicyOptions,
                      sample_steps: int | None = None) -> dict[str, object]:
    """Return what is recorded of the backend that the policy node will choose.

    Raises:
        InputError: the backend cannot run the checkpoint.
    """
    choice = choose_backend(SavedCheckpoint.read(checkpoint), options.backend, options.device,
                            sample_steps)
    return {"policy_backend": str(choice), "policy_sample_steps": choice.sample_steps}


class ExecutionSettings(NodeSettings):
    """What every graph takes for its policy."""

    backend: BackendName = Field("auto", description=BACKEND_HELP)
    device: str = Field("cpu", description="cpu, cuda or cuda:N.")
    join: Literal["", ChunkBlending] = Field(
        "", description="How chunks are blended, see docs/arm.md; empty for the contract's "
        "execution.join.")
    pace: PaceOption = 0.0


class SimEvalOptions(ExecutionSettings, PageOptions):
    """Arguments of ``sim_eval.launch.py`` and ``tinyvla sim-eval``."""

    tasks: Annotated[tuple[str, ...], Flag(metavar="TASK")] = Field(
        ("reach-v3", "button-press-v3", "pick-place-v3"),
        description="MetaWorld tasks; mt10, mt50 and its groups mt50-easy, -medium, "
        "-hard and -very-hard stand for theirs, scenes for the eight of --scenes shared and "
        "chained.")
    episodes: int = Field(10, ge=1, le=100000, description="Episodes per task.")
    seed: int = Field(0, ge=0, le=999999999,
                      description="Seed of the first episode of every task.")
    mode: Literal["lockstep", "realtime"] = Field(
        "lockstep", description="lockstep: reproducible, as fast as the machine allows; "
        "realtime: on the wall clock, latency counts.")
    camera_rate: float = Field(0.0, ge=0.0, le=80.0, description="Images a second of each camera "
                               "in real time, 80 divided by a whole number; 0 for 20.")
    horizon: int = Field(0, ge=0, le=1500, description="Control steps after which an episode ends "
                         "without success; 0 for the tasks' own: 500, of so101-pick-place 1500.")
    after_success: int = Field(0, ge=0, le=1500, description="Control steps that an episode goes "
                               "on after success, so that a recording shows the end; success, "
                               "steps and return count none of them.")
    scenes: ScenesOption = Field("", description=EPISODE_SCENES)
    protocol: str = Field("", description="Evaluate by this protocol, a name in config/protocols "
                          "or a file: it says tasks, episodes and horizon, and what a policy may "
                          "use; fewer tasks and episodes may be given.")
    checkpoint: str = Field("", description="Checkpoint directory; empty for the shipped one.")
    out: str = Field("", description="Directory for results and images; empty for "
                                     "results/sim_eval-TIME.")
    extra_latency: float = Field(0.0, ge=0.0, le=10.0,
                                 description="Seconds added to every inference.")
    record: bool = Field(False, description="Record every episode as a rosbag2 directory under "
                                            "<out>/episodes.")


def sim_eval_graph(options: SimEvalOptions, robot: str = "metaworld") -> list[NodeDescription]:
    """Return the nodes of an evaluation in simulation.

    Args:
        options: of the evaluation.
        robot: name in ``config/robots`` of the simulated arm's contract.

    Raises:
        InputError: the options do not fit together, the checkpoint cannot be read, or ``out``
            cannot be written or holds results.
    """
    checkpoint = Path(options.checkpoint) if options.checkpoint else default_checkpoint()
    config = PolicyConfig.load(checkpoint)
    backend = _recorded_backend(checkpoint, options)
    checkpoint = str(checkpoint.resolve())
    out = str(check_output_directory(options.out or directory_of_now("sim_eval")).resolve())
    run = {"tasks": list(options.tasks), "episodes": options.episodes, "seed": options.seed,
           "mode": options.mode, "camera_rate": options.camera_rate, "horizon": options.horizon,
           "scenes": options.scenes, "protocol": options.protocol}
    contract = RobotContract.load(robot_file(robot)).with_execution(options.join, options.pace)
    check_contract(contract, config)
    join = contract.execution.blending(config.most_committed)
    latency = {"join": join, "pace": options.pace, "extra_latency": options.extra_latency}
    recorder = [NodeDescription("episode_recorder_node", {
        "out": f"{out}/episodes", "checkpoint": checkpoint, "robot": str(robot_file(robot)),
        "policy_join": join, **backend})] if options.record else []
    return describe_nodes(
        options, *recorder,
        *page_node(options, "policy_node", str(robot_file(robot)), checkpoint, use_sim_time=True),
        NodeDescription("eval_node", {**run, **latency, "checkpoint": checkpoint, "out": out,
                                      **backend}, ends_run=True),
        NodeDescription("sim_bridge_node",
                        {**run, "n_action_steps": config.action.n_action_steps,
                         "cameras": list(config.cameras), "wait_for_recorder": options.record,
                         "after_success": options.after_success}),
        NodeDescription("policy_node",
                        {"checkpoint": checkpoint, "robot": str(robot_file(robot)),
                         **given_options(options, "backend", "device"), "enabled": True, **latency,
                         "use_sim_time": True},
                        # The bridge's clock, not that of a run in another namespace.
                        remappings={"/clock": "clock"}))


class PolicySettings(ExecutionSettings, DeviceOptions, PageOptions):
    """What every graph takes whose policy is for a robot that runs already."""

    threads: int = Field(1, description="CPU threads of the network.")
    sample_steps: int = Field(0, description="DDIM steps; 0 for those of policy.onnx or "
                              "the checkpoint's own.")
    use_sim_time: bool = Field(False, description="Take the time from /clock.")
    record: bool = Field(False, description="Start episode_recorder_node as well; an `episode` "
                                            "event or its service ~/begin begins an episode.")
    out: str = Field("", description="Directory for recorded episodes; empty for "
                                     "results/episodes-TIME.")
    takeover: Literal["", "joy", "leader", "panel"] = Field(
        "", description="What a person may take the arm over with, by a dead man: joy, a gamepad "
        "or space mouse on topic joy; leader, an arm on topic leader/joint_states; panel, the "
        "page of panel_node; empty for the page if there is one, else for nobody.")
    monitor: MonitorAction = "report"
    on_exit: Literal["stop", "shutdown", "respawn"] = Field(
        "stop", description="When a node ends. stop: the other nodes of this file stop, too; "
        "shutdown: the whole launch ends; respawn: it is started again after 2 s.")


class PolicyOptions(PolicySettings):
    """Arguments of ``policy.launch.py``."""

    robot: str = Field(description="Robot contract, a file like those in config/robots.")
    checkpoint: str = Field(description="Checkpoint directory.")
    enabled: bool = Field(False, description="Command the arm from the start; otherwise wait for "
                                             "~/enable.")
    autostart: bool = Field(True, description="Configure and activate at once; otherwise wait "
                                              "for a lifecycle manager.")
    instruction_timeout: InstructionTimeout = 0.0


def policy_graph(options: PolicyOptions, *more: NodeDescription) -> list[NodeDescription]:
    """Return the policy, for a robot that runs already, and the recorder if it is wanted.

    Args:
        options: of the graph.
        more: nodes of the same run.

    Raises:
        InputError: contract or checkpoint cannot be read or do not fit each other.
    """
    contract = RobotContract.load(options.robot).with_execution(options.join, options.pace)
    config = PolicyConfig.load(options.checkpoint)
    check_contract(contract, config)
    if options.monitor == "hold":
        MonitorFile.of(SavedCheckpoint.read(options.checkpoint), is_needed=True)
    files = {"robot": str(Path(options.robot).resolve()),
             "checkpoint": str(Path(options.checkpoint).resolve())}
    backend = _recorded_backend(Path(options.checkpoint), options, options.sample_steps or None)
    recorder = [NodeDescription("episode_recorder_node", {
        **files, "out": str(Path(options.out or directory_of_now("episodes")).resolve()),
        "policy_join": contract.execution.blending(config.most_committed), **backend
        })] if options.record else []
    person, remappings = _takeover(options)
    return describe_nodes(
        options, *recorder, *page_node(options, "policy_node", **files,
                                           use_sim_time=options.use_sim_time),
        NodeDescription("policy_node", {
            **files, **given_options(options, "backend", "device", "threads", "sample_steps",
                                     "join", "pace", "enabled", "autostart",
                                     "instruction_timeout", "monitor", "use_sim_time"),
            **person}, remappings=remappings), *more)


def _takeover(options: PolicyOptions) -> tuple[dict[str, object], dict[str, str]]:
    """Return parameters and remappings of ``policy_node`` for who may take over."""
    if options.takeover == "panel" or (options.panel and not options.takeover):
        devices, remappings = page_device(options)
        return {"takeover": "joy", **devices}, remappings
    person = device_parameters(options) if options.takeover else {}
    return given_options(options, "takeover") | person, {}


class DryRunOptions(ExecutionSettings, PageOptions):
    """Arguments of ``dry_run.launch.py`` and ``tinyvla dry-run``."""

    robot: str = Field("", description="Robot contract, a file like those in config/robots; "
                                       "empty for config/robots/ur5e.yaml.")
    checkpoint: str = Field("", description="Checkpoint directory; empty for a small untrained "
                                            "one made to fit the robot.")
    instruction: str = Field("", description="Instruction for the policy; empty for the "
                                             "checkpoint's first one.")


def dry_run_graph(options: DryRunOptions) -> list[NodeDescription]:
    """Return the policy, enabled, and a kinematic arm in place of the robot.

    Without a checkpoint, an untrained one is made; it is deleted when this process ends.

    Raises:
        InputError: contract or checkpoint cannot be read or do not fit each other, the contract
            has an output that no arm has, the instruction is unknown,
            or backend or device need a trained policy.
    """
    from tinyvla_ros.dry_run.arm import DryRunArm
    from tinyvla_ros.dry_run.untrained import start_state, temporary_checkpoint

    robot = options.robot or str(robot_file("ur5e"))
    contract = RobotContract.load(robot)
    if not options.checkpoint and (options.backend == "torch" or options.device != "cpu"):
        raise InputError(f"Backend {options.backend} on device {options.device} needs a trained "
                         "policy: the untrained one has no weights for torch; give a checkpoint, "
                         "or leave backend and device out.")
    checkpoint = options.checkpoint or str(temporary_checkpoint(contract))
    *page, policy = policy_graph(PolicyOptions(
        robot=robot, checkpoint=checkpoint, enabled=True,
        **{n: getattr(options, n) for n in DryRunOptions.model_fields
           if n in PolicyOptions.model_fields and n not in ("robot", "checkpoint")}))
    # The checks of the arm node, before anything starts.
    config = PolicyConfig.load(checkpoint)
    DryRunArm(contract, config, start_state(contract, config, Path(checkpoint)), 0)
    if options.instruction:
        config.check_instruction(options.instruction)
    files = {name: policy.parameters[name] for name in ("robot", "checkpoint")}
    # With a real arm in the same ROS domain the policy must not command that one.
    policy = replace(policy, parameters={**policy.parameters, "wait_for": "dry_run_arm_node"})
    arm = NodeDescription("dry_run_arm_node", {**files, "instruction": options.instruction})
    return describe_nodes(options, *page, policy, arm)

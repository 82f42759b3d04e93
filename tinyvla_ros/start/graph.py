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

"""The node graph, described once, for ``ros2 launch`` and for the ``tinyvla`` command."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, field_validator

from tinyvla_ros.arm.blending import ChunkBlending
from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.arm.contract_check import check_contract
from tinyvla_ros.arm.pace import PaceOption
from tinyvla_ros.core.configuration import Config
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.files import check_output_directory
from tinyvla_ros.core.options import Flag
from tinyvla_ros.core.resources import default_checkpoint, robot_file
from tinyvla_ros.core.ros.run_claims import new_run_id
from tinyvla_ros.policy.backends.backend import BACKEND_HELP, BackendName
from tinyvla_ros.policy.backends.choose import choose_backend
from tinyvla_ros.policy.config import PolicyConfig
from tinyvla_ros.policy.saved_checkpoint import SavedCheckpoint
from tinyvla_ros.start.parameter_file import check_parameter_file

_NAMESPACE = re.compile(r"/?[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*")
_ENCLAVE = re.compile(r"(/[A-Za-z0-9_]+)+")


class NodeSettings(Config):
    """What every graph takes for all of its nodes."""

    namespace: str = Field("", description="Namespace of the nodes, for example arm_1.")
    params_file: str = Field("", description="ROS parameter file for the nodes; an argument that "
                                             "is given wins over it.")
    enclave: str = Field("", description="Security enclave of the nodes, for example /arm_1.")
    log_level: Literal["debug", "info", "warn", "error", "fatal"] = Field(
        "info", description="Least severe messages that are logged.")

    @field_validator("namespace")
    @classmethod
    def _is_namespace(cls, namespace: str) -> str:
        if namespace and not _NAMESPACE.fullmatch(namespace):
            raise ValueError("give names of letters, digits and _, separated by /, for example "
                             "arm_1")
        return namespace

    @field_validator("enclave")
    @classmethod
    def _is_enclave(cls, enclave: str) -> str:
        if enclave and not _ENCLAVE.fullmatch(enclave):
            raise ValueError("give a path of letters, digits and _ that begins with /, for "
                             "example /arm_1")
        return enclave

    @property
    def absolute_namespace(self) -> str:
        """The namespace with a leading slash; empty without one."""
        return f"/{self.namespace.lstrip('/')}" if self.namespace else ""


@dataclass(frozen=True, eq=False)
class NodeDescription:
    """One process of the graph.

    Attributes:
        executable: name under ``lib/tinyvla_ros`` and in ``tinyvla_ros.start.executables``.
        parameters: ROS parameters.
        settings: what all nodes of the graph have in common.
        remappings: topic of the node -> topic in its place.
        ends_run: whether the run ends when this node exits with 0.
    """

    executable: str
    parameters: Mapping[str, object] = field(default_factory=dict)
    settings: NodeSettings = field(default_factory=NodeSettings)
    remappings: Mapping[str, str] = field(default_factory=dict)
    ends_run: bool = False

    def ros_arguments(self) -> list[str]:
        """Return what follows ``--ros-args``, without name and namespace.

        Raises:
            UnicodeEncodeError: the parser of ROS takes UTF-8 alone.
        """
        settings = self.settings
        arguments = ["--params-file", settings.params_file] if settings.params_file else []
        for name, other in self.remappings.items():
            arguments += ["-r", f"{name}:={other}"]
        # What is given last wins, so a parameter here wins over the file.
        for name, value in self.parameters.items():
            str(value).encode()
            text = yaml.safe_dump(value, default_flow_style=True, width=float("inf")).strip()
            arguments += ["-p", f"{name}:={text.removesuffix('...').strip()}"]
        if settings.enclave:
            arguments += ["--enclave", settings.enclave]
        if settings.log_level != "info":
            arguments += ["--log-level", settings.log_level]
        return arguments


def as_one_run(nodes: Sequence[NodeDescription], run: str = "") -> list[NodeDescription]:
    """Return the nodes with the id of one run, a new one by default."""
    run = run or new_run_id()
    return [replace(n, parameters={**n.parameters, "run": run}) for n in nodes]


def describe_nodes(settings: NodeSettings, *nodes: NodeDescription, one_run: bool = True
                   ) -> list[NodeDescription]:
    """Return nodes with the settings of their graph.

    Args:
        settings: of the graph.
        nodes: of it.
        one_run: they are one run, which has its namespace for itself; a robot, real or simulated,
            is there for the runs of others.

    Raises:
        InputError: the parameter file cannot be read or holds nothing for any of the nodes.
    """
    plain = NodeSettings(**{n: getattr(settings, n) for n in NodeSettings.model_fields})
    if plain.params_file:
        path = Path(plain.params_file).resolve()
        check_parameter_file(path, [f"{plain.absolute_namespace}/{n.executable}" for n in nodes])
        plain = plain.model_copy(update={"params_file": str(path)})
    described = [replace(node, settings=plain) for node in nodes]
    return as_one_run(described) if one_run else described


def _given(options: NodeSettings, *names: str) -> dict[str, object]:
    """Return options by name; with a parameter file, only those that were given."""
    return {name: getattr(options, name) for name in names
            if not options.params_file or name in options.model_fields_set}


def _recorded_backend(checkpoint: Path, options: SimEvalOptions | PolicyOptions,
                      sample_steps: int | None = None) -> dict[str, object]:
    """Return what is recorded of the backend that the policy node will choose.

    Raises:
        InputError: the backend cannot run the checkpoint.
    """
    choice = choose_backend(SavedCheckpoint.read(checkpoint), options.backend, options.device,
                            sample_steps)
    return {"policy_backend": str(choice), "policy_sample_steps": choice.sample_steps}


def directory_of_now(name: str) -> str:
    """Return a directory below ``results`` with the present time in its name."""
    return f"results/{name}-{time.strftime('%Y%m%d-%H%M%S')}"


class ExecutionSettings(NodeSettings):
    """What every graph takes for its policy."""

    backend: BackendName = Field("auto", description=BACKEND_HELP)
    device: str = Field("cpu", description="cpu, cuda or cuda:N.")
    join: Literal["", ChunkBlending] = Field(
        "", description="How chunks are blended, see docs/arm.md; empty for the contract's "
        "execution.join.")
    pace: PaceOption = 0.0


class SimEvalOptions(ExecutionSettings):
    """Arguments of ``sim_eval.launch.py`` and ``tinyvla sim-eval``."""

    tasks: Annotated[tuple[str, ...], Flag(metavar="TASK")] = Field(
        ("reach-v3", "button-press-v3", "pick-place-v3"),
        description="MetaWorld tasks; mt10, mt50 and its groups mt50-easy, -medium, "
        "-hard and -very-hard stand for theirs.")
    episodes: int = Field(10, ge=1, le=100000, description="Episodes per task.")
    seed: int = Field(0, ge=0, le=999999999,
                      description="Seed of the first episode of every task.")
    mode: Literal["lockstep", "realtime"] = Field(
        "lockstep", description="lockstep: reproducible, as fast as the machine allows; "
        "realtime: on the wall clock, latency counts.")
    camera_rate: float = Field(0.0, ge=0.0, le=80.0, description="Images a second of each camera "
                               "in real time, 80 divided by a whole number; 0 for 20.")
    horizon: int = Field(500, ge=1, le=500, description="Control steps after which an episode "
                         "ends without success.")
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
           "protocol": options.protocol}
    contract = RobotContract.load(robot_file(robot)).with_execution(options.join, options.pace)
    check_contract(contract, config)
    join = contract.execution.blending(config.most_committed)
    latency = {"join": join, "pace": options.pace, "extra_latency": options.extra_latency}
    recorder = [NodeDescription("episode_recorder_node", {
        "out": f"{out}/episodes", "checkpoint": checkpoint, "robot": str(robot_file(robot)),
        "policy_join": join, **backend})] if options.record else []
    return describe_nodes(
        options, *recorder,
        NodeDescription("eval_node", {**run, **latency, "checkpoint": checkpoint, "out": out,
                                      **backend}, ends_run=True),
        NodeDescription("sim_bridge_node",
                        {**run, "n_action_steps": config.action.n_action_steps,
                         "cameras": list(config.cameras), "wait_for_recorder": options.record}),
        NodeDescription("policy_node",
                        {"checkpoint": checkpoint, "robot": str(robot_file(robot)),
                         **_given(options, "backend", "device"), "enabled": True, **latency,
                         "use_sim_time": True},
                        # The bridge's clock, not that of a run in another namespace.
                        remappings={"/clock": "clock"}))


class PolicyOptions(ExecutionSettings):
    """Arguments of ``policy.launch.py``."""

    robot: str = Field(description="Robot contract, a file like those in config/robots.")
    checkpoint: str = Field(description="Checkpoint directory.")
    threads: int = Field(1, description="CPU threads of the network.")
    sample_steps: int = Field(0, description="DDIM steps; 0 for those of policy.onnx or "
                              "the checkpoint's own.")
    enabled: bool = Field(False, description="Command the arm from the start; otherwise wait for "
                                             "~/enable.")
    autostart: bool = Field(True, description="Configure and activate at once; otherwise wait "
                                              "for a lifecycle manager.")
    use_sim_time: bool = Field(False, description="Take the time from /clock.")
    record: bool = Field(False, description="Start episode_recorder_node as well; an `episode` "
                                            "event or its service ~/begin begins an episode.")
    out: str = Field("", description="Directory for recorded episodes; empty for "
                                     "results/episodes-TIME.")
    on_exit: Literal["stop", "shutdown", "respawn"] = Field(
        "stop", description="When a node ends. stop: the other nodes of this file stop, too; "
        "shutdown: the whole launch ends; respawn: it is started again after 2 s.")


def policy_graph(options: PolicyOptions) -> list[NodeDescription]:
    """Return the policy, for a robot that runs already, and the recorder if it is wanted.

    Raises:
        InputError: contract or checkpoint cannot be read or do not fit each other.
    """
    contract = RobotContract.load(options.robot).with_execution(options.join, options.pace)
    config = PolicyConfig.load(options.checkpoint)
    check_contract(contract, config)
    files = {"robot": str(Path(options.robot).resolve()),
             "checkpoint": str(Path(options.checkpoint).resolve())}
    backend = _recorded_backend(Path(options.checkpoint), options, options.sample_steps or None)
    recorder = [NodeDescription("episode_recorder_node", {
        **files, "out": str(Path(options.out or directory_of_now("episodes")).resolve()),
        "policy_join": contract.execution.blending(config.most_committed), **backend
        })] if options.record else []
    return describe_nodes(options, *recorder, NodeDescription("policy_node", {
        **files, **_given(options, "backend", "device", "threads", "sample_steps", "join", "pace",
                          "enabled", "autostart", "use_sim_time")}))


class TeleopOptions(NodeSettings):
    """Arguments of ``teleop.launch.py`` and ``tinyvla teleop``."""

    robot: str = Field(description="Robot contract, a file like those in config/robots.")
    input: Literal["keyboard", "joy", "leader"] = Field(
        "joy", description="What moves the arm: keyboard, the keys of 'tinyvla teleop'; joy, a "
        "gamepad or space mouse on topic joy; leader, an arm on topic leader/joint_states.")
    mapping: str = Field("", description="What axes and buttons mean: game_controller, xbox, "
                         "spacenav, keyboard, or a file like those in config/teleop; none for a "
                         "leader that ~/enable engages. Empty for keyboard with the keyboard, "
                         "game_controller with joy and a leader.")
    leader: str = Field("", description="File that says which joint of the leader leads which "
                        "channel; empty for equal names.")
    mode: Literal["", "joints", "end_effector"] = Field(
        "", description="What the controls move at the start; empty for joints where there are "
        "some.")
    description: str = Field("", description="URDF or MJCF file with the arm's kinematics; empty "
                             "for topic robot_description.")
    ee_frame: str = Field("", description="Link or site that is moved as the end effector; empty "
                          "for a usual name such as gripperframe or tool0, else the last link.")
    gripper_opens: Literal["high", "low"] = Field(
        "high", description="Which end of the gripper's range is open.")
    speed: float = Field(0.25, gt=0.0, le=1.0, description="Speed at full deflection, as a share "
                         "of the contract's limits.")
    instruction: str = Field("", description="What is demonstrated, in words.")
    task: str = Field("", description="Name of the task in episode events; empty for the "
                                      "instruction.")
    episodes: int = Field(0, ge=0, le=1000000, description="Demonstrations that are wanted; 0 for "
                          "as many as come.")
    reset_s: float = Field(2.0, ge=0.0, le=3600.0, description="Shortest pause between two "
                           "demonstrations, s.")
    reset_service: str = Field("", description="Service (std_srvs/Trigger) that makes a new scene "
                               "in each pause; empty where the person does.")
    use_sim_time: bool = Field(False, description="Take the time from /clock.")
    record: bool = Field(False, description="Start episode_recorder_node as well, which records "
                                            "every demonstration.")
    out: str = Field("", description="Directory for recorded demonstrations; empty for "
                                     "results/demonstrations-TIME.")


# Topic of the keys of `tinyvla teleop`: a gamepad's driver may run beside it.
KEYS_TOPIC = "teleop_keys"


def teleop_graph(options: TeleopOptions) -> list[NodeDescription]:
    """Return what lets a person drive a robot that runs already, and the recorder if it is wanted.

    Raises:
        InputError: contract, mapping or leader cannot be read or do not fit each other.
    """
    from tinyvla_ros.teleop.leader import Leader, LeaderMapping
    from tinyvla_ros.teleop.mapping import Mapping
    from tinyvla_ros.teleop.operator import Operator

    contract = RobotContract.load(options.robot)
    is_leader, mapping = options.input == "leader", options.mapping
    if not mapping:
        mapping = "keyboard" if options.input == "keyboard" else "game_controller"
    if mapping == "none":
        if not is_leader:
            raise InputError(f"mapping none leaves input {options.input} without a dead man; give "
                             "game_controller, xbox, spacenav, keyboard or a file.")
        mapping = ""
    # The checks of the node, before anything starts.
    leader = Leader(contract, LeaderMapping.load(options.leader), "leader/joint_states",
                    1.0) if is_leader else None
    Operator(contract, Mapping.load(mapping) if mapping else None, leader=leader)
    files = {name: str(Path(value).resolve()) for name in ("leader", "description")
             if (value := getattr(options, name))}
    if mapping and Path(mapping).suffix:
        mapping = str(Path(mapping).resolve())
    robot = str(Path(options.robot).resolve())
    recorder = [NodeDescription("episode_recorder_node", {
        "robot": robot, "out": str(Path(options.out or directory_of_now("demonstrations"))
                                   .resolve())})] if options.record else []
    return describe_nodes(options, *recorder, NodeDescription(
        "teleop_node", {
            "robot": robot, "input": "leader" if is_leader else "joy", "mapping": mapping, **files,
            **_given(options, "mode", "ee_frame", "gripper_opens", "speed", "instruction", "task",
                     "episodes", "reset_s", "reset_service", "use_sim_time")},
        remappings={"joy": KEYS_TOPIC} if mapping == "keyboard" else {}))


class SimRobotOptions(NodeSettings):
    """Arguments of ``sim_robot.launch.py`` and ``tinyvla sim-robot``."""

    task: str = Field("so101-pick-place", description="Task: it decides the arm and what is on "
                      "the table.")
    seed: int = Field(0, ge=0, le=999999999, description="Seed of the first scene; every "
                      "/sim_robot_node/reset takes the next one.")
    demonstrate: int = Field(0, ge=0, le=100000, description="Let a scripted operator show so "
                             "many demonstrations, as a person with a leader arm and a gamepad "
                             "would; the run ends with the last one. 0 for none.")


def sim_robot_graph(options: SimRobotOptions) -> list[NodeDescription]:
    """Return a simulated arm that stands there like a real one."""
    operator = [NodeDescription("scripted_operator_node", {
        "task": options.task, "episodes": options.demonstrate, "seed": options.seed},
        ends_run=True)] if options.demonstrate else []
    return describe_nodes(options, *operator, NodeDescription(
        "sim_robot_node", {"task": options.task, "seed": options.seed}), one_run=False)


class DryRunOptions(ExecutionSettings):
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
    [policy] = policy_graph(PolicyOptions(
        robot=robot, checkpoint=checkpoint, enabled=True,
        **{n: getattr(options, n) for n in ExecutionSettings.model_fields}))
    # The checks of the arm node, before anything starts.
    config = PolicyConfig.load(checkpoint)
    DryRunArm(contract, config, start_state(contract, config, Path(checkpoint)), 0)
    if options.instruction:
        config.check_instruction(options.instruction)
    files = {name: policy.parameters[name] for name in ("robot", "checkpoint")}
    # With a real arm in the same ROS domain the policy must not command that one.
    policy = replace(policy, parameters={**policy.parameters, "wait_for": "dry_run_arm_node"})
    arm = NodeDescription("dry_run_arm_node", {**files, "instruction": options.instruction})
    return describe_nodes(options, policy, arm)

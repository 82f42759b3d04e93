# SPDX-License-Identifier: Apache-2.0
"""The node graph, described once, for ``ros2 launch`` and for the ``tinyvla`` command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from tinyvla_ros.arm.blending import ChunkBlending
from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.arm.contract_check import check_contract
from tinyvla_ros.core.configuration import Config
from tinyvla_ros.core.options import Flag
from tinyvla_ros.core.resources import default_checkpoint, default_robot, share_directory
from tinyvla_ros.core.run_claims import new_run_id
from tinyvla_ros.policy.config import PolicyConfig

PACKAGE = "tinyvla_ros"


@dataclass(frozen=True, eq=False)
class NodeDescription:
    """One process of the graph.

    Attributes:
        executable: name under ``lib/tinyvla_ros`` and in ``tinyvla_ros.start.executables``.
        parameters: ROS parameters.
        ends_run: whether the run ends when this node exits with 0.
    """

    executable: str
    parameters: Mapping[str, object] = field(default_factory=dict)
    ends_run: bool = False


def as_one_run(nodes: Sequence[NodeDescription], run: str = "") -> list[NodeDescription]:
    """Return the nodes with the id of one run, a new one by default."""
    run = run or new_run_id()
    return [replace(n, parameters={**n.parameters, "run": run}) for n in nodes]


class SimEvalOptions(Config):
    """Arguments of ``sim_eval.launch.py`` and ``tinyvla sim-eval``."""

    tasks: Annotated[tuple[str, ...], Flag(metavar="TASK")] = Field(
        ("reach-v3", "button-press-v3", "pick-place-v3"),
        description="MetaWorld tasks; mt10 stands for ten.")
    episodes: int = Field(10, ge=1, le=100000, description="Episodes per task.")
    seed: int = Field(0, ge=0, le=999999999,
                      description="Seed of the first episode of every task.")
    mode: Literal["lockstep", "realtime"] = Field(
        "lockstep", description="lockstep: reproducible, as fast as the machine allows; "
        "realtime: on the wall clock, latency counts.")
    checkpoint: str = Field("", description="Checkpoint directory; empty for the shipped one.")
    out: str = Field("results/sim_eval", description="Directory for results and images.")
    device: str = Field("cpu", description="Torch device: cpu, cuda or cuda:N.")
    join: ChunkBlending = Field(
        "replace", description="How chunks are blended, see docs/arm.md.")
    extra_latency: float = Field(0.0, ge=0.0, le=10.0,
                                 description="Seconds added to every inference.")
    record: bool = Field(False, description="Record every episode as a rosbag2 directory under "
                                            "<out>/episodes.")


def sim_eval_graph(options: SimEvalOptions) -> list[NodeDescription]:
    """Return the nodes of an evaluation in simulation.

    Raises:
        InputError: the options do not fit together or the checkpoint cannot be read.
    """
    checkpoint = Path(options.checkpoint) if options.checkpoint else default_checkpoint()
    config = PolicyConfig.load(checkpoint)
    checkpoint, out = str(checkpoint.resolve()), str(Path(options.out).resolve())
    run = {"tasks": list(options.tasks), "episodes": options.episodes, "seed": options.seed,
           "mode": options.mode}
    latency = {"join": options.join, "extra_latency": options.extra_latency}
    recorder = [NodeDescription("episode_recorder_node", {
        "out": f"{out}/episodes", "checkpoint": checkpoint, "robot": str(default_robot()),
        "policy_join": options.join})] if options.record else []
    return as_one_run([
        *recorder,
        NodeDescription("eval_node", {**run, **latency, "checkpoint": checkpoint, "out": out},
                        ends_run=True),
        NodeDescription("sim_bridge_node",
                        {**run, "n_action_steps": config.action.n_action_steps,
                         "wait_for_recorder": options.record}),
        NodeDescription("policy_node",
                        {"checkpoint": checkpoint, "device": options.device, "enabled": True,
                         **latency, "use_sim_time": True}),
    ])


class PolicyOptions(Config):
    """Arguments of ``policy.launch.py``."""

    robot: str = Field(description="Robot contract, a file like those in config/robots.")
    checkpoint: str = Field(description="Checkpoint directory.")
    device: str = Field("cpu", description="Torch device: cpu, cuda or cuda:N.")
    threads: int = Field(1, description="CPU threads of the network.")
    sample_steps: int = Field(0, description="DDIM steps; 0 for the checkpoint's own.")
    enabled: bool = Field(False, description="Command the arm from the start; otherwise wait for "
                                             "~/enable.")
    autostart: bool = Field(True, description="Configure and activate at once; otherwise wait "
                                              "for a lifecycle manager.")
    use_sim_time: bool = Field(False, description="Take the time from /clock.")


def policy_graph(options: PolicyOptions) -> list[NodeDescription]:
    """Return the policy alone, for a robot that runs already.

    Raises:
        InputError: contract or checkpoint cannot be read or do not fit each other.
    """
    check_contract(RobotContract.load(options.robot), PolicyConfig.load(options.checkpoint))
    return as_one_run([NodeDescription("policy_node", {
        **options.model_dump(), "robot": str(Path(options.robot).resolve()),
        "checkpoint": str(Path(options.checkpoint).resolve())})])


class DryRunOptions(Config):
    """Arguments of ``dry_run.launch.py`` and ``tinyvla dry-run``."""

    robot: str = Field("", description="Robot contract, a file like those in config/robots; "
                                       "empty for config/robots/ur5e.yaml.")
    checkpoint: str = Field("", description="Checkpoint directory; empty for a small untrained "
                                            "one made to fit the robot.")
    instruction: str = Field("", description="Instruction for the policy; empty for the "
                                             "checkpoint's first one.")
    device: str = Field("cpu", description="Torch device: cpu, cuda or cuda:N.")


def dry_run_graph(options: DryRunOptions) -> list[NodeDescription]:
    """Return the policy, enabled, and a kinematic arm in place of the robot.

    Without a checkpoint, an untrained one is made; it is deleted when this process ends.

    Raises:
        InputError: contract or checkpoint cannot be read or do not fit each other, the contract
            has an output that no arm has, or the instruction is unknown.
    """
    from tinyvla_ros.dry_run.arm import DryRunArm
    from tinyvla_ros.dry_run.untrained import start_state, temporary_checkpoint

    robot = options.robot or str(share_directory() / "config" / "robots" / "ur5e.yaml")
    contract = RobotContract.load(robot)
    checkpoint = options.checkpoint or str(temporary_checkpoint(contract))
    policy = policy_graph(PolicyOptions(robot=robot, checkpoint=checkpoint,
                                        device=options.device, enabled=True))
    # The checks of the arm node, before anything starts.
    config = PolicyConfig.load(checkpoint)
    DryRunArm(contract, config, start_state(contract, config, Path(checkpoint)), 0)
    if options.instruction:
        config.check_instruction(options.instruction)
    files = {name: policy[0].parameters[name] for name in ("robot", "checkpoint")}
    # With a real arm in the same ROS domain the policy must not command that one.
    policy = [replace(policy[0], parameters={**policy[0].parameters,
                                             "wait_for": "dry_run_arm_node"})]
    arm = NodeDescription("dry_run_arm_node", {**files, "instruction": options.instruction})
    return as_one_run([*policy, arm])

# SPDX-License-Identifier: Apache-2.0
"""The node graph, described once, for ``ros2 launch`` and for the ``tinyvla`` command."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import Field

from tinyvla_ros.configuration import Config, parse, read_json
from tinyvla_ros.errors import InputError
from tinyvla_ros.files import CONFIG
from tinyvla_ros.policy_config import PolicyConfig
from tinyvla_ros.resources import default_checkpoint

PACKAGE = "tinyvla_ros"


@dataclass(frozen=True, eq=False)
class NodeDescription:
    """One process of the graph.

    Attributes:
        executable: name under ``lib/tinyvla_ros`` and in ``tinyvla_ros.executables``.
        parameters: ROS parameters.
        ends_run: whether the run is over when this node exits with 0.
    """

    executable: str
    parameters: Mapping[str, object] = field(default_factory=dict)
    ends_run: bool = False


class SimEvalOptions(Config):
    """Arguments of ``sim_eval.launch.py`` and ``tinyvla sim-eval``; see ``SIM_EVAL_ARGUMENTS``."""

    tasks: tuple[str, ...] = Field(("reach-v3", "button-press-v3", "pick-place-v3"),
                                   description="MetaWorld tasks, separated by blanks.")
    episodes: int = Field(10, description="Episodes per task.")
    seed: int = Field(0, description="Seed of the first episode of every task.")
    mode: str = Field("lockstep", description="lockstep: reproducible, as fast as the machine "
                      "allows; realtime: on the wall clock, latency counts.")
    checkpoint: str = Field("", description="Checkpoint directory; empty for the shipped one.")
    out: str = Field("results/sim_eval", description="Directory for results and pictures.")
    device: str = Field("cpu", description="Torch device: cpu, cuda or cuda:N.")


def sim_eval_graph(options: SimEvalOptions) -> list[NodeDescription]:
    """Return the nodes of an evaluation in simulation.

    Raises:
        InputError: the options do not fit together or the checkpoint cannot be read.
    """
    checkpoint = Path(options.checkpoint) if options.checkpoint else default_checkpoint()
    if not (checkpoint / CONFIG).is_file():
        raise InputError(f"Checkpoint {checkpoint} has no {CONFIG}; give a checkpoint directory.")
    config = parse(PolicyConfig, read_json(checkpoint / CONFIG), str(checkpoint / CONFIG))
    checkpoint, out = str(checkpoint.resolve()), str(Path(options.out).resolve())
    run = {"tasks": list(options.tasks), "episodes": options.episodes, "seed": options.seed,
           "mode": options.mode}
    return [
        NodeDescription("eval_node",
                        {**run, "checkpoint": checkpoint, "out": out}, ends_run=True),
        NodeDescription("sim_bridge_node",
                        {**run, "execute_steps": config.action.execute_steps}),
        NodeDescription("policy_node",
                        {"checkpoint": checkpoint, "device": options.device, "enabled": True,
                         "reliable": True, "use_sim_time": True}),
    ]

# SPDX-License-Identifier: Apache-2.0
"""``tinyvla sim-eval`` and ``tinyvla evaluate``: episodes in MetaWorld."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from tinyvla_ros.cli.common import Scenes, scenes_field, workers_field
from tinyvla_ros.core.configuration import Config
from tinyvla_ros.core.options import Flag
from tinyvla_ros.core.resources import default_checkpoint
from tinyvla_ros.start.graph import SimEvalOptions, sim_eval_graph


def sim_eval(options: SimEvalOptions) -> int:
    """Run the evaluation over ROS 2 topics; everything that can be checked is checked first."""
    from sim_bridge.episodes import expand_tasks, plan_episodes
    from sim_bridge.opengl import choose_opengl
    from sim_bridge.simulated_robot import SimulatedRobotConfig
    from tinyvla_ros.core.files import prepare_output_directory
    from tinyvla_ros.start.local_launch import run_graph

    options = options.model_copy(update={"tasks": tuple(expand_tasks(options.tasks))})
    plan_episodes(list(options.tasks), options.episodes, options.seed)
    robot = SimulatedRobotConfig.load()
    for task in options.tasks:
        robot.instruction(task)
    choose_opengl()
    nodes = sim_eval_graph(options)
    prepare_output_directory(options.out)
    return run_graph(nodes)


def _like_sim_eval(name: str):
    return SimEvalOptions.model_fields[name]


class EvaluateArguments(Config):
    """Options of ``tinyvla evaluate``."""

    tasks: Annotated[tuple[str, ...], Flag(metavar="TASK")] = _like_sim_eval("tasks")
    episodes: int = _like_sim_eval("episodes")
    seed: int = _like_sim_eval("seed")
    checkpoint: str = _like_sim_eval("checkpoint")
    out: str = Field("results/evaluate", description="Directory for results and images.")
    device: str = _like_sim_eval("device")
    workers: int | None = workers_field()
    scenes: Scenes = scenes_field()


def evaluate(options: EvaluateArguments) -> int:
    """Run the evaluation in this process and its workers."""
    from sim_bridge.episodes import expand_tasks
    from sim_bridge.results import table
    from training.experiments.evaluate import EvaluationOptions
    from training.experiments.evaluate import evaluate as evaluate_checkpoint

    chosen = EvaluationOptions(expand_tasks(options.tasks), options.episodes, options.seed,
                               Path(options.checkpoint or default_checkpoint()), options.device,
                               scenes=options.scenes)
    results = evaluate_checkpoint(chosen, Path(options.out), options.workers)
    print(f"\n{table(results)}\nresults and images: {options.out}")
    return 0

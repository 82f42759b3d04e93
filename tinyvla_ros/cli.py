# SPDX-License-Identifier: Apache-2.0
"""The ``tinyvla`` command."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from tinyvla_ros import __version__
from tinyvla_ros.errors import InputError
from tinyvla_ros.graph import SimEvalOptions, sim_eval_graph


def main(args: list[str] | None = None) -> int:
    """Run a command; bad input is one sentence on stderr and exit code 2."""
    options = _parser().parse_args(args)
    try:
        return options.run(options) or 0
    except InputError as err:
        print(f"error: {err}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tinyvla", description="Train a small diffusion policy and run it on ROS 2 topics.")
    parser.add_argument("--version", action="version", version=f"tinyvla_ros {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    command = _command(commands, "sim-eval", _sim_eval,
                       "Evaluate a checkpoint in MetaWorld over real ROS 2 topics.")
    _evaluation_arguments(command, "results/sim_eval")
    command.add_argument("--mode", choices=("lockstep", "realtime"), default="lockstep",
                         help=SimEvalOptions.model_fields["mode"].description)

    command = _command(commands, "evaluate", _evaluate,
                       "The same protocol in process, without ROS, on all cores.")
    _evaluation_arguments(command, "results/evaluate")
    command.add_argument("--workers", type=int, default=None, help="processes; default: cores")

    command = _command(commands, "collect", _collect,
                       "Collect demonstrations with MetaWorld's scripted experts.")
    command.add_argument("--tasks", nargs="+", required=True, metavar="TASK")
    command.add_argument("--episodes", type=int, required=True, help="episodes per task")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--out", type=Path, required=True, help="new LeRobotDataset directory")
    command.add_argument("--noise", type=float, default=1.0,
                         help="largest amplitude of the pushes that disturb the expert")
    command.add_argument("--workers", type=int, default=None, help="processes; default: cores")

    command = _command(commands, "train", _train, "Train a policy on a LeRobotDataset.")
    command.add_argument("--config", type=Path, required=True, help="recipe, YAML")
    command.add_argument("--data", type=Path, required=True, help="LeRobotDataset directory")
    command.add_argument("--out", type=Path, required=True, help="new checkpoint directory")
    command.add_argument("--init", type=Path, default=None,
                         help="checkpoint to start from (fine-tuning)")
    command.add_argument("--device", default="cpu")
    command.add_argument("--threads", type=int, default=None, help="CPU threads; default: cores")
    return parser


def _command(commands, name: str, run, text: str) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=text, description=text,
                                  formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    command.set_defaults(run=run)
    return command


def _evaluation_arguments(command: argparse.ArgumentParser, out: str) -> None:
    fields = SimEvalOptions.model_fields
    command.add_argument("--tasks", nargs="+", default=list(fields["tasks"].default),
                         metavar="TASK", help="MetaWorld tasks")
    command.add_argument("--episodes", type=int, default=fields["episodes"].default,
                         help=fields["episodes"].description)
    command.add_argument("--seed", type=int, default=fields["seed"].default,
                         help=fields["seed"].description)
    command.add_argument("--checkpoint", default="", help=fields["checkpoint"].description)
    command.add_argument("--out", default=out, help=fields["out"].description)
    command.add_argument("--device", default="cpu", help=fields["device"].description)


def _sim_eval(options) -> int:
    from sim_bridge.episodes import plan_episodes
    from sim_bridge.gl import choose_gl
    from sim_bridge.robot_config import RobotConfig
    from tinyvla_ros.results import check_out

    names = SimEvalOptions.model_fields
    chosen = SimEvalOptions(**{n: getattr(options, n) for n in names})
    # What the nodes would find out one by one is said at once, before anything starts.
    plan_episodes(list(chosen.tasks), chosen.episodes, chosen.seed)
    robot = RobotConfig.load()
    for task in chosen.tasks:
        robot.instruction(task)
    choose_gl()
    nodes = sim_eval_graph(chosen)
    check_out(chosen.out)
    try:
        import rclpy  # noqa: F401
    except ImportError as err:
        raise InputError(f"rclpy cannot be imported ({err}); run 'make setup', or source a ROS 2 "
                         "Jazzy installation.") from None
    from tinyvla_ros.local_launch import run_graph
    return run_graph(nodes)


def _evaluate(options) -> int:
    from tinyvla_ros.resources import default_checkpoint
    from tinyvla_ros.results import table
    from training.evaluate import EvaluationOptions, evaluate

    chosen = EvaluationOptions(tuple(options.tasks), options.episodes, options.seed,
                               Path(options.checkpoint or default_checkpoint()), options.device)
    results = evaluate(chosen, Path(options.out), _workers(options.workers))
    print(f"\n{table(results)}\nresults and pictures: {options.out}")
    return 0


def _collect(options) -> int:
    from training.collect import CollectOptions, collect

    collect(options.tasks, options.episodes, options.seed, options.out,
            CollectOptions(noise=options.noise), _workers(options.workers))
    print(f"demonstrations: {options.out}")
    return 0


def _train(options) -> int:
    from training.recipe import Recipe
    from training.train import train

    # Threads that wait passively leave the cores to others; must be set before torch starts.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    train(Recipe.load(options.config), options.data, options.out, options.threads, options.device,
          init=options.init)
    print(f"checkpoint: {options.out}")
    return 0


def _workers(count: int | None) -> int | None:
    if count is not None and count < 1:
        raise InputError(f"Workers is {count}; give a number of at least 1.")
    return count


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""The ``tinyvla`` command."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from pathlib import Path

from tinyvla_ros import __version__
from tinyvla_ros.core.configuration import parse
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.start.graph import SimEvalOptions, sim_eval_graph


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
    except BrokenPipeError:  # the reader of a pipe, e.g. head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tinyvla", description="Train a small diffusion policy and run it on ROS 2 topics.")
    parser.add_argument("--version", action="version", version=f"tinyvla_ros {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND",
                                     parser_class=CommandParser)

    command = _command(commands, "sim-eval", _sim_eval,
                       "Evaluate a checkpoint in MetaWorld over real ROS 2 topics.")
    _evaluation_arguments(command, "results/sim_eval")
    command.add_argument("--mode", choices=("lockstep", "realtime"), default="lockstep",
                         help=SimEvalOptions.model_fields["mode"].description)
    command.add_argument("--join", choices=("replace", "ensemble", "rtc"), default="replace",
                         help=SimEvalOptions.model_fields["join"].description)
    command.add_argument("--extra-latency", type=float, default=0.0,
                         help=SimEvalOptions.model_fields["extra_latency"].description)
    command.add_argument("--record", action="store_true",
                         help=SimEvalOptions.model_fields["record"].description)

    _command(commands, "dry-run", "tinyvla_ros.cli.dry_run",
             "Run a policy on a kinematic arm over ROS 2 topics, before touching hardware.")

    _command(commands, "import", "tinyvla_ros.cli.import_lerobot",
             "Make a checkpoint of a DiffusionPolicy that was trained with LeRobot.")

    robot = _command(commands, "robot", None, "Look at robot contracts.").add_subparsers(
        required=True, metavar="COMMAND", parser_class=CommandParser)
    _command(robot, "check", "tinyvla_ros.cli.robot_check",
             "Check a contract against a checkpoint and, with --live, against the graph.")

    bag = _command(commands, "bag", None, "Look into recorded episodes and reuse them."
                   ).add_subparsers(required=True, metavar="COMMAND", parser_class=CommandParser)
    _command(bag, "info", "tinyvla_ros.bags.info",
             "Show duration, rates, gaps, losses and outcome.")
    _command(bag, "recover", "tinyvla_ros.bags.recover",
             "Make a complete bag of one that was cut off.")
    _command(bag, "export", "training.bag_export.export",
             "Make a LeRobotDataset of recorded episodes.")
    _command(bag, "report", "tinyvla_ros.report.episode_report",
             "Show a run on one page: films, plots, failures.")
    _command(bag, "replay", "tinyvla_ros.bags.replay",
             "Feed recorded observations to the policy and compare its chunks.")

    command = _command(commands, "evaluate", _evaluate,
                       "The same protocol in process, without ROS, on all cores.")
    _evaluation_arguments(command, "results/evaluate")
    command.add_argument("--workers", type=int, default=None, help="processes; default: cores")

    from tinyvla_ros.cli.training import register, scenes_argument
    scenes_argument(command)
    register(lambda name, run, text: _command(commands, name, run, text))
    return parser


class _Formatter(argparse.ArgumentDefaultsHelpFormatter):
    """Show defaults that say something."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        nothing = action.default is None or action.default in ("", [])
        return action.help if nothing else super()._get_help_string(action)


class CommandParser(argparse.ArgumentParser):
    """A command's parser; one that names a module imports it when the command is used.

    Args:
        module: module with ``add_arguments(parser)`` and ``run(options) -> int``.
    """

    def __init__(self, *args, module: str | None = None, **kwargs):
        kwargs.setdefault("description", kwargs.pop("help", None))
        super().__init__(*args, formatter_class=_Formatter, **kwargs)
        self._module = module

    def parse_known_args(self, args=None, namespace=None):
        """Parse; see ``argparse``."""
        if self._module is not None:
            module = importlib.import_module(self._module)
            module.add_arguments(self)
            self.set_defaults(run=module.run)
            self._module = None
        return super().parse_known_args(args, namespace)


def _command(commands, name: str, run, text: str) -> CommandParser:
    module = run if isinstance(run, str) else None
    command = commands.add_parser(name, help=text, description=text, module=module)
    if callable(run):
        command.set_defaults(run=run)
    return command


def _evaluation_arguments(command: argparse.ArgumentParser, out: str) -> None:
    fields = SimEvalOptions.model_fields
    command.add_argument("--tasks", nargs="+", default=list(fields["tasks"].default),
                         metavar="TASK", help="MetaWorld tasks; mt10 stands for ten")
    command.add_argument("--episodes", type=int, default=fields["episodes"].default,
                         help=fields["episodes"].description)
    command.add_argument("--seed", type=int, default=fields["seed"].default,
                         help=fields["seed"].description)
    command.add_argument("--checkpoint", default="", help=fields["checkpoint"].description)
    command.add_argument("--out", default=out, help=fields["out"].description)
    command.add_argument("--device", default="cpu", help=fields["device"].description)


def _sim_eval(options) -> int:
    from sim_bridge.episodes import expand_tasks, plan_episodes
    from sim_bridge.gl import choose_gl
    from sim_bridge.robot_config import RobotConfig
    from tinyvla_ros.core.files import prepare_output_directory

    names = SimEvalOptions.model_fields
    options.tasks = list(expand_tasks(options.tasks))
    chosen = parse(SimEvalOptions, {n: getattr(options, n) for n in names}, "sim-eval")
    # What the nodes would find out one by one is said at once, before anything starts.
    plan_episodes(list(chosen.tasks), chosen.episodes, chosen.seed)
    robot = RobotConfig.load()
    for task in chosen.tasks:
        robot.instruction(task)
    choose_gl()
    nodes = sim_eval_graph(chosen)
    prepare_output_directory(chosen.out)
    from tinyvla_ros.start.local_launch import run_graph
    return run_graph(nodes)


def _evaluate(options) -> int:
    from sim_bridge.episodes import expand_tasks
    from sim_bridge.results import table
    from tinyvla_ros.cli.training import at_least_one
    from tinyvla_ros.core.resources import default_checkpoint
    from training.experiments.evaluate import EvaluationOptions, evaluate

    chosen = EvaluationOptions(expand_tasks(options.tasks), options.episodes, options.seed,
                               Path(options.checkpoint or default_checkpoint()), options.device,
                               scenes=options.scenes)
    results = evaluate(chosen, Path(options.out), at_least_one("Workers", options.workers))
    print(f"\n{table(results)}\nresults and pictures: {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

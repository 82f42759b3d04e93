# SPDX-License-Identifier: Apache-2.0
"""The training side of the ``tinyvla`` command; nothing heavy is imported before it is needed."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tinyvla_ros.core.errors import InputError

STOPPED = 143  # what a shell reports for a process ended by SIGTERM


def register(add) -> None:
    """Add the commands.

    Args:
        add: called with a command's name, what runs it (a function, or the name of a module with
            ``add_arguments`` and ``run``) and a sentence; returns the command's parser.
    """
    command = add("collect", _collect, "Collect demonstrations with MetaWorld's scripted experts.")
    command.add_argument("--tasks", nargs="+", required=True, metavar="TASK",
                         help="MetaWorld tasks; mt10 stands for ten")
    command.add_argument("--episodes", type=int, required=True, help="episodes per task")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--out", type=Path, required=True, help="new LeRobotDataset directory")
    scenes_argument(command)
    command.add_argument("--noise", type=float, default=1.0,
                         help="largest amplitude of the pushes that disturb the expert")
    command.add_argument("--workers", type=int, default=None, help="processes; default: cores")

    command = add("train", _train, "Train a policy on LeRobotDatasets, or go on with a run.")
    recipe_arguments(command)
    command.add_argument("--out", type=Path, help="new run directory")
    command.add_argument("--resume", type=Path, metavar="RUN",
                         help="go on with this run instead; takes recipe and data from it")
    command.add_argument("--init", type=Path, default=None,
                         help="checkpoint to start from (fine-tuning)")
    command.add_argument("--device", default=None, help="torch device; default: cpu")
    command.add_argument("--threads", type=int, default=None,
                         help="CPU threads per process; default: cores / processes")
    command.add_argument("--processes", type=int, default=1,
                         help="processes on this machine that share each batch; on two CPU "
                         "cores, two are faster than two threads")
    command.add_argument("--wandb", metavar="PROJECT", default=None,
                         help="log to Weights & Biases as well")

    add("diagnose", "training.diagnose.command", "Look for trouble before hours are spent: "
        "output scale, dead blocks, bad data, memory.")
    add("ablate", "training.experiments.ablation.command",
        "Measure what each part of a recipe does.")
    add("loss-vs-success", "training.experiments.loss_success",
        "Compare loss and success along a run.")
    add("latency-vs-success", "training.experiments.latency_success",
        "Compare ways of joining chunks under latency.")
    add("language-vs-success", "training.experiments.language_success",
        "Compare success when told the right task, new words, another task, or nothing.")
    data = add("data", None, "Look at datasets.").add_subparsers(required=True, metavar="COMMAND")
    data.add_parser("check", module="training.data_check.check",
                    help="verify a LeRobotDataset and draw a contact sheet per task")


def scenes_argument(command) -> None:
    """Add ``--scenes``."""
    command.add_argument("--scenes", choices=("standard", "shared"), default="standard",
                         help="shared: two tasks begin with the same picture, only words differ")


def recipe_arguments(command) -> None:
    """Add ``--config``, ``--set`` and ``--data``."""
    command.add_argument("--config", type=Path, help="recipe, YAML")
    command.add_argument("--set", action="append", default=[], metavar="KEY=VALUE",
                         dest="settings",
                         help="replace a setting of the recipe, e.g. optimization.steps=100")
    command.add_argument("--data", nargs="+", default=[], metavar="DIR[=WEIGHT]",
                         help="LeRobotDataset directories, mixed by weight")


def load_recipe(options):
    """Read ``--config`` with ``--set`` applied."""
    from training.learning.recipe import Recipe

    return Recipe.load(options.config, options.settings)


def at_least_one(name: str, value: int | None) -> int | None:
    """Return a count, or raise ``InputError`` if it is below one."""
    if value is not None and value < 1:
        raise InputError(f"{name} is {value}; give a number of at least 1.")
    return value


def _collect(options) -> int:
    from sim_bridge.episodes import expand_tasks
    from sim_bridge.robot_config import RobotConfig
    from training.data.collect import CollectOptions, collect

    collect(list(expand_tasks(options.tasks)), options.episodes, options.seed, options.out,
            CollectOptions(noise=options.noise), at_least_one("Workers", options.workers),
            RobotConfig.load(scenes=options.scenes))
    print(f"demonstrations: {options.out}")
    return 0


def _train(options) -> int:
    # Threads that wait passively leave the cores to others; must be set before torch starts.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    at_least_one("Threads", options.threads)
    if options.resume is not None:
        mixed = [n for n in ("config", "settings", "data", "out", "init", "wandb")
                 if getattr(options, n)]
        if mixed:
            name = {"settings": "set"}.get(mixed[0], mixed[0])
            raise InputError(f"--resume {options.resume} takes everything from the run; leave "
                             f"--{name} out.")
        run = options.resume
        work = _resume
    else:
        missing = [n for n in ("config", "data", "out") if not getattr(options, n)]
        if missing:
            raise InputError(f"--{missing[0]} is missing; give --config, --data and --out, or "
                             "--resume RUN.")
        load_recipe(options)
        run = options.out
        work = _start
    if at_least_one("Processes", options.processes) > 1 and "WORLD_SIZE" not in os.environ:
        return _several_processes(options.processes)
    if work(options):
        print(f"run: {run}; checkpoints: {run}/best, {run}/last")
        return 0
    print(f"stopped, all saved; go on with: tinyvla train --resume {run}")
    return STOPPED


def _start(options) -> bool:
    from training.learning.mixture import parse_sources
    from training.learning.train import Setting, train

    setting = Setting(parse_sources(options.data), options.device or "cpu", options.threads,
                      options.init, options.wandb)
    return train(load_recipe(options), setting, options.out)


def _resume(options) -> bool:
    from training.learning.train import resume

    return resume(options.resume, options.device, options.threads)


def _several_processes(count: int) -> int:
    """Start this command again through torchrun."""
    import subprocess

    return subprocess.call(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node",
         str(count), "-m", "tinyvla_ros.cli", *sys.argv[1:]])

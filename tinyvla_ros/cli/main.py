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

"""The ``tinyvla`` command: a table of commands, each loaded when it is used."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable
from typing import get_type_hints

from tinyvla_ros import __version__
from tinyvla_ros.core.configuration import Config
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.extras import require
from tinyvla_ros.core.options import add_options, read_options
from tinyvla_ros.core.output import not_encodable, print_any_text

_GROUPS = {"robot": "Write and check robot contracts.", "data": "Check datasets.",
           "monitor": "Watch what a policy does.",
           "bag": "Inspect, replay and export recorded episodes."}

# Name -> where its function is, below tinyvla_ros.cli, and what it does.
# Command -> extras of the package that it needs, beyond a robot's runtime. That of ROS is checked
# by those who start nodes.
EXTRAS = {
    "import": ["train"], "export": ["train"], "recipe": ["train"], "train": ["train"],
    "diagnose": ["train"], "monitor calibrate": ["train"], "improve": ["data", "train"],
    "bag report": ["data"], "bag export": ["data"], "data check": ["data"],
    "panel": ["panel"],
    "sim-eval": ["sim"], "sim-robot": ["sim"], "evaluate": ["sim"], "collect": ["sim", "data"],
    "ablate": ["sim", "train"], "loss-vs-success": ["sim", "train"],
    "latency-vs-success": ["sim", "train"], "language-vs-success": ["sim", "train"],
}
COMMANDS = {
    "sim-eval": ("simulation:sim_eval",
                 "Evaluate a checkpoint in simulation over real ROS 2 topics."),
    "dry-run": ("robot:dry_run", "Run a policy on a kinematic arm over ROS 2 topics, before "
                "touching hardware."),
    "run": ("robot:run", "Run a policy on an arm that runs already, as policy.launch.py does."),
    "run-sequence": ("sequence:run_sequence", "Take a policy through several instructions, with "
                     "tries, and a way on after a failure."),
    "trial": ("trial:trial", "Try policies on an arm by a protocol, blind, and judge each trial."),
    "panel": ("robot:panel", "Show an arm in a browser: cameras, state, take over, record."),
    "sim-robot": ("simulation:sim_robot",
                  "Let a simulated arm stand there like a real one, on the wall clock."),
    "teleop": ("teleop:teleop", "Drive an arm by keyboard, gamepad, space mouse or leader arm, "
               "and record demonstrations."),
    "import": ("import_lerobot:import_policy",
               "Make a checkpoint of a DiffusionPolicy that was trained with LeRobot."),
    "export": ("export:export", "Compile a checkpoint's policy to policy.onnx, which runs without "
               "torch."),
    "robot init": ("robot:init", "Write a robot contract from a running graph, with what is "
                   "uncertain marked."),
    "robot check": ("robot:check", "Check a contract against a checkpoint and, with --live, "
                    "against the graph."),
    "bag info": ("bag:info", "Show rates, gaps, losses and who commanded, of a folder a table."),
    "bag recover": ("bag:recover", "Make a complete bag of one that was cut off."),
    "bag export": ("bag:export", "Make a LeRobotDataset of recorded episodes."),
    "bag report": ("bag:report", "Show a run on one page: films, plots, failures."),
    "bag replay": ("bag:replay", "Feed recorded observations to the policy and compare its "
                   "chunks."),
    "view": ("view:view", "Watch a running graph or a bag in Rerun or Foxglove."),
    "evaluate": ("simulation:evaluate",
                 "The same protocol in process, without ROS, on all cores."),
    "compare": ("compare:compare", "Put results of evaluations side by side, with tests on the "
                "episodes they share."),
    "collect": ("data:collect", "Collect demonstrations with MetaWorld's scripted experts."),
    "recipe": ("train:recipe", "Write a training recipe for your own data, and check it against "
               "them and the robot."),
    "train": ("train:train", "Train a policy on LeRobotDatasets, or go on with a run."),
    "improve": ("improve:improve", "Make a better checkpoint of one and of what it and people did "
                "on the arm."),
    "monitor calibrate": ("monitor:calibrate", "Make a monitor of a checkpoint from its recorded "
                          "episodes: progress, done, alarms."),
    "diagnose": ("train:diagnose", "Find problems before a long training: output scale, dead "
                 "blocks, bad data, memory."),
    "ablate": ("studies:ablate", "Measure what each part of a recipe does."),
    "loss-vs-success": ("studies:loss_success", "Compare loss and success along a run."),
    "latency-vs-success": ("studies:latency_success",
                           "Compare ways of blending chunks under latency."),
    "language-vs-success": ("studies:language_success", "Compare success with the right "
                            "instruction, new words, another task's, or none."),
    "data check": ("data:check", "Verify a LeRobotDataset and draw a contact sheet per task."),
}


def main(args: list[str] | None = None) -> int:
    """Run a command; bad input is one sentence on stderr and exit code 2."""
    print_any_text()
    try:
        _check_directory()
        return run_command(args)
    except InputError as err:
        print(f"error: {err}", file=sys.stderr)
        return 2
    except UnicodeEncodeError as err:  # of a file; what is printed is escaped
        print(f"error: {not_encodable(err)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of a pipe, e.g. head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def run_command(args: list[str] | None = None) -> int:
    """Parse a command line, run its command and return the exit code.

    Raises:
        InputError: what is wrong with the command line or with what it names.
    """
    namespace = _parser().parse_args(args)
    function, model = load_command(namespace.command_name)
    options = read_options(model, namespace)
    require(f"tinyvla {namespace.command_name}", *EXTRAS.get(namespace.command_name, []))
    return function(options) or 0


def _check_directory() -> None:
    """Raise ``InputError`` if the current directory is gone; libraries would end the process."""
    try:
        os.getcwd()
    except OSError as err:
        raise InputError(f"The current directory cannot be used ({err.strerror}), perhaps it was "
                         "deleted; change to another one.") from None


def load_command(name: str) -> tuple[Callable[..., int], type[Config]]:
    """Return a command's function and the model of its options."""
    module, function_name = COMMANDS[name][0].split(":")
    function = getattr(importlib.import_module(f"tinyvla_ros.cli.{module}"), function_name)
    return function, get_type_hints(function)["options"]


class CommandParser(argparse.ArgumentParser):
    """A parser that gets a command's options when the command is used; errors are ours.

    Args:
        command: key of ``COMMANDS``; None for a parser of commands.
    """

    def __init__(self, *args, command: str | None = None, **kwargs):
        super().__init__(*args, **kwargs)
        self._unloaded = command

    def parse_known_args(self, args=None, namespace=None):
        """Parse; see ``argparse``."""
        if self._unloaded is not None:
            add_options(self, load_command(self._unloaded)[1])
            self.set_defaults(command_name=self._unloaded)
            self._unloaded = None
        namespace, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return namespace, unknown

    def error(self, message: str):
        """Raise ``InputError`` instead of printing the usage."""
        raise InputError(f"{message}; see '{self.prog} --help'.")


def _parser() -> CommandParser:
    parser = CommandParser(
        prog="tinyvla", description="Train a small diffusion policy and run it on ROS 2 topics.")
    parser.add_argument("--version", action="version", version=f"tinyvla_ros {__version__}")
    groups = {"": parser.add_subparsers(required=True, metavar="COMMAND")}
    for name, (_, text) in COMMANDS.items():
        group, _, last = name.rpartition(" ")
        if group not in groups:
            parent = groups[""].add_parser(group, help=_GROUPS[group], description=_GROUPS[group])
            groups[group] = parent.add_subparsers(required=True, metavar="COMMAND")
        groups[group].add_parser(last, help=text, description=text, command=name)
    return parser

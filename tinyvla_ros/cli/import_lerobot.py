# SPDX-License-Identifier: Apache-2.0
"""``tinyvla import``: run a policy that was trained with LeRobot."""

from __future__ import annotations

import argparse
from pathlib import Path

from tinyvla_ros.core.errors import InputError
from tinyvla_ros.lerobot_import.importer import ImportOptions, import_checkpoint


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``tinyvla import``."""
    parser.add_argument("source", type=Path, metavar="DIR",
                        help="LeRobot's pretrained_model directory, of a policy of type diffusion")
    parser.add_argument("--out", type=Path, required=True, metavar="CHECKPOINT",
                        help="new checkpoint directory")
    parser.add_argument("--dataset", type=Path, default=None, metavar="DIR",
                        help="LeRobotDataset it was trained on: names, rate, limits, tasks")
    parser.add_argument("--state-names", default=None, metavar="A,B,...",
                        help="names of the state's entries, by which the robot publishes them")
    parser.add_argument("--action-names", default=None, metavar="A,B,...",
                        help="names of the action's entries")
    parser.add_argument("--fps", type=float, default=None, help="control rate, Hz")
    parser.add_argument("--instruction", action="append", default=[], metavar="TEXT",
                        help="what the policy does; may be given again, words do not steer it")
    parser.add_argument("--degrees", default="", metavar="A,B,...",
                        help="entries that the dataset has in degrees: the checkpoint takes and "
                             "gives radians")
    parser.add_argument("--unit", default="as in the dataset",
                        help="unit of the actions, for people")
    parser.add_argument("--sampler", choices=("ddpm", "ddim"), default=None,
                        help="other than LeRobot's own setting: chunks differ from LeRobot's")
    parser.add_argument("--sample-steps", type=int, default=None,
                        help="steps of the sampler; other than LeRobot's own: chunks differ")


def run(options: argparse.Namespace) -> int:
    """Import; 0, or 2 for bad input."""
    if options.sample_steps is not None and options.sample_steps < 1:
        raise InputError(f"--sample-steps is {options.sample_steps}; give at least 1.")
    digest = import_checkpoint(options.source, options.out, ImportOptions(
        options.dataset, options.state_names, options.action_names, options.fps,
        tuple(options.instruction), tuple(n.strip() for n in options.degrees.split(",") if n),
        options.unit, options.sampler and options.sampler.upper(),
        options.sample_steps))
    print(f"{options.out}: checkpoint {digest}; its README.md says what it sees and does")
    return 0

# SPDX-License-Identifier: Apache-2.0
"""``tinyvla diagnose``: what is wrong with a recipe or a checkpoint, before hours are spent."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from tinyvla_ros.core.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``tinyvla diagnose``."""
    from tinyvla_ros.cli.training import recipe_arguments

    recipe_arguments(parser)
    parser.add_argument("--checkpoint", type=Path, default=None,
                        help="checkpoint directory, in place of --config")
    parser.add_argument("--gpu-gb", type=float, default=6.0,
                        help="memory of the GPU the largest batch is computed for, 10^9 bytes")
    parser.add_argument("--utilization", type=float, default=0.65,
                        help="share of it that training may take; the rest is the driver's, the "
                        "libraries' workspace and what fragments")
    parser.add_argument("--device", default="cpu", help="torch device")
    parser.add_argument("--steps", type=int, default=150,
                        help="steps of the one-batch overfit check")
    parser.add_argument("--out", type=Path, default=None, help="report as JSON, a new file")


def run(options: argparse.Namespace) -> int:
    """Diagnose and print a report.

    Returns:
        0, or 1 if there are problems (not for warnings alone).

    Raises:
        InputError: arguments that do not go together, a recipe, checkpoint or dataset that cannot
            be read, ``out`` exists.
    """
    _check(options)
    # Both are read when torch is loaded: threads that wait leave the cores to others, and torch's
    # profiler does not say on stderr when it starts and stops.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    import torch

    from tinyvla_ros.core.files import write_json
    from training.diagnose.diagnosis import Request, diagnose
    from training.diagnose.report import report_data, report_text
    from training.learning.mixture import parse_sources

    # A small batch: on cores that others use too, two threads would mostly wait for each other.
    torch.set_num_threads(1)
    request = Request(parse_sources(options.data), options.device, options.steps, options.gpu_gb,
                      options.utilization)
    diagnosis = diagnose(_subject(options), request)
    print(report_text(diagnosis))
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        write_json(options.out, report_data(diagnosis))
        print(f"report: {options.out}")
    return 1 if any(f.error for f in diagnosis.findings) else 0


def _subject(options: argparse.Namespace):
    from tinyvla_ros.cli.training import load_recipe
    from training.diagnose.diagnosis import Subject, checkpoint_subject

    if options.checkpoint:
        return checkpoint_subject(options.checkpoint)
    return Subject(str(options.config), load_recipe(options))


def _check(options: argparse.Namespace) -> None:
    if bool(options.config) == bool(options.checkpoint):
        given = "both --config and --checkpoint are" if options.config else \
            "neither --config nor --checkpoint is"
        raise InputError(f"Of two things to diagnose {given} given; give one of them.")
    if options.checkpoint and options.settings:
        raise InputError(f"--set {options.settings[0]} changes a recipe; leave it out with "
                         "--checkpoint.")
    if options.out and options.out.exists():
        raise InputError(f"Output {options.out} exists; choose a new file, nothing was "
                         "overwritten.")
    if options.steps < 1:
        raise InputError(f"Steps is {options.steps}; give a number of at least 1.")
    if not 0.0 < options.gpu_gb < float("inf"):
        raise InputError(f"GPU memory is {options.gpu_gb:g} GB; give a positive number.")
    if not 0.0 < options.utilization <= 1.0:
        raise InputError(f"Utilization is {options.utilization:g}; give a share between 0 and 1.")

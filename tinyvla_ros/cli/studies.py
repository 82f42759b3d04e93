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

"""The studies: ``tinyvla ablate`` and ``tinyvla loss-, latency-, language-vs-success``."""

from __future__ import annotations

import os
from pathlib import Path

from tinyvla_ros.cli.common import STOPPED, wait_passively
from training.experiments.options import (
    AblationOptions,
    LanguageStudyOptions,
    LatencyStudyOptions,
    LossStudyOptions,
)


def ablate(options: AblationOptions) -> int:
    """Train and evaluate recipes that differ in one fix each."""
    wait_passively()
    os.environ.setdefault("TQDM_MININTERVAL", "10")  # the workers' bars go to files
    from training.experiments.ablation.study import compare_fixes
    return _print_report(compare_fixes(options), options.out,
                         "ablation.md, ablation.json, ablation.png")


def loss_success(options: LossStudyOptions) -> int:
    """Compare losses and success of the snapshots of a run."""
    wait_passively()
    from training.experiments.loss_success import compare_losses
    return _print_report(compare_losses(options), options.out, "loss-vs-success.md, .json, .png")


def latency_success(options: LatencyStudyOptions) -> int:
    """Compare ways of blending chunks under latency."""
    wait_passively()
    from training.experiments.latency_success import compare_latencies
    return _print_report(compare_latencies(options), options.out, "latency.md, .png")


def language_success(options: LanguageStudyOptions) -> int:
    """Compare instructions in the same episodes."""
    wait_passively()
    from training.experiments.language_success import compare_instructions
    return _print_report(compare_instructions(options), options.out, "language.md, .png")


def _print_report(report: str | None, out: Path, files: str) -> int:
    if report is None:
        return STOPPED  # what is finished is kept, and a message was printed
    print(f"{report}\n\nresults: {out}/{files}")
    return 0

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

"""From a checkpoint to ``policy.onnx``: traced, described, compared with torch, then put there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from tinyvla_ros import __version__
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.files import COMPILED
from tinyvla_ros.policy.backends.compiled_file import FORMAT, CompiledFile
from tinyvla_ros.policy.backends.compiled_inputs import (
    ACTIONS,
    KNOWN,
    NOISE,
    WEIGHTS,
    observation_inputs,
)
from tinyvla_ros.policy.checkpoint import Checkpoint, load_checkpoint
from tinyvla_ros.policy.export.comparison import Case, Comparison, compare, made_up_cases
from tinyvla_ros.policy.export.raw_network import RawNetwork
from tinyvla_ros.policy.export.tracing import check_exportable, part_of, write_onnx

# Their versions are noted in the file.
MADE_WITH = ("torch", "onnx", "onnxscript", "onnxruntime")
# More would make a graph of tens of thousands of operations, which takes minutes to make.
MOST_STEPS = 50


@dataclass(frozen=True)
class ExportedPolicy:
    """A compiled policy that was written.

    Attributes:
        path: the file.
        sample_steps: steps of its sampler.
        comparison: with torch.
    """

    path: Path
    sample_steps: int
    comparison: Comparison


def export_checkpoint(path: str | Path, sample_steps: int | None = None,
                      out: Path | None = None, cases: Sequence[Case] = ()) -> ExportedPolicy:
    """Compile a checkpoint's policy.

    Args:
        path: checkpoint directory.
        sample_steps: steps of the sampler, which are fixed in the file; None for the
            checkpoint's own.
        out: file to write; None for ``policy.onnx`` in the checkpoint.
        cases: what to compare on; made up if there are none.

    Raises:
        CheckpointError: the checkpoint cannot be used.
        InputError: the steps are out of range, the network cannot be
            compiled, or it does not compute what torch does. No file is left then.
    """
    checkpoint = load_checkpoint(path)
    check_exportable(checkpoint)
    most = min(MOST_STEPS, checkpoint.config.diffusion.train_steps)
    steps = sample_steps or checkpoint.config.diffusion.sample_steps
    if not 1 <= steps <= most:
        raise InputError(f"Sample steps is {steps}; give --sample-steps with a number from 1 to "
                         f"{most}: the sampler is unrolled.")
    checkpoint.network.set_sample_steps(steps)
    out = out or checkpoint.path / COMPILED
    with part_of(out) as part:
        _write(checkpoint, steps, part)
        comparison = compare(CompiledFile.read(part), checkpoint, steps,
                             cases or made_up_cases(checkpoint))
    return ExportedPolicy(out, steps, comparison)


def _write(checkpoint: Checkpoint, steps: int, part: Path) -> None:
    """Write a checkpoint's network; raises ``InputError`` if it cannot be traced."""
    network, config = RawNetwork(checkpoint), checkpoint.config
    write_onnx(network, network.example(),
               [*observation_inputs(config), NOISE, KNOWN, WEIGHTS], [ACTIONS],
               _metadata(checkpoint, steps), checkpoint, part)


def _metadata(checkpoint: Checkpoint, steps: int) -> dict[str, str]:
    """Return what the file says about itself: names, and JSON."""
    config, action = checkpoint.config, checkpoint.config.action
    versions = {name: metadata.version(name) for name in MADE_WITH}
    values = {
        "format": FORMAT, "digest": checkpoint.digest, "sample_steps": steps,
        "noise_shape": checkpoint.network.noise_shape,
        "cameras": {name: camera.model_dump() for name, camera in config.cameras.items()},
        "state": config.state, "continuous": config.continuous,
        "channels": action.channels, "units": action.units, "low": action.low,
        "high": action.high, "dt": action.dt, "horizon": action.horizon,
        "n_action_steps": action.n_action_steps, "continuous_channels": action.continuous,
        "committed_rows": config.most_committed,
        "wordings": config.wordings, "language": config.language.model_dump(),
        "versions": {"tinyvla_ros": __version__, **versions}}
    return {name: json.dumps(value) for name, value in values.items()}

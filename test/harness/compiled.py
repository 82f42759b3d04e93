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

"""Compiled policies for tests."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from harness.policies import random_observation
from tinyvla_ros.core.files import COMPILED, checkpoint_digest
from tinyvla_ros.core.types import Prefix
from tinyvla_ros.policy.policy import Policy

# Largest difference of backends, of actions between -1 and 1.
TOLERANCE = 1e-4
_compiled: dict[tuple[str, int | None], bytes] = {}


def compiled_copy(checkpoint: Path, folder: Path, sample_steps: int | None = None) -> Path:
    """Return a copy of a checkpoint that has a ``policy.onnx``."""
    from tinyvla_ros.policy.export.exporter import export_checkpoint

    copy = shutil.copytree(checkpoint, folder / "compiled")
    made = checkpoint_digest(copy), sample_steps
    if made in _compiled:  # it takes seconds, and several tests want the same one
        (copy / COMPILED).write_bytes(_compiled[made])
    else:
        export_checkpoint(copy, sample_steps)
        _compiled[made] = (copy / COMPILED).read_bytes()
    return copy


def largest_difference(first: Policy, second: Policy, instruction: str = "") -> float:
    """Return how far chunks of two policies are apart: free, with a hard and a soft prefix."""
    config = first.config
    shape = (config.action.horizon, len(config.action.channels))
    known = np.random.default_rng(0).uniform(-0.8, 0.8, shape).astype(np.float32)
    rows = np.arange(shape[0])
    worst = 0.0
    for number, prefix in enumerate((None, Prefix(known, (rows < 5).astype(np.float32)),
                                     Prefix(known, np.clip(1.2 - rows / 8, 0, 1).astype("f4")))):
        seen = random_observation(config, number, 1_000 + number)
        if instruction:
            seen = type(seen)(seen.stamp_ns, seen.images, seen.state, instruction)
        a, b = (p.infer(seen, prefix).actions for p in (first, second))
        assert not np.array_equal(a, np.zeros_like(a))
        worst = max(worst, float(np.abs(a - b).max()))
    return worst

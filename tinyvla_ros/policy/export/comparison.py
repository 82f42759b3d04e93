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

"""Whether a compiled policy computes what the network in torch computes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.types import Observation
from tinyvla_ros.policy.backends.backend import NetworkInputs
from tinyvla_ros.policy.backends.compiled_file import CompiledFile
from tinyvla_ros.policy.backends.onnxruntime_backend import OnnxRuntimeBackend
from tinyvla_ros.policy.backends.torch_backend import TorchBackend
from tinyvla_ros.policy.checkpoint import Checkpoint
from tinyvla_ros.policy.policy import Policy

# Largest difference of an action that passes, of actions normalized to [-1, 1].
TOLERANCE = 1e-4
MADE_UP = 8
# Made-up images are this many times smaller before they are enlarged: noise of single pixels is
# nothing that an encoder was trained on.
COARSENESS = 8


@dataclass(frozen=True)
class Case:
    """An observation to compare on.

    Attributes:
        observation: what to act on.
        past: observations before it.
    """

    observation: Observation
    past: Sequence[Observation] = ()


@dataclass(frozen=True)
class Comparison:
    """How far a compiled policy is from torch.

    Attributes:
        chunks: compared.
        difference: largest one of an action, normalized to [-1, 1].
    """

    chunks: int
    difference: float


def compare(file: CompiledFile, checkpoint: Checkpoint, sample_steps: int,
            cases: Sequence[Case]) -> Comparison:
    """Compare every case without a prefix, with a hard one, and with a soft one.

    Args:
        file: the compiled policy.
        checkpoint: it was made of.
        sample_steps: of the sampler.
        cases: observations.

    Raises:
        InputError: the actions differ by more than ``TOLERANCE``.
    """
    ours = TorchBackend(checkpoint, "cpu", 1, sample_steps)
    compiled = OnnxRuntimeBackend(file, checkpoint.config, 1)
    policy, normalizer = Policy(checkpoint, sample_steps=sample_steps), checkpoint.normalizer
    low, high = normalizer.action_low.numpy(), normalizer.action_high.numpy()
    rng = np.random.default_rng(0)
    chunks, worst = 0, 0.0
    for case in cases:
        _, inputs = policy.network_inputs(case.observation, past=case.past)
        for given in (inputs, *_with_prefixes(inputs, low, high, checkpoint, rng)):
            difference = np.abs(compiled.infer(given) - ours.infer(given)) * 2 / (high - low)
            chunks += 1
            # Not a number must not pass.
            worst = max(worst, float(np.nan_to_num(difference, nan=np.inf).max()))
    if worst > TOLERANCE:
        raise InputError(f"The compiled policy of {checkpoint.path} differs from torch by "
                         f"{worst:.2g} of the normalized range of an action, more than "
                         f"{TOLERANCE:g}; it was not kept, use backend torch.")
    return Comparison(chunks, worst)


def made_up_cases(checkpoint: Checkpoint) -> list[Case]:
    """Return observations with states like those of the training data, and images of blobs."""
    rng, config = np.random.default_rng(0), checkpoint.config
    mean, std = (t.numpy() for t in (checkpoint.normalizer.state_mean,
                                     checkpoint.normalizer.state_std))
    cases = []
    for number in range(MADE_UP):
        state = rng.normal(mean, std).astype(np.float32)
        images = {name: cv2.resize(
            rng.integers(0, 256, (camera.height // COARSENESS, camera.width // COARSENESS, 3),
                         dtype=np.uint8), (camera.width, camera.height))
            for name, camera in config.cameras.items()}
        cases.append(Case(Observation(
            number + 1, images, dict(zip(config.state, state.tolist(), strict=True)),
            config.wordings[number % len(config.wordings)])))
    return cases


def _with_prefixes(inputs: NetworkInputs, low: np.ndarray, high: np.ndarray,
                   checkpoint: Checkpoint, rng: np.random.Generator):
    """Yield inputs with actions to keep, then with actions to keep less and less."""
    action = checkpoint.config.action
    known = rng.uniform(low, high, (action.horizon, len(action.channels))).astype(np.float32)
    rows = np.arange(action.horizon)
    committed = rng.integers(1, action.horizon)
    yield replace(inputs, known=known, weights=(rows < committed).astype(np.float32))
    fading = np.clip(1.0 - (rows - committed // 2) / (action.horizon / 2), 0.0, 1.0)
    yield replace(inputs, known=known, weights=fading.astype(np.float32))

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

"""What runs a policy's network: the interface, the names, and what goes in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from tinyvla_ros.core.errors import InputError

# Those that run ``policy.onnx``; each is the name of its package, but for tensorrt.
COMPILED = ("onnxruntime", "openvino", "tensorrt")
BackendName = Literal["auto", "onnxruntime", "openvino", "tensorrt", "torch"]
BACKEND_HELP = ("What runs the network: onnxruntime, openvino or tensorrt run the checkpoint's "
                "policy.onnx, see 'tinyvla export'; auto: onnxruntime on a CPU where there is a "
                "policy.onnx, torch otherwise.")


@dataclass(frozen=True)
class NetworkInputs:
    """What one chunk is computed from. Images and numbers are raw: backends normalize.

    Attributes:
        images: one (n_obs_steps, height, width, 3) uint8 RGB array per camera, in the order of
            the configuration, oldest observation first.
        state: (n_obs_steps, len(state)) float32, in the robot's units.
        words: (1,) int64 row of the known wordings, -1 for none; or (1, dim) float32 embedding of
            others; or (1, max_tokens) int64 tokens.
        noise: (1, *noise_shape) float32 standard normal.
        known: (horizon, channels) float32 actions to continue, in the robot's units, or None.
        weights: (horizon,) float32, how far: 1 keeps a row of ``known``, 0 leaves it free. None
            if ``known`` is.
    """

    images: Sequence[np.ndarray]
    state: np.ndarray
    words: np.ndarray
    noise: np.ndarray
    known: np.ndarray | None = None
    weights: np.ndarray | None = None


@dataclass(frozen=True)
class BackendChoice:
    """Which backend runs a policy.

    Attributes:
        name: of ``BackendName``, not ``auto``.
        version: of its package.
        sample_steps: steps of the sampler.
    """

    name: str
    version: str
    sample_steps: int

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


class Backend(Protocol):
    """Runs a policy's network.

    Attributes:
        noise_shape: shape of the noise that one chunk takes, without the batch.
    """

    noise_shape: tuple[int, ...]

    def infer(self, inputs: NetworkInputs) -> np.ndarray:
        """Return (horizon, channels) float32 actions in the robot's units, not yet limited."""


def check_device_name(name: str) -> int | None:
    """Return the number of a CUDA device, None for the CPU; it need not be on this machine.

    Raises:
        InputError: it is no device name.
    """
    found = re.fullmatch(r"cpu|cuda(?::(\d+))?", name)
    if found is None:
        raise InputError(f"Unknown device {name!r}; give 'cpu', 'cuda' or 'cuda:N'.")
    return None if name == "cpu" else int(found[1] or 0)

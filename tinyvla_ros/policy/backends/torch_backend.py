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

"""The network in torch, as it was trained."""

from __future__ import annotations

import numpy as np
import torch

from tinyvla_ros.core.errors import InputError
from tinyvla_ros.policy.backends.backend import NetworkInputs, check_device_name
from tinyvla_ros.policy.backends.cuda_graph import CudaGraphs
from tinyvla_ros.policy.checkpoint import Checkpoint, load_checkpoint
from tinyvla_ros.policy.saved_checkpoint import SavedCheckpoint


class TorchBackend:
    """Runs a checkpoint's network in torch; on CUDA as CUDA graphs.

    Args:
        checkpoint: loaded.
        device: torch device.
        threads: CPU threads for torch, process-wide.
        sample_steps: steps of the sampler.

    Raises:
        InputError: this machine does not have the device.
    """

    def __init__(self, checkpoint: Checkpoint, device: str, threads: int,
                 sample_steps: int):
        self._device = find_device(device)
        torch.set_num_threads(threads)
        self.network = checkpoint.network.to(self._device)
        self._normalizer = checkpoint.normalizer.to(self._device)
        self.network.set_sample_steps(sample_steps)
        self.noise_shape = self.network.noise_shape
        self._cameras = len(checkpoint.config.cameras)
        self._run = CudaGraphs(self._actions) if self._device.type == "cuda" else self._actions

    @classmethod
    def load(cls, checkpoint: SavedCheckpoint, device: str, threads: int,
             sample_steps: int) -> TorchBackend:
        """Load a checkpoint that may have been loaded already."""
        if not isinstance(checkpoint, Checkpoint):
            find_device(device)  # before what takes long
            checkpoint = load_checkpoint(checkpoint.path)
        return cls(checkpoint, device, threads, sample_steps)

    @torch.inference_mode()
    def infer(self, inputs: NetworkInputs) -> np.ndarray:
        """Return (horizon, channels) float32 actions in the robot's units, not yet limited."""
        known = () if inputs.known is None else (inputs.known, inputs.weights)
        tensors = [torch.from_numpy(np.ascontiguousarray(array)).to(self._device)
                   for array in (*inputs.images, inputs.state, inputs.words, inputs.noise, *known)]
        return self._run(*tensors).float().cpu().numpy()

    def _actions(self, *inputs: torch.Tensor) -> torch.Tensor:
        images, (state, words, noise, *known) = inputs[:self._cameras], inputs[self._cameras:]
        normalizer = self._normalizer
        condition = self.network.encode([to_network_image(image) for image in images],
                                        normalizer.state(state), words)
        if known:
            actions, weights = known
            known = normalizer.action(actions)[None], weights[None, :, None]
        return normalizer.to_action(self.network.sample(condition, noise, *known))[0]


def to_network_image(images: torch.Tensor) -> torch.Tensor:
    """Map (B, H, W, 3) uint8 to (B, 3, H, W) float in [-1, 1]."""
    images = images.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
    return images.div_(127.5).sub_(1.0)


def find_device(name: str) -> torch.device:
    """Return a torch device, or raise ``InputError`` if this machine does not have it."""
    index = check_device_name(name)
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if index is not None and index >= count:
        others = f" or 'cuda:0' to 'cuda:{count - 1}'" if count else ""
        raise InputError(f"Device {name!r} is not available on this machine; use 'cpu'{others}.")
    return torch.device(name)

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

"""The inputs of ``policy.onnx``, by name."""

from __future__ import annotations

import numpy as np

from tinyvla_ros.policy.backends.backend import NetworkInputs
from tinyvla_ros.policy.config import PolicyConfig

IMAGE = "image_"  # before a camera's name
STATE, INSTRUCTION, EMBEDDING = "state", "instruction", "embedding"
NOISE, KNOWN, WEIGHTS, ACTIONS = "noise", "known", "weights", "actions"


def observation_inputs(config: PolicyConfig) -> list[str]:
    """Return the names of the inputs that an observation gives, in their order."""
    words = [INSTRUCTION, EMBEDDING] if config.takes_new_wordings else [INSTRUCTION]
    return [*(IMAGE + name for name in config.cameras), STATE, *words]


class CompiledInputs:
    """Puts the inputs of a chunk under the names they have in the graph.

    ::

        image_NAME   (n_obs_steps, height, width, 3) uint8    one for each camera
        state        (n_obs_steps, len(state)) float32
        instruction  (1,) int64                               row, -1 for none or for embedding
        embedding    (1, dim) float32                         if new wordings are taken
        noise        (1, *noise_shape) float32
        known        (1, horizon, channels) float32           zeros if there is no prefix
        weights      (1, horizon) float32                     zeros likewise

    Args:
        config: of the policy.
    """

    def __init__(self, config: PolicyConfig):
        self._images = [IMAGE + name for name in config.cameras]
        rows = config.action.horizon
        # What goes in where nothing is given.
        self._free = (np.zeros((1, rows, len(config.action.channels)), np.float32),
                      np.zeros((1, rows), np.float32))
        self._by_embedding = np.array([-1], np.int64)
        self._no_words = (np.zeros((1, config.language.dim), np.float32)
                          if config.takes_new_wordings else None)

    def __call__(self, inputs: NetworkInputs) -> dict[str, np.ndarray]:
        """Return arrays by name."""
        known, weights = self._free
        if inputs.known is not None:
            known, weights = (np.ascontiguousarray(array, np.float32)[None]
                              for array in (inputs.known, inputs.weights))
        feed = {**dict(zip(self._images, inputs.images, strict=True)), STATE: inputs.state,
                NOISE: inputs.noise, KNOWN: known, WEIGHTS: weights}
        if self._no_words is None:
            feed[INSTRUCTION] = inputs.words
        elif inputs.words.ndim == 1:
            feed |= {INSTRUCTION: inputs.words, EMBEDDING: self._no_words}
        else:
            feed |= {INSTRUCTION: self._by_embedding, EMBEDDING: inputs.words}
        return feed

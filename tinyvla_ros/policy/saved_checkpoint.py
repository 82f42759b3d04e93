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

"""A checkpoint directory as it can be read without torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors

from tinyvla_ros.core.errors import CheckpointError
from tinyvla_ros.core.files import CONFIG, NORMALIZER, WEIGHTS, checkpoint_digest
from tinyvla_ros.policy.config import PolicyConfig

# Of the embeddings of the known wordings, for languages that take new ones.
EMBEDDINGS = "encoder.instruction.weight"


@dataclass(frozen=True)
class SavedCheckpoint:
    """What identifies a checkpoint and describes its policy.

    Attributes:
        config: the content of ``config.json``.
        digest: see ``checkpoint_digest``.
        path: the directory.
    """

    config: PolicyConfig
    digest: str
    path: Path

    @classmethod
    def read(cls, path: str | Path) -> SavedCheckpoint:
        """Read a checkpoint directory, but not its weights.

        Raises:
            CheckpointError: a file is missing, or the configuration does not fit this version.
        """
        path = Path(path)
        if not path.is_dir():
            raise CheckpointError(f"Checkpoint {path} is not a directory; give a directory that "
                                  f"holds {CONFIG}, {WEIGHTS} and {NORMALIZER}.")
        for name in (CONFIG, WEIGHTS, NORMALIZER):
            if not (path / name).is_file():
                raise CheckpointError(f"Checkpoint {path} has no {name}; it is incomplete, copy "
                                      "or train it again.")
        return SavedCheckpoint(PolicyConfig.load(path), checkpoint_digest(path), path)

    def known_embeddings(self) -> np.ndarray:
        """Return the (wordings, dim) float32 embeddings of the known wordings.

        Raises:
            CheckpointError: the weights are damaged, or hold none.
        """
        file = self.path / WEIGHTS
        try:
            with safetensors.safe_open(file, "numpy") as tensors:
                return tensors.get_tensor(EMBEDDINGS)
        except (safetensors.SafetensorError, OSError, ValueError) as err:
            raise CheckpointError(f"{file} is damaged or has no {EMBEDDINGS} ({err}); copy or "
                                  "train the checkpoint again.") from None

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

"""Which trials there are, and in which order."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated

from pydantic import Field

from tinyvla_ros.core.configuration import Config, parse, read_yaml

Words = Annotated[str, Field(min_length=1, max_length=500)]


class TrialProtocol(Config):
    """What is tried, a YAML file.

    Attributes:
        instructions: what the policies are told.
        cards: what the operator arranges before a trial, in words.
        repeats: how often every instruction is tried with every card, by every checkpoint.
        limit: longest trial, s; then the arm holds, and the operator judges what there is.
    """

    instructions: tuple[Words, ...] = Field(min_length=1)
    cards: tuple[Words, ...] = ()
    repeats: int = Field(1, ge=1, le=10000)
    limit: float = Field(60.0, gt=0.0, le=3600.0)

    @classmethod
    def load(cls, path: Path) -> TrialProtocol:
        """Read a file.

        Raises:
            InputError: it cannot be read, or a value is not valid.
        """
        return parse(cls, read_yaml(path), str(path))


@dataclass(frozen=True)
class Trial:
    """One attempt.

    Attributes:
        number: from 1 on, in the order of the trials.
        scene: trials of one scene have the same instruction and card, a checkpoint each.
        instruction: what the policy is told.
        card: what is arranged before; empty for nothing.
        checkpoint: index of the checkpoint.
    """

    number: int
    scene: int
    instruction: str
    card: str
    checkpoint: int


def plan_trials(protocol: TrialProtocol, checkpoints: int, seed: int) -> list[Trial]:
    """Return all trials: scenes in random order, and in each the checkpoints in random order."""
    rng = random.Random(seed)
    scenes = list(product(protocol.instructions, protocol.cards or ("",),
                          range(protocol.repeats)))
    rng.shuffle(scenes)
    trials: list[Trial] = []
    for scene, (instruction, card, _) in enumerate(scenes, 1):
        for checkpoint in rng.sample(range(checkpoints), checkpoints):
            trials.append(Trial(len(trials) + 1, scene, instruction, card, checkpoint))
    return trials

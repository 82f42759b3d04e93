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

"""What is learned of recorded episodes: parts of them, each with its share.

``human`` is HG-DAgger (Kelly et al., arXiv:1810.02890): a person's commands alone. ``mixed`` has
the weights of Sirius (Liu et al., arXiv:2211.08416): half of what is new are a person's, and what
the policy did just before a takeover counts nothing. ``success`` is filtered imitation of whole
episodes; it needs nobody.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

RuleName = Literal["human", "mixed", "success"]


@dataclass(frozen=True)
class Part:
    """A part of the episodes, which becomes a dataset.

    Attributes:
        name: of the dataset.
        commander: see ``ExportOptions``.
        share: of what is new.
        skips_lead_up: whether what the policy did just before a takeover is left out.
        required: whether the rule means nothing without it.
    """

    name: str
    commander: Literal["human", "policy", "all"]
    share: float = 1.0
    skips_lead_up: bool = False
    required: bool = True


HUMAN = Part("human", "human")
RULES: dict[RuleName, tuple[Part, ...]] = {
    "human": (HUMAN,),
    "mixed": (Part("human", "human", 0.5),
              Part("policy", "policy", 0.5, skips_lead_up=True, required=False)),
    "success": (Part("episodes", "all"),),
}


def shares(parts: tuple[Part, ...], share: float) -> dict[str, float]:
    """Return the share of a batch of every part that is there, together ``share``."""
    total = sum(part.share for part in parts)
    return {part.name: share * part.share / total for part in parts}

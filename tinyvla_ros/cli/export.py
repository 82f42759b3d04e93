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

"""``tinyvla export``: compile a checkpoint's policy."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from tinyvla_ros.core.configuration import Config
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.options import Flag

if TYPE_CHECKING:
    from tinyvla_ros.policy.export.comparison import Case

OBSERVATIONS = 50  # of a bag, at most


class CompileOptions(Config):
    """Options of ``tinyvla export``."""

    checkpoint: Annotated[Path, Flag(metavar="CHECKPOINT", positional=True)] = Field(
        description="checkpoint directory")
    sample_steps: int | None = Field(
        None, ge=1, le=1000, description="steps of the sampler, fixed in the file; default: the "
        "checkpoint's own")
    observations: Annotated[Path | None, Flag(metavar="BAG")] = Field(
        None, description="recorded episode whose observations the result is compared with torch "
        "on; default: made-up observations")
    out: Path | None = Field(None, description="file to write; default: policy.onnx in the "
                                               "checkpoint, where it is used")


def export(options: CompileOptions) -> int:
    """Export a checkpoint and print how far the result is from torch."""
    from tinyvla_ros.policy.export.exporter import export_checkpoint

    cases = _recorded(options) if options.observations else ()
    exported = export_checkpoint(options.checkpoint, options.sample_steps, options.out, cases)
    comparison = exported.comparison
    print(f"{exported.path}: {exported.sample_steps} sampling steps, "
          f"{exported.path.stat().st_size / 1e6:.1f} MB, largest difference from torch "
          f"{comparison.difference:.1e} of the range in {comparison.chunks} chunks")
    return 0


def _recorded(options: CompileOptions) -> list[Case]:
    """Return observations of a bag.

    Raises:
        InputError: it has none, or they are not of the checkpoint's robot.
    """
    from tinyvla_ros.bags.reader import Bag
    from tinyvla_ros.bags.replay import recorded_chunks
    from tinyvla_ros.bags.topics import contract_of
    from tinyvla_ros.policy.config import PolicyConfig
    from tinyvla_ros.policy.export.comparison import Case

    with Bag(options.observations) as bag:
        chunks = recorded_chunks(bag, PolicyConfig.load(options.checkpoint),
                                 contract_of(bag, None))
        cases = list(islice((Case(seen, past) for _, seen, past in chunks if seen is not None),
                            OBSERVATIONS))
    if not cases:
        raise InputError(f"{options.observations} has no observation that a chunk was computed "
                         "from; give another bag, or leave --observations out.")
    return cases

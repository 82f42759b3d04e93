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

"""From recorded episodes of a policy to ``monitor.onnx`` in its checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.files import MONITOR
from tinyvla_ros.monitor.monitor_file import ABOUT, DONE, NOVELTY, PROGRESS, Calibration
from tinyvla_ros.policy.backends.compiled_inputs import observation_inputs
from tinyvla_ros.policy.checkpoint import Checkpoint, load_checkpoint
from tinyvla_ros.policy.export.raw_network import RawEncoder
from tinyvla_ros.policy.export.tracing import check_exportable, part_of, write_onnx
from tinyvla_ros.policy.model.condition import vector_of
from training.monitor.heads import Heads, check_heads, train_heads
from training.monitor.novelty import (
    NeighborDistance,
    calibrate_novelty,
    check_count,
    highest_score,
)
from training.monitor.options import CalibrateOptions
from training.monitor.watched_episodes import WatchedEpisode, Watcher, shuffled


@dataclass(frozen=True)
class WrittenMonitor:
    """A monitor that was written.

    Attributes:
        path: the file.
        calibration: what it says about itself.
        found: of the failures among the episodes, the share that it finds; None if there are none.
        left_out: why episodes were not taken -> how many.
    """

    path: Path
    calibration: Calibration
    found: float | None
    left_out: Mapping[str, int] = field(default_factory=dict)


class MonitorNetwork(nn.Module):
    """The encoder of a policy with heads and distance, from raw inputs.

    Args:
        checkpoint: of the policy.
        heads: trained.
        distance: to successes.
    """

    def __init__(self, checkpoint: Checkpoint, heads: Heads, distance: NeighborDistance):
        super().__init__()
        self.encoder, self._heads, self._distance = RawEncoder(checkpoint), heads, distance

    def forward(self, images: list[torch.Tensor], state: torch.Tensor,
                words: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return (1,) progress, done and novelty; inputs as those of ``RawEncoder``."""
        features = vector_of(self.encoder(images, state, words))
        progress, done = self._heads(features)
        return progress, done, self._distance(features)


def calibrate(options: CalibrateOptions) -> WrittenMonitor:
    """Make the monitor of a checkpoint.

    Raises:
        CheckpointError: the checkpoint cannot be used.
        InputError: episodes do not fit it or are too few, or the file cannot be written.
    """
    checkpoint = load_checkpoint(options.checkpoint)
    check_exportable(checkpoint)
    if options.out is not None and options.out.is_dir():
        raise InputError(f"--out {options.out} is a directory; give a file, for example "
                         f"{options.out / MONITOR}.")
    watcher = Watcher(checkpoint)
    episodes = list(watcher.recorded(options.bags, options.robot))
    check_count(sum(e.success for e in episodes), options.false_alarms, ", ".join(
        f"{count} {why}" for why, count in watcher.left_out.items()))
    for dataset in options.data:
        episodes += watcher.demonstrated(dataset)
    made = write_monitor(checkpoint, episodes, options.false_alarms,
                         options.out or checkpoint.path / MONITOR)
    return replace(made, left_out=watcher.left_out)


def write_monitor(checkpoint: Checkpoint, episodes: Sequence[WatchedEpisode],
                  false_alarms: float, out: Path) -> WrittenMonitor:
    """Make a monitor of episodes that were watched; arguments and errors as ``calibrate``."""
    own = [e for e in episodes if not e.is_demonstration]
    successes, failures = ([e for e in own if e.success is s] for s in (True, False))
    distance, calibration = calibrate_novelty(successes, false_alarms, checkpoint.digest)
    demonstrations = [e for e in episodes if e.is_demonstration]
    # Judged by heads that learned from one half; those that are kept learn from all.
    drawn = [*shuffled(successes), *shuffled(failures)]
    checks = check_heads(train_heads([*drawn[::2], *demonstrations]), drawn[1::2])
    heads = train_heads([*drawn, *demonstrations])
    calibration = calibration.model_copy(update={
        "checks": {k: round(v, 4) for k, v in checks.items()}})
    network = MonitorNetwork(checkpoint, heads, distance)
    with part_of(out) as part:
        write_onnx(network, network.encoder.example(), observation_inputs(checkpoint.config),
                   [PROGRESS, DONE, NOVELTY], {ABOUT: calibration.model_dump_json()}, checkpoint,
                   part)
    scores = np.array([highest_score(distance, calibration, e) for e in failures])
    return WrittenMonitor(out, calibration, float((scores >= calibration.threshold).mean())
                          if len(scores) else None)

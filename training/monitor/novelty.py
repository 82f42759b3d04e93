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

"""How far features are from those of successes, and how far is too far."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from tinyvla_ros.core.errors import InputError
from tinyvla_ros.monitor.monitor_file import FORMAT, Calibration
from tinyvla_ros.monitor.score import NoveltyLevel, NoveltyTrace, novelty_ratios
from training.monitor.watched_episodes import WatchedEpisode, shuffled

# Mean distance to so many nearest neighbors (Sun et al. 2022, arXiv 2204.06507).
NEIGHBORS = 5
# Rows that are kept to compare with, at most.
MOST_ROWS = 2000
# The novelty is averaged over so long, s.
WINDOW_S = 0.8
# Times at which the sum has a limit of its own, s.
STEP_S = 0.05
# Each success is compared with those of the others of so many parts.
FOLDS = 10
# A pause is so many usual periods, and no less than this, s.
PERIODS, SHORTEST_PAUSE_S = 5, 1.0
# Of the last limit, what any limit is more than the sums.
FIRST_SHARE = 0.1


class NeighborDistance(nn.Module):
    """(B, condition_dim) features to the (B,) mean distance of their nearest neighbors.

    Args:
        features: (N, condition_dim) float32 of successes.
    """

    def __init__(self, features: np.ndarray):
        super().__init__()
        spread = features.std(0)
        self.register_buffer("mean", torch.from_numpy(features.mean(0)))
        self.register_buffer("spread", torch.from_numpy(spread + 1e-3 * spread.max()))
        if len(features) > MOST_ROWS:
            rows = np.random.default_rng(0).choice(len(features), MOST_ROWS, replace=False)
            features = features[np.sort(rows)]
        self._neighbors = min(NEIGHBORS, len(features))
        self.register_buffer("rows", (torch.from_numpy(features) - self.mean) / self.spread)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return distances, in units of the spread."""
        z = (features - self.mean) / self.spread
        squared = z.square().sum(1, keepdim=True) - 2.0 * z @ self.rows.T \
            + self.rows.square().sum(1)[None]
        near = torch.topk(squared, self._neighbors, dim=1, largest=False).values
        return near.clamp(min=0.0).sqrt().mean(1)


@torch.inference_mode()
def novelty_of(distance: NeighborDistance, episode: WatchedEpisode) -> np.ndarray:
    """Return the (observations,) novelty of an episode."""
    return distance(torch.from_numpy(episode.features)).numpy()


def fewest_successes(false_alarms: float) -> int:
    """Return how many successes a threshold for this share needs."""
    return max(2, math.ceil(1.0 / false_alarms - 1.0))


def check_count(successes: int, false_alarms: float, left_out: str = "") -> None:
    """Raise ``InputError`` if there are too few successes for a share of false alarms.

    Args:
        successes: how many there are.
        false_alarms: the share.
        left_out: what was left out, for the message.
    """
    if successes < fewest_successes(false_alarms):
        raise InputError(
            f"There are {successes} successful episodes of this policy"
            f"{left_out and f' (left out: {left_out})'}; a share of false alarms of "
            f"{false_alarms:g} needs {fewest_successes(false_alarms)}: record more, or give a "
            "larger --false-alarms.")


def calibrate_novelty(successes: Sequence[WatchedEpisode], false_alarms: float, digest: str
                      ) -> tuple[NeighborDistance, Calibration]:
    """Return what novelty is, and the score that successes seldom reach.

    Each success is compared with those of the other folds. How their novelty grows over time gives
    the limits, and the scores that they reach the threshold (cross-conformal prediction, Vovk
    2015). Later ones are compared with all of them.

    Raises:
        InputError: there are too few for that share.
    """
    check_count(len(successes), false_alarms)
    drawn = shuffled(successes)
    pause = pause_of(drawn)
    traces: list[list[NoveltyLevel]] = []
    for fold in range(min(FOLDS, len(drawn))):
        distance = NeighborDistance(np.concatenate(
            [e.features for number, e in enumerate(drawn) if number % FOLDS != fold]))
        traces += [novelty_levels(novelty_of(distance, own), own.stamps_ns, pause)
                   for own in drawn[fold::FOLDS]]
    scale = float(np.quantile([max(level.mean for level in trace) for trace in traces], 0.9))
    # An episode with a pause in it is several.
    parts = [part for trace in traces for part in _without_pauses(trace)]
    times = np.arange(0.0, max(part[-1].seconds for part in parts) + STEP_S, STEP_S)
    # What succeeded goes on as it ended.
    sums = np.array([np.interp(times, [level.seconds for level in part],
                               [level.total for level in part]) for part in parts])
    limit = np.maximum.accumulate(sums.mean(0) + 2.0 * sums.std(0))
    # In the first moments all sums are small, and one is easily twice another.
    limit += FIRST_SHARE * limit[-1] + 1e-6
    calibration = Calibration(
        format=FORMAT, digest=digest, window=WINDOW_S, pause=pause, scale=max(scale, 1e-6),
        times=tuple(times.round(3).tolist()), sums=tuple(limit.tolist()), threshold=1.0,
        false_alarms=false_alarms, successes=len(drawn))
    scores = sorted(max(max(novelty_ratios(level, calibration)) for level in trace)
                    for trace in traces)
    rank = math.ceil((len(scores) + 1) * (1.0 - false_alarms))
    return NeighborDistance(np.concatenate([e.features for e in drawn])), \
        calibration.model_copy(update={"threshold": max(scores[rank - 1], 1e-6)})


def highest_score(distance: NeighborDistance, calibration: Calibration,
                  episode: WatchedEpisode) -> float:
    """Return the largest score of an episode, before the threshold is taken into account."""
    return max(max(novelty_ratios(level, calibration)) for level in
               novelty_levels(novelty_of(distance, episode), episode.stamps_ns,
                              calibration.pause))


def pause_of(episodes: Sequence[WatchedEpisode]) -> float:
    """Return after how long without an observation an episode is another one, s."""
    steps = np.concatenate([np.diff(e.stamps_ns) for e in episodes]) / 1e9
    return max(SHORTEST_PAUSE_S, PERIODS * float(np.median(steps))) if len(steps) \
        else SHORTEST_PAUSE_S


def novelty_levels(novelty: np.ndarray, stamps_ns: np.ndarray, pause: float
                   ) -> list[NoveltyLevel]:
    """Return how novelty stood after each observation; after a pause it begins anew, as online."""
    trace, levels = NoveltyTrace(WINDOW_S, pause), []
    for stamp_ns, value in zip(stamps_ns.tolist(), novelty.tolist(), strict=True):
        if not trace.continues(stamp_ns):
            trace = NoveltyTrace(WINDOW_S, pause)
        levels.append(trace.add(stamp_ns, value))
    return levels


def _without_pauses(levels: list[NoveltyLevel]) -> list[list[NoveltyLevel]]:
    begins = [i for i, level in enumerate(levels) if level.seconds == 0.0]
    return [levels[a:b] for a, b in zip(begins, [*begins[1:], len(levels)], strict=True)]

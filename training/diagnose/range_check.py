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

"""States, actions and images against the normalizer and the action limits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from tinyvla_ros.core.angles import wrapped
from tinyvla_ros.policy.config import ActionSpec
from tinyvla_ros.policy.normalizer import MIN_STD, Normalizer
from training.data.checks.images import BLANK, DARK
from training.data.checks.values import DISCRETE_VALUES, LIMIT_MARGIN, SATURATED_SHARE
from training.data.consistency import Finding
from training.data.dataset import Demonstrations

# Smooth motion stays within 4 or 5 standard deviations; what lies beyond 8 is a glitch.
OUTLIER = 8.0
# A checkpoint meets other data: so many values beyond so many deviations are not chance.
FOREIGN_DEVIATIONS, FOREIGN_SHARE = 4.0, 0.01
IMAGES = 256


@dataclass(frozen=True)
class ChannelStatistics:
    """One state or action channel over all frames.

    Attributes:
        name: ``state x`` or ``action dx``.
        low: smallest value; mean, std and high likewise.
        deviation: largest distance from the normalizer's mean, in its standard deviations;
            for an action from the data's own.
        at_limits: share of actions at the recipe's low or high; 0 for a state.
        outside: share of actions outside of them.
    """

    name: str
    low: float
    mean: float
    std: float
    high: float
    deviation: float
    at_limits: float = 0.0
    outside: float = 0.0


@dataclass(frozen=True)
class CameraStatistics:
    """What one camera shows in up to ``IMAGES`` frames spread over the data.

    Attributes:
        name: camera name.
        brightness: mean, of 255.
        blank: share of images of one single color.
        dark: share of images darker than an 8-bit camera's noise.
    """

    name: str
    brightness: float
    blank: float
    dark: float


class Places:
    """Names frames of concatenated datasets.

    Args:
        data: the concatenated demonstrations.
        sources: names of the datasets and their numbers of episodes, in order.
    """

    def __init__(self, data: Demonstrations, sources: Sequence[tuple[str, int]]):
        self._starts = data.starts
        self._sources = sources

    def name(self, frame: int) -> str:
        """Return e.g. ``episode 3, frame 17 of pick-place``."""
        episode = int(np.searchsorted(self._starts, frame, "right")) - 1
        offset = frame - int(self._starts[episode])
        for source, episodes in self._sources:
            if episode < episodes:
                return f"episode {episode}, frame {offset} of {source}"
            episode -= episodes
        raise ValueError(f"frame {frame} belongs to no dataset")


def states(data: Demonstrations, names: Sequence[str], normalizer: Normalizer, places: Places,
           stored: Path | None) -> tuple[list[ChannelStatistics], list[Finding]]:
    """Compare states with the normalizer.

    Args:
        data: the demonstrations.
        names: state names.
        normalizer: on the CPU.
        places: names frames.
        stored: the checkpoint the normalizer comes from; None if it was fitted to ``data``.
    """
    channels, findings = [], []
    normal = normalizer.state(torch.from_numpy(data.states)).numpy()
    for i, name in enumerate(names):
        values, z = data.states[:, i], normal[:, i]
        frame = int(np.abs(z).argmax())
        channels.append(_channel(f"state {name}", values, abs(float(z[frame]))))
        far = float((np.abs(z) > FOREIGN_DEVIATIONS).mean())
        if np.ptp(values) == 0.0 or (stored is None and
                                     float(normalizer.state_std[i]) <= MIN_STD * (1 + 1e-6)):
            findings.append(Finding(
                "constant channel", f"State {name!r} has a standard deviation of "
                f"{channels[-1].std:.2g} in all {len(values)} frames, and more than {MIN_STD:g} "
                "is normal; leave it out of 'state', or find out why it does not move.",
                error=False))
        if stored is not None and far > FOREIGN_SHARE:
            findings.append(Finding(
                "range", f"State {name!r} runs from {values.min():.4g} to {values.max():.4g}, and "
                f"{100 * far:.0f} % of it lies beyond {FOREIGN_DEVIATIONS:g} standard deviations "
                f"of what {stored} was trained on ({float(normalizer.state_mean[i]):.4g} +- "
                f"{float(normalizer.state_std[i]):.2g}), below 1 % is normal; check units and "
                "zero, or train on this data."))
        elif abs(z[frame]) > OUTLIER:
            findings.append(_outlier(f"State {name!r}", values, z, frame, places))
    return channels, findings


def actions(data: Demonstrations, action: ActionSpec, normalizer: Normalizer, places: Places,
            stored: Path | None) -> tuple[list[ChannelStatistics], list[Finding]]:
    """Compare actions with their limits and, for a checkpoint, with its stored range.

    See ``states`` for the arguments.
    """
    channels, findings = [], []
    steps = data.actions.shape[1]
    flat = data.actions.reshape(-1, data.actions.shape[2])
    if data.turning.columns:  # one turn of it
        flat = flat.copy()
        for column, _, turn in data.turning.columns:
            flat[:, column] = wrapped(flat[:, column], turn)
    for i, (name, low, high) in enumerate(zip(action.channels, action.low, action.high,
                                              strict=True)):
        values, unit = flat[:, i], action.units[i] or "no unit"
        z = (values - values.mean(dtype=np.float64)) / max(float(values.std()), MIN_STD)
        worst = int(np.abs(z).argmax())
        margin = LIMIT_MARGIN * (high - low)
        outside = (values < low - margin) | (values > high + margin)
        at_limits = ((values <= low + margin) | (values >= high - margin)) & ~outside
        channels.append(_channel(f"action {name}", values, abs(float(z[worst])),
                                 float(at_limits.mean()), float(outside.mean())))
        if np.ptp(values) == 0.0:
            findings.append(Finding(
                "constant channel", f"Action {name!r} is {values[0] + 0.0:.4g} in all "
                f"{len(values)} control steps, and a channel that moves is normal; leave it out "
                "of 'action.channels', or record it.", error=False))
            continue
        if outside.any():
            first = int(np.argmax(outside))
            findings.append(Finding(
                "action limits", f"{100 * outside.mean():.2g} % of action {name!r} lie outside of "
                f"its limits {low:g} to {high:g} ({unit}), first {values[first]:.4g} in "
                f"{places.name(first // steps)}, and none is normal, since the policy never goes "
                "beyond them; correct 'action.low' and 'action.high', or the units."))
        elif at_limits.mean() > SATURATED_SHARE and \
                len(np.unique(values)) > DISCRETE_VALUES:  # a gripper opens and closes fully
            findings.append(Finding(
                "saturation", f"{100 * at_limits.mean():.0f} % of action {name!r} sit at its "
                f"limits {low:g} and {high:g}, and below {100 * SATURATED_SHARE:.0f} % is normal; "
                "the limits clip what the demonstrator wanted, widen them or drive more slowly.",
                error=False))
        if abs(z[worst]) > OUTLIER:
            findings.append(_outlier(f"Action {name!r}", values, z, worst, places, steps))
    if stored is not None:
        findings += _beyond_checkpoint(data, action.channels, normalizer, stored)
    return channels, findings


def _beyond_checkpoint(data: Demonstrations, names: Sequence[str], normalizer: Normalizer,
                       stored: Path) -> Iterator[Finding]:
    beyond, total = np.zeros(len(names), int), 0
    low, high = np.full(len(names), np.inf), np.full(len(names), -np.inf)
    for first, rows in data.chunk_rows():  # relative to a state where the policy's are
        ranges = normalizer.of_rows(first, rows.shape[1])
        normal = ranges.action(torch.from_numpy(rows)).numpy()
        beyond += (np.abs(normal) > 1.0 + 2 * LIMIT_MARGIN).sum((0, 1))
        total += rows.shape[0] * rows.shape[1]
        low, high = np.minimum(low, rows.min((0, 1))), np.maximum(high, rows.max((0, 1)))
    for i, name in enumerate(names):
        share = beyond[i] / total
        if share > 0.0 and low[i] < high[i]:
            yield Finding(
                "range", f"{100 * share:.2g} % of action {name!r} ({low[i]:.4g} to {high[i]:.4g}) "
                f"lie outside of the range stored in {stored}, and below 1 % is normal, since the "
                "policy never goes beyond it; train a new checkpoint on this data, or check the "
                "units.", error=bool(share > FOREIGN_SHARE))


def cameras(data: Demonstrations, names: Sequence[str]
            ) -> tuple[list[CameraStatistics], list[Finding]]:
    """Check frames spread over the data."""
    frames = np.unique(np.linspace(0, len(data.states) - 1, IMAGES).astype(np.int64))
    images = data.images[frames]
    result, findings = [], []
    for i, name in enumerate(names):
        pixels = images[:, i].reshape(len(frames), -1)
        bright = pixels.mean(1)
        blank = np.ptp(pixels, axis=1) <= BLANK
        dark = (bright < DARK) & ~blank
        result.append(CameraStatistics(name, float(bright.mean()), float(blank.mean()),
                                       float(dark.mean())))
        if blank.any():
            findings.append(Finding(
                "blank images", f"Camera {name!r} shows one single color in {blank.sum()} of "
                f"{len(frames)} images, and none is normal; find them with 'tinyvla data check' "
                "and look at the camera.", error=bool(blank.all())))
        if dark.any():
            findings.append(Finding(
                "dark images", f"Camera {name!r} is darker than {DARK:g} of 255 in {dark.sum()} "
                f"of {len(frames)} images (mean {bright.mean():.0f}), and 40 to 200 is normal; "
                "look at light and exposure.", error=False))
    return result, findings


def _channel(name: str, values: np.ndarray, deviation: float, *shares: float
             ) -> ChannelStatistics:
    return ChannelStatistics(name, float(values.min()), float(values.mean(dtype=np.float64)),
                   float(values.std(dtype=np.float64)), float(values.max()), deviation, *shares)


def _outlier(what: str, values: np.ndarray, z: np.ndarray, row: int, places: Places,
             steps: int = 1) -> Finding:
    count = int((np.abs(z) > OUTLIER).sum())
    more = f" ({count} such values in all)" if count > 1 else ""
    return Finding(
        "outlier", f"{what} is {values[row]:.6g} in {places.name(row // steps)}, "
        f"{abs(z[row]):.1f} standard deviations from the mean{more}, and up to {OUTLIER:g} is "
        "normal; look at that episode, and remove it if this is not real motion.", error=False)

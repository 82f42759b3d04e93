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

"""What is wrong with numbers: not finite, lost in float32, glitches, angles that wrap, limits."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np

from tinyvla_ros.policy.config import ActionSpec
from training.data.consistency import Finding, episode_starts
from training.data.lerobot.reader import Tables

# float32 keeps 7 digits. An error this small, absolute or of what a channel covers, is no loss.
LOSS, LOSS_SHARE = 1e-6, 1e-3
# A glitch is this many times as far from the median as everything but a few values.
GLITCH, FEW, FEW_SHARE = 20.0, 3, 1e-3
# A gripper that only opens and closes sits at its limits and is not saturated.
DISCRETE_VALUES = 8
SATURATED_SHARE = 0.5
# Of the range between the limits: what a recording in float32 or with a step may be off.
LIMIT_MARGIN = 1e-3
TURNS = {"2 pi": 2 * np.pi, "360": 360.0}


def float32_loss(values: np.ndarray) -> np.ndarray:
    """Tell which of (N,) finite numbers are not the same in float32, as training reads them."""
    if values.dtype == np.float32 or not len(values):
        return np.zeros(len(values), bool)
    with np.errstate(all="ignore"):
        read = values.astype(np.float32)
        if values.dtype.kind in "iub":
            return read.astype(values.dtype) != values
        exact, read = values.astype(np.float64), read.astype(np.float64)
        covered = np.subtract(*np.quantile(exact, (0.99, 0.01)))
        return ~(np.abs(read - exact) <= max(LOSS, LOSS_SHARE * covered))


def glitches(values: np.ndarray) -> np.ndarray:
    """Tell which few of (N,) finite numbers are far from all others."""
    found = np.zeros(len(values), bool)
    few = min(max(FEW, int(FEW_SHARE * len(values))), len(values) // 4)
    if not few:
        return found
    distance = np.abs(values - np.median(values))
    far = np.argpartition(distance, -few - 1)[-few - 1:]
    far = far[np.argsort(distance[far], kind="stable")]
    tail = distance[far]
    jumps = np.flatnonzero((tail[1:] > GLITCH * tail[:-1]) & (tail[:-1] > 0))
    if len(jumps):
        found[far[jumps[0] + 1:]] = True
    return found


def wraps(values: np.ndarray, first: np.ndarray) -> tuple[str, np.ndarray]:
    """Find where an angle jumps by a turn between two frames, or within two of them.

    Args:
        values: (N,) numbers of all episodes.
        first: (N,) bool, whether a number is the first of its episode.

    Returns:
        The name of the turn and the (M,) rows into which it jumps; no rows if it is no angle.
    """
    steps = np.abs(np.diff(values))[~first[1:]]
    none = "", np.empty(0, np.int64)
    if not len(steps) or len(np.unique(values)) <= DISCRETE_VALUES:
        return none
    for name, turn in TURNS.items():
        # What jumps a tenth of a turn all the time is no joint that moves, and the values of an
        # angle end where the turn does.
        if np.quantile(steps, 0.75) > 0.1 * turn or np.ptp(values) > 1.01 * turn:
            continue
        found = np.zeros(len(values), bool)
        for lag in (1, 2):  # resampling leaves one value halfway
            a, b = values[:-lag], values[lag:]
            inside = ~(first[1:] if lag == 1 else first[1:-1] | first[2:])
            low, high = np.minimum(a, b), np.maximum(a, b)
            near = 0.15 * turn
            ends = [(np.abs(low - start) < near) & (np.abs(high - start - turn) < near)
                    for start in (-turn / 2, 0.0)]
            found[lag:] |= (np.abs(high - low - turn) < near) & (ends[0] | ends[1]) & inside
        rows = np.flatnonzero(found)
        if len(rows):
            return name, rows[np.diff(rows, prepend=-9) > 2]
    return none


def channel_findings(tables: Tables, name: str, channel: str, values: np.ndarray, used: bool,
                     noted: object = None) -> Iterator[Finding]:
    """Check (frames,) numbers of one channel.

    Args:
        tables: the dataset.
        name: feature name.
        channel: name of the channel.
        values: as stored.
        used: whether training reads them: what it cannot read right is an error then.
        noted: one turn, where the dataset notes that the channel turns without end: training
            unwraps it then.
    """
    what = f"'{name}' ({channel})"

    def first_of(wrong: np.ndarray) -> tuple[int, str]:
        rows = np.flatnonzero(wrong)
        more = f", {len(rows)} frames in all" if len(rows) > 1 else ""
        return int(rows[0]), f"{tables.frame_name(int(rows[0]))}{more}"

    finite = np.isfinite(values)
    if not finite.all():
        row, where = first_of(~finite)
        yield Finding("non-finite", f"{what} is not finite in {where}; remove those episodes.",
                      error=used)
    good = values[finite]
    lost = np.zeros(len(values), bool)
    lost[finite] = float32_loss(good)
    if lost.any():
        row, where = first_of(lost)
        with np.errstate(over="ignore"):
            kept = np.float32(values[row])
        yield Finding("precision", f"{what} is {values[row]} in {where}, of which float32 keeps "
                      f"{kept}; subtract an offset or change the unit.",
                      error=used)
    far = np.zeros(len(values), bool)
    if values.dtype.kind == "f":
        far[finite] = glitches(good)
    if far.any():
        row, where = first_of(far)
        rest = values[finite & ~far]
        yield Finding("outlier", f"{what} is {values[row]:.6g} in {where}, and all others are "
                      f"{rest.min():.4g} to {rest.max():.4g}; look at that episode, and remove it "
                      "if this is not real motion.", error=False)
    motion = name == "observation.state" or name.split(".")[0] == "action"
    if not motion or far.any() or not finite.all() or len(values) < 3:
        return
    first = np.zeros(len(values), bool)
    first[episode_starts(tables)] = True
    turn, rows = wraps(values.astype(np.float64), first)
    if not len(rows):
        return
    row = int(rows[0])
    jump = f"{what} jumps from {values[row - 1]:.4g} to {values[row]:.4g} into " \
        f"{tables.frame_name(row)}"
    if noted is None:
        yield Finding("angle", f"{jump}, close to a whole turn ({turn}), {len(rows)} times in all:"
                      " an angle that wraps is no number to learn; note it as 'continuous' in "
                      "meta/info.json, or export bags again with 'continuous: true' in the robot "
                      "contract.", error=False)
    elif isinstance(noted, int | float) and abs(noted - TURNS[turn]) > 0.01 * noted:
        yield Finding("angle", f"{jump}, a turn of {turn}, and 'continuous' in meta/info.json "
                      f"gives one turn as {noted:.6g}; correct it to {TURNS[turn]:.6g}.",
                      error=used)


def limit_findings(tables: Tables, actions: np.ndarray, action: ActionSpec,
                   turning: Collection[str] = ()) -> Iterator[Finding]:
    """Compare (frames, steps, channels) actions with the limits of a policy.

    Channels that turn without end have none.
    """
    for i, (name, low, high) in enumerate(zip(action.channels, action.low, action.high,
                                              strict=True)):
        if name in turning:
            continue
        values = actions[:, :, i].astype(np.float64)
        beyond = np.fmax(low - values, values - high).max(1)
        outside = beyond > LIMIT_MARGIN * (high - low)
        if not outside.any():
            continue
        row = int(np.argmax(np.where(np.isfinite(beyond), beyond, -1.0)))
        worst = values[row, int(np.argmax(np.fmax(low - values[row], values[row] - high)))]
        yield Finding(
            "action limits", f"Action {name!r} is {worst:.6g} in {tables.frame_name(row)}, "
            f"outside of its limits {low:g} to {high:g} ({action.units[i] or 'no unit'}), as are "
            f"{100 * outside.mean():.2g} % of the frames, and the policy never goes beyond them; "
            "correct action.low and action.high, the units, or remove that episode.",
            error=bool(beyond[row] > high - low))

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

"""Who commanded in the frames of an episode, and the parts that one of them commanded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from tinyvla_ros.bags.commander import need_consistent, read_commanders
from tinyvla_ros.bags.reader import Bag
from tinyvla_ros.core.ros.commander import HUMAN, NOBODY, SEVERAL, Commanders
from training.bag_export.actions import Actions
from training.bag_export.sampling import LEAST_FRAMES
from training.bag_export.streams import Recording

# As lerobot's DAgger calls it: whether a person commanded in a frame.
INTERVENTION = "intervention"
FEATURE = {"dtype": "bool", "shape": [1], "names": None}
UNKNOWN = "unknown"
# Messages of a bag lie at most so far from its first and last one, s.
CLOCK_S = 10.0


def frame_commanders(bag: Bag, recording: Recording, times: np.ndarray, actions: Actions
                     ) -> tuple[np.ndarray | None, str]:
    """Return (frames,) names of who commanded, None if unknown, and a few words why.

    A frame in which both commanded is of ``several``; pauses within a frame do not count.

    Args:
        times: (frames,) int64 ns on the axis of the stamps.

    Raises:
        InputError: the bag contradicts itself.
    """
    found = read_commanders(bag)
    need_consistent(bag, found)
    commanders = found.commanders
    if not commanders.names:
        return None, found.why
    if len(set(commanders.names)) > 1:
        if len(recording.clock):
            commanders = _on_axis(commanders, recording.clock)
        elif abs(np.clip(times[0], bag.start_ns, bag.end_ns) - times[0]) > CLOCK_S * 1e9:
            return None, ("stamps and receive times are of different clocks, and no /clock was "
                          "recorded")
    k, dt_ns = actions.values.shape[1], actions.dt * 1e9
    middles = times[:, None] + np.rint((np.arange(k) + 0.5) * dt_ns).astype(np.int64)
    names = commanders.at(middles)
    return np.array([_one_of(row) for row in names]), ""


def _on_axis(commanders: Commanders, clock: np.ndarray) -> Commanders:
    """Return it on the axis of the stamps: a message counts from the clock's time before it.

    The command that follows it counts from that time or the next.
    """
    clock = clock[np.argsort(clock[:, 0], kind="stable")]
    ticks = np.searchsorted(clock[:, 0], commanders.times, "right") - 1
    return commanders.shifted(np.maximum.accumulate(clock[np.maximum(ticks, 0), 1]))


def _one_of(names: Sequence[str]) -> str:
    found = set(names) - {NOBODY}
    if not found:
        return NOBODY
    return str(next(iter(found))) if len(found) == 1 else SEVERAL


def parts_of(names: np.ndarray, wanted: str, lead_up: int = 0) -> list[tuple[int, int]]:
    """Return first and one past the last frame of every part that ``wanted`` commanded.

    Pauses in which nobody did are in it, but not at its ends. Parts of a few frames are left out.

    Args:
        names: (frames,) of who commanded.
        wanted: one of them.
        lead_up: frames to leave out before somebody else takes over.
    """
    parts, begin = [], None
    for i, name in enumerate([*names.tolist(), SEVERAL]):
        if name == wanted:
            begin, end = (i if begin is None else begin), i + 1
        elif name != NOBODY and begin is not None:
            if i < len(names):
                end -= lead_up
            if end - begin >= LEAST_FRAMES:
                parts.append((begin, end))
            begin = None
    return parts


def interventions(names: np.ndarray) -> np.ndarray:
    """Return (frames,) bool, whether a person commanded."""
    return np.isin(names, (HUMAN, SEVERAL))


def count_frames(names: np.ndarray) -> dict[str, int]:
    """Return the number of frames by who commanded."""
    return dict(sorted(Counter(names.tolist()).items()))


def mix(episodes: Sequence[Mapping[str, int] | None], lengths: Sequence[int]) -> dict[str, int]:
    """Return frames by who commanded, over episodes of which some do not say it."""
    total: Counter[str] = Counter()
    for counts, length in zip(episodes, lengths, strict=True):
        total.update(counts if counts is not None else {UNKNOWN: length})
    return dict(total.most_common())


def is_labelled(frames: Mapping[str, int]) -> bool:
    """Whether a dataset gets the feature: who commanded is known, and it was not always one."""
    names = set(frames) - {NOBODY}
    return UNKNOWN not in names and (len(names) > 1 or SEVERAL in names) and \
        bool(names & {HUMAN, SEVERAL})


def mix_text(frames: Mapping[str, int], labelled: bool) -> str:
    """Return a sentence about a dataset of several commanders, empty if it has one."""
    if len(set(frames) - {NOBODY}) < 2 and SEVERAL not in frames:
        return ""
    counts = ", ".join(f"{n} {count} frames" for n, count in frames.items())
    how = f"feature {INTERVENTION!r} is true where a person did" if labelled else \
        f"nothing in the dataset tells them apart, because {UNKNOWN} frames are among them" \
        if UNKNOWN in frames else "nothing in the dataset tells them apart"
    return f"mixed: commanded by {counts}; {how}, --commander human or policy takes one of them"

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

"""Do the tables of a LeRobotDataset fit each other? Findings of one sentence each."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from training.data.lerobot.reader import Tables


def time_tolerance(stamps: np.ndarray) -> np.ndarray:
    """Return by how many seconds time stamps may be off.

    lerobot's own ``tolerance_s`` plus what float32 loses, which exceeds it after half an hour.
    """
    return 1e-4 + np.abs(stamps) * np.finfo(np.float32).eps


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or may be.

    Attributes:
        check: what was checked, one or two words.
        text: one sentence: what, where, what to do.
        error: False for a warning, which leaves the data usable.
    """

    check: str
    text: str
    error: bool = True


def table_findings(tables: Tables) -> Iterator[Finding]:
    """Check that rows, episodes, tasks and ``info.json`` describe the same frames.

    Training refuses a dataset with any of these errors, since frames would end up in the wrong
    episode.
    """
    info, rows, n = tables.info, tables.rows, tables.frames
    if info["total_frames"] != n:
        yield Finding("frame count", f"meta/info.json has {info['total_frames']} frames, the "
                      f"data files hold {n}; " + ("copy the missing files or correct total_frames."
                      if n < info["total_frames"] else "remove files that do not belong to it "
                      "(a conversion leaves data/*/episode_*.parquet) or correct total_frames."))
    wrong = np.flatnonzero(rows["index"] != np.arange(n))
    if len(wrong):
        row = int(wrong[0])
        yield Finding("index", f"Row {row} of the sorted data files has index "
                      f"{rows['index'][row]} instead of {row}; write the dataset again with its "
                      "frames in order.")
    yield from _episode_findings(tables)
    last = len(tables.tasks) - 1
    wrong = np.flatnonzero((rows["task_index"] < 0) | (rows["task_index"] > last))
    if len(wrong):
        row = int(wrong[0])
        yield Finding("tasks", f"{tables.frame_name(row).capitalize()} has task_index "
                      f"{rows['task_index'][row]}, meta/tasks.parquet names 0 to {last}; add the "
                      "task there or correct the frames.")


def _episode_findings(tables: Tables) -> Iterator[Finding]:
    episodes, n, count = tables.episodes, tables.frames, len(tables.episodes.number)
    if tables.info.get("total_episodes") != count:
        yield Finding("episode count", "meta/info.json has "
                      f"{tables.info.get('total_episodes')} episodes, the episode table has "
                      f"{count}; copy the missing files or correct total_episodes.")
    expected = 0
    for i, (number, length, start, end) in enumerate(
            zip(episodes.number, episodes.length, episodes.start, episodes.end, strict=True)):
        where = f"Episode {number}"
        problem = None
        if number != i:
            problem = f"{where} stands where episode {i} is expected in the episode table"
        elif length <= 0 or end <= start:
            problem = f"{where} has no frames (rows {start} to {end}, length {length})"
        elif start != expected:
            kind = "overlaps the episode before it" if start < expected else "leaves a gap"
            problem = f"{where} begins at row {start} instead of {expected} and {kind}"
        elif end > n:
            problem = f"{where} ends at row {end}, beyond the {n} frames of the data"
        elif length != end - start:
            problem = f"{where} has length {length}, its rows {start} to {end} are {end - start}"
        elif (tables.rows["episode_index"][start:end] != number).any():
            row = start + int(np.argmax(tables.rows["episode_index"][start:end] != number))
            problem = (f"{where} covers row {row}, whose episode_index is "
                       f"{tables.rows['episode_index'][row]}")
        if problem:
            # Whatever follows a broken entry is shifted as well: one sentence is enough.
            yield Finding("episodes", f"{problem}; write that episode again or delete it with "
                          "lerobot's dataset tools.")
            return
        expected = end
    if expected < n:
        yield Finding("episodes", f"Rows {expected} to {n - 1} belong to no episode; copy the "
                      "missing files of meta/episodes, or write the dataset again.")


def frame_findings(tables: Tables, used: Collection[str]) -> Iterator[Finding]:
    """Check frame numbers, time stamps and video spans within each episode.

    Args:
        tables: the dataset.
        used: the features that are read; what is wrong with the videos of others is a warning.
    """
    rows, fps = tables.rows, tables.info["fps"]
    starts = episode_starts(tables)
    first = np.repeat(starts, np.diff([*starts, tables.frames]))
    wrong = np.flatnonzero(rows["frame_index"] != np.arange(tables.frames) - first)
    if len(wrong):
        row = int(wrong[0])
        yield Finding("frame_index", f"Row {row} has frame_index {rows['frame_index'][row]} where "
                      f"{row - first[row]} is expected, as have {len(wrong) - 1} others of episode"
                      f" {rows['episode_index'][row]} and later; number the frames of an episode "
                      "from 0.")
    stamps = rows["timestamp"]
    off = np.abs(stamps - rows["frame_index"] / fps)
    wrong = np.flatnonzero(~(off <= time_tolerance(stamps)))
    if len(wrong):
        row = int(wrong[0])
        yield Finding("timestamps", f"{tables.frame_name(row).capitalize()} has timestamp "
                      f"{stamps[row]:.6g} s instead of {rows['frame_index'][row] / fps:.6g} s at "
                      f"{fps} fps, {len(wrong)} frames in all; resample to a constant rate.")
    steps = np.diff(stamps)
    within = np.ones(len(steps), bool)
    within[starts[1:] - 1] = False
    wrong = np.flatnonzero(within & ~(steps > 0))
    if len(wrong):
        yield Finding("timestamps", f"Time does not advance into "
                      f"{tables.frame_name(int(wrong[0]) + 1)}, {len(wrong)} frames in all; "
                      "remove repeated frames.")
    for feature in tables.episodes.videos:
        for finding in _span_findings(tables, feature):
            yield replace(finding, error=feature in used)


def _span_findings(tables: Tables, feature: str) -> Iterator[Finding]:
    """Check that an episode's piece of a video is as long as the episode, and its own."""
    episodes, spans = tables.episodes, tables.episodes.videos[feature]
    seconds, half = episodes.length / tables.info["fps"], 0.5 / tables.info["fps"]
    for i in np.flatnonzero(~(np.abs(spans.end - spans.begin - seconds) < half)):
        yield Finding("video spans", f"Episode {episodes.number[i]} lasts {seconds[i]:.4f} s, its "
                      f"piece of '{feature}' {spans.end[i] - spans.begin[i]:.4f} s (from_timestamp"
                      " to to_timestamp); record or encode that episode again.")
    order = np.lexsort((spans.begin, spans.file, spans.chunk))
    for a, b in pairwise(order):
        same = spans.chunk[a] == spans.chunk[b] and spans.file[a] == spans.file[b]
        if same and spans.begin[b] < spans.end[a] - half:
            yield Finding("video spans", f"Episodes {episodes.number[a]} and {episodes.number[b]} "
                          f"use the same piece of '{feature}'; record or encode them again.")


def episode_starts(tables: Tables) -> np.ndarray:
    """Return (episodes,) int64 rows at which ``episode_index`` changes.

    Unlike the episode table this always fits the rows, so it names places in broken data too.
    """
    changes = np.flatnonzero(np.diff(tables.rows["episode_index"])) + 1
    return np.concatenate([[0], changes])

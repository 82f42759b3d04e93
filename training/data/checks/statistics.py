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

"""Statistics of the numbers in a dataset: channels, episode lengths, tasks, ``stats.json``."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np

from tinyvla_ros.core.configuration import read_json
from tinyvla_ros.core.errors import InputError, unknown
from tinyvla_ros.policy.language_config import check_text, fold
from training.data.checks.names import channel_of
from training.data.checks.values import (
    DISCRETE_VALUES,
    SATURATED_SHARE,
    channel_findings,
    glitches,
)
from training.data.consistency import Finding, episode_starts
from training.data.lerobot.format import (
    INDEX_COLUMNS,
    channel_names,
    feature_size,
    number_type,
)
from training.data.lerobot.reader import Tables
from training.data.turning import noted_turns

SHOWN = 5
STATISTICS = ("min", "mean", "max")
AGAIN = "compute the statistics again, lerobot normalizes with them."


@dataclass(frozen=True)
class FeatureStatistics:
    """Statistics of a numeric feature over all frames, non-finite values left out.

    Attributes:
        name: feature name.
        channels: name of every value.
        min: (size,) float64; mean, std and max likewise.
        at_min: (size,) share of frames at the channel's own minimum, glitches left out; at_max
            likewise.
    """

    name: str
    channels: list[str]
    min: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    max: np.ndarray
    at_min: np.ndarray
    at_max: np.ndarray


def numeric_features(info: dict) -> list[str]:
    """Return the features that hold numbers, index columns included."""
    return [name for name, feature in info["features"].items() if number_type(feature)]


def check_feature(tables: Tables, name: str, used: Collection[int] | None
                  ) -> tuple[FeatureStatistics, list[Finding]]:
    """Read one feature, describe it and find what a policy cannot learn from.

    Args:
        tables: the dataset.
        name: a feature that holds numbers.
        used: which of its values training reads, None for all.

    Raises:
        InputError: the column is missing or does not have the declared shape.
    """
    feature = tables.info["features"][name]
    values, floating = tables.column(name), feature["dtype"].startswith("float")
    names = channel_names(feature) or [str(i) for i in range(feature_size(feature))]
    findings, rows, constant = [], [], {}
    try:
        turns = noted_turns(tables.info["features"], name)
    except InputError as err:
        findings.append(Finding("angle", str(err)))
        turns = {}
    for noted in set(turns).difference(channel_of(n, turns) for n in names):
        findings.append(Finding("angle", f"'continuous' of '{name}' in meta/info.json: "
                                + unknown("name", noted, names)))
    for i, (column, channel) in enumerate(zip(values.T, names, strict=True)):
        findings += channel_findings(tables, name, channel, column, used is None or i in used,
                                     turns.get(channel_of(channel, turns)))
        good = column[np.isfinite(column)]
        rows.append(_describe(good))
        if floating and name not in INDEX_COLUMNS and len(values) > 1:
            findings += _saturation(name, channel, good, rows[-1])
            if rows[-1][0] == rows[-1][3]:
                constant.setdefault(rows[-1][0], []).append(channel)
    findings += [_never_moves(name, channels, value) for value, channels in constant.items()]
    return FeatureStatistics(name, names, *np.array(rows, np.float64).T), findings


def _describe(values: np.ndarray) -> tuple[float, ...]:
    if not len(values):
        return (np.nan,) * 6
    # One glitch would put all others within a margin of its width.
    usual = values[~glitches(values)]
    low, high = float(usual.min()), float(usual.max())
    margin = 1e-6 * (high - low)
    with np.errstate(over="ignore"):
        mean, std = values.mean(dtype=np.float64), values.std(dtype=np.float64)
    return (float(values.min()), mean, std,
            float(values.max()), np.mean(values <= low + margin), np.mean(values >= high - margin))


def _never_moves(name: str, channels: list[str], value: float) -> Finding:
    """Return one finding of all channels with a value: a chunk has each channel many times."""
    shown = ", ".join(channels[:3]) + (
        f" and {len(channels) - 3} more" if len(channels) > 3 else "")
    return Finding("constant", f"'{name}' ({shown}) is {value:g} in every frame; leave it out or "
                   "find out why it never moves.", error=False)


def _saturation(name, channel, values, described) -> Iterator[Finding]:
    low, _, _, high, at_min, at_max = described
    if (low < high and name.split(".")[0] == "action" and at_min + at_max > SATURATED_SHARE
          and len(np.unique(values)) > DISCRETE_VALUES):
        yield Finding("saturation", f"'{name}' ({channel}) sits at its limits {low:g} and "
                      f"{high:g} in {100 * (at_min + at_max):.0f} % of the frames; check that "
                      "it is not clipped on the way to the recorder.", error=False)


def length_findings(tables: Tables) -> Iterator[Finding]:
    """Find episodes that are far shorter or longer than others of their task."""
    starts = episode_starts(tables)
    lengths = np.diff([*starts, tables.frames])
    tasks = tables.rows["task_index"][starts]
    numbers = tables.rows["episode_index"][starts]
    for task in np.unique(tasks):
        mine = tasks == task
        low, median, high = np.quantile(lengths[mine], (0.25, 0.5, 0.75))
        reach = 3.0 * (high - low)
        for kind, found in (
                ("short", mine & (lengths < np.minimum(low - reach, median / 2))),
                ("long", mine & (lengths > np.maximum(high + reach, median * 2)))):
            which = [f"{numbers[i]} ({lengths[i]})" for i in np.flatnonzero(found)]
            if which:
                yield Finding("episode length", f"Unusually {kind}, in frames, where the median "
                              f"of task {task} is {median:g}: episode {listed(which)}; look at "
                              "them and delete what failed.", error=False)


def task_findings(tables: Tables) -> Iterator[Finding]:
    """Find tasks whose words cannot be given to a policy, are the same, or have no episode."""
    seen: dict[str, int] = {}
    used = set(np.unique(tables.rows["task_index"]).tolist())
    for index, task in enumerate(tables.tasks):
        folded = fold(task)
        try:
            check_text(task)
        except InputError as err:
            rest = str(err).removeprefix("The instruction ")
            yield Finding("tasks", f"The instruction of task {index} {rest[:-1]}, in "
                          "meta/tasks.parquet.", error=index in used)
            continue
        if folded in seen:
            yield Finding("tasks", f"Tasks {seen[folded]} and {index} are both {task!r}; they are "
                          "one to a policy, merge them.", error=False)
        seen.setdefault(folded, index)
        if index not in used:
            yield Finding("tasks", f"Task {index} ({task!r}) has no episode, and a policy would "
                          "take that instruction all the same; record some or remove it.",
                          error=False)
    yield from _episode_task_findings(tables)
    total = tables.info.get("total_tasks", len(tables.tasks))
    if total != len(tables.tasks):
        yield Finding("tasks", f"meta/info.json has {total} tasks, meta/tasks.parquet names "
                      f"{len(tables.tasks)}; copy the missing ones or correct total_tasks.",
                      error=False)


def _episode_task_findings(tables: Tables) -> Iterator[Finding]:
    """Compare the instructions that the episode table names with those of the frames."""
    starts = episode_starts(tables)
    if len(starts) != len(tables.episodes.tasks):
        return  # said already
    for i, (index, named) in enumerate(zip(tables.rows["task_index"][starts],
                                           tables.episodes.tasks, strict=True)):
        text = tables.tasks[index] if 0 <= index < len(tables.tasks) else None
        if named is not None and text is not None and text not in named:
            yield Finding("tasks", f"Episode {tables.episodes.number[i]} has the task {text!r} by "
                          f"the task_index of its frames and {', '.join(map(repr, sorted(named)))}"
                          " by the episode table; training goes by the frames, correct the other.",
                          error=False)
            return  # mostly all


def stored_statistics(tables: Tables) -> tuple[dict, list[Finding]]:
    """Return ``meta/stats.json``, empty if it cannot be used, and why not."""
    path = tables.root / "meta" / "stats.json"
    if not path.is_file():
        return {}, [Finding("stats.json", "meta/stats.json is missing; compute it with lerobot if "
                            "you want to train there.", error=False)]
    try:
        stats = read_json(path)
    except InputError as err:
        return {}, [Finding("stats.json", str(err), error=False)]
    if not isinstance(stats, dict):
        return {}, [Finding("stats.json", "meta/stats.json is not an object of features; compute "
                            "the statistics again.", error=False)]
    return stats, []


def stats_findings(stats: dict, features: list[FeatureStatistics]) -> Iterator[Finding]:
    """Compare ``meta/stats.json`` with the data; only lerobot's training reads it."""
    for feature in features if stats else []:
        if feature.name not in stats:
            yield Finding("stats.json", f"meta/stats.json lacks '{feature.name}'; {AGAIN}",
                          error=False)
            continue
        stored = stats[feature.name]
        for key in STATISTICS:
            wrong = _differing(_array(stored, key), key, feature)
            if wrong:
                yield Finding("stats.json", f"meta/stats.json has {key} {wrong} for "
                              f"'{feature.name}'; {AGAIN}", error=False)
                break  # the others differ for the same reason


def color_finding(stats: dict, name: str, color: np.ndarray) -> Iterator[Finding]:
    """Compare the (3,) mean RGB in [0, 1] of an image feature with ``meta/stats.json``."""
    stored = _array(stats.get(name), "mean")
    # lerobot uses some pixels of some frames only, before any video compression.
    if stats and (stored.shape != color.shape or not (np.abs(stored - color) < 0.05).all()):
        yield Finding("stats.json", f"meta/stats.json has mean color {_numbers(stored)} for "
                      f"'{name}', the images have {_numbers(color)}; {AGAIN}", error=False)


def _array(stored: object, key: str) -> np.ndarray:
    try:
        return np.asarray(stored[key], np.float64).reshape(-1)
    except (KeyError, TypeError, ValueError):
        return np.empty(0)


def _differing(stored: np.ndarray, key: str, feature: FeatureStatistics) -> str:
    """Return a description of what differs, or an empty text."""
    actual = getattr(feature, key)
    span = feature.max - feature.min
    size = len(stored)
    if size and size < len(actual) and len(actual) % size == 0:
        # lerobot pools all but the last dimension of matrices.
        pool = {"min": np.min, "mean": np.mean, "max": np.max}[key]
        actual, span = pool(actual.reshape(-1, size), 0), np.max(span.reshape(-1, size), 0)
    if size != len(actual):
        return f"with {size} values instead of {len(actual)}"
    allowed = 1e-3 * span + 1e-4 * np.abs(actual) + 1e-9
    wrong = np.flatnonzero(np.isfinite(actual) & ~(np.abs(stored - actual) <= allowed))
    if not len(wrong):
        return ""
    i = int(wrong[0])
    channel = feature.channels[i] if len(feature.channels) == size else i
    return f"{stored[i]:.6g} instead of {actual[i]:.6g} ({channel})"


def listed(items: list[str]) -> str:
    """Return the first few of many items, and how many more there are."""
    more = len(items) - SHOWN
    return ", ".join(items[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _numbers(values: np.ndarray) -> str:
    return " ".join(f"{v:.3f}" for v in values) or "missing"

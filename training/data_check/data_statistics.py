# SPDX-License-Identifier: Apache-2.0
"""Statistics of the numbers in a dataset: channels, episode lengths, tasks, ``stats.json``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from training.data.consistency import Finding, episode_starts
from training.data.lerobot_format import INDEX_COLUMNS, channel_names, feature_size
from training.data.lerobot_reader import Tables

SHOWN = 5
# A gripper that only opens and closes sits at its limits and is not saturated.
DISCRETE_VALUES = 8
STATISTICS = ("min", "mean", "max")


@dataclass(frozen=True)
class FeatureStatistics:
    """Statistics of a numeric feature over all frames, non-finite values left out.

    Attributes:
        name: feature name.
        channels: name of every value.
        min: (size,) float64; mean, std and max likewise.
        at_min: (size,) share of frames at the channel's own minimum; at_max likewise.
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
    return [name for name, feature in info["features"].items()
            if feature["dtype"].startswith(("float", "int", "uint", "bool"))]


def check_feature(tables: Tables, name: str) -> tuple[FeatureStatistics, list[Finding]]:
    """Read one feature, describe it and find what a policy cannot learn from.

    Raises:
        InputError: the column is missing or does not have the declared shape.
    """
    feature = tables.info["features"][name]
    values, floating = tables.column(name), feature["dtype"].startswith("float")
    names = channel_names(feature) or [str(i) for i in range(feature_size(feature))]
    findings = []
    finite = np.isfinite(values)
    wrong = np.flatnonzero(~finite.all(1))
    if len(wrong):
        channel = names[int(np.argmin(finite[wrong[0]]))]
        findings.append(Finding("non-finite", f"'{name}' ({channel}) is not finite in "
                                f"{tables.frame_name(int(wrong[0]))}, {len(wrong)} frames in all; "
                                "remove those episodes."))
    rows = []
    for column, good, channel in zip(values.T, finite.T, names, strict=True):
        rows.append(_describe(column[good]))
        if floating and name not in INDEX_COLUMNS and len(values) > 1:
            findings += _channel_findings(name, channel, column[good], rows[-1])
    return FeatureStatistics(name, names, *np.array(rows, np.float64).T), findings


def _describe(values: np.ndarray) -> tuple[float, ...]:
    if not len(values):
        return (np.nan,) * 6
    low, high = float(values.min()), float(values.max())
    margin = 1e-6 * (high - low)
    return (low, values.mean(dtype=np.float64), values.std(dtype=np.float64), high,
            np.mean(values <= low + margin), np.mean(values >= high - margin))


def _channel_findings(name, channel, values, described) -> Iterator[Finding]:
    low, _, _, high, at_min, at_max = described
    if low == high:
        yield Finding("constant", f"'{name}' ({channel}) is {low:g} in every frame; leave it out "
                      "or find out why it never moves.", error=False)
    elif (name.split(".")[0] == "action" and at_min + at_max > 0.5
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
    """Find tasks that have the same words, are empty, or have no episode."""
    seen: dict[str, int] = {}
    used = set(np.unique(tables.rows["task_index"]).tolist())
    for index, task in enumerate(tables.tasks):
        folded = " ".join(task.split()).casefold()
        if not folded:
            yield Finding("tasks", f"Task {index} has no text; describe it in words in "
                          "meta/tasks.parquet.", error=False)
        elif folded in seen:
            yield Finding("tasks", f"Tasks {seen[folded]} and {index} are both {task!r}; merge "
                          "them, a policy cannot tell them apart.", error=False)
        seen.setdefault(folded, index)
        if index not in used:
            yield Finding("tasks", f"Task {index} ({task!r}) has no episode; record some or "
                          "remove it.", error=False)


def stats_findings(stats: object, features: list[FeatureStatistics],
                   colors: dict[str, np.ndarray]) -> Iterator[Finding]:
    """Compare ``meta/stats.json`` with the data.

    Args:
        stats: content of the file.
        features: statistics of the numeric features.
        colors: image feature -> (3,) mean RGB in [0, 1].
    """
    if not isinstance(stats, dict):
        yield Finding("stats.json", "meta/stats.json is not an object of features; compute the "
                      "statistics again.")
        return
    again = "compute the statistics again, lerobot normalizes with them."
    for feature in features:
        if feature.name not in stats:
            yield Finding("stats.json", f"meta/stats.json lacks '{feature.name}'; {again}",
                          error=False)
            continue
        stored = stats[feature.name]
        for key in STATISTICS:
            wrong = _differing(_array(stored, key), key, feature)
            if wrong:
                yield Finding("stats.json", f"meta/stats.json has {key} {wrong} for "
                              f"'{feature.name}'; {again}")
                break  # the others differ for the same reason
    for name, color in colors.items():
        stored = _array(stats.get(name), "mean")
        # lerobot uses some pixels of some frames only, before any video compression.
        if stored.shape != color.shape or not (np.abs(stored - color) < 0.05).all():
            yield Finding("stats.json", f"meta/stats.json has mean color {_numbers(stored)} for "
                          f"'{name}', the images have {_numbers(color)}; {again}", error=False)


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

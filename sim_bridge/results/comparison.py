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

"""Evaluations side by side: success by task and group, and tests on the episodes they share."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from sim_bridge.results.saved import SavedResults
from sim_bridge.task_suites import MT50_GROUPS
from tinyvla_ros.core.errors import InputError, unknown
from tinyvla_ros.core.intervals import (
    interval_text,
    mcnemar,
    mean_interval,
    wilson_interval,
)
from tinyvla_ros.core.tables import markdown_table

# What must be the same for figures to rank anything, and what a result that does not say it was.
CONDITIONS = {"mode": None, "horizon": None, "success": None, "control_dt": None, "cameras": None,
              "state": None, "demonstrations": None, "scenes": "standard", "surroundings": {},
              "camera_rate": None, "extra_latency_s": 0.0}
SIMULATORS = ("metaworld", "mujoco")
# What an episode begins with, beside its seed.
BEGINNING = ("scenes", "surroundings", *SIMULATORS)
# What is compared: said of each result.
SUBJECT = ("checkpoint_digest", "backend", "sample_steps", "join", "pace")
# Of what a policy may use, what it uses.
USED = ("cameras", "state", "demonstrations")


def compare(results: Sequence[SavedResults], despite: Sequence[str] = (),
            horizon: int | None = None) -> str:
    """Return tables of results, in Markdown.

    Args:
        results: at least two.
        despite: conditions that may differ.
        horizon: control steps within which success counts; None for those of the results.

    Raises:
        InputError: too few results, conditions that differ, or other tasks.
    """
    if horizon is not None:
        results = [result.within(horizon) for result in results]
    if len(results) < 2:
        raise InputError(f"There is {len(results)} result to compare; give at least two.")
    for name in despite:
        if name not in (*CONDITIONS, *SIMULATORS):
            raise InputError(unknown("condition", name, (*CONDITIONS, *SIMULATORS)))
    labels = _labels(results)
    unlike = _check_alike(results, labels, set(despite))
    counted = f"success within {horizon} steps" if horizon else "success"
    parts = [_rates(results, labels, counted), _subjects(results, labels)]
    if unlike:
        parts.append(f"Made under unlike conditions: {', '.join(unlike)}.")
    parts += [_paired(a, b, *names) for (a, b), names in zip(
        combinations(results, 2), combinations(labels, 2), strict=True)]
    return "\n\n".join(parts)


def _labels(results: Sequence[SavedResults]) -> list[str]:
    names = [r.path.resolve().name for r in results]
    return names if len(set(names)) == len(names) else [str(r.path) for r in results]


def conditions(result: SavedResults) -> dict[str, object]:
    """Return the conditions that a result names."""
    protocol = result.protocol
    found = {name: protocol.get(name, default) for name, default in CONDITIONS.items()}
    if found["mode"] is not None:  # in process or over topics: the actions are identical
        found["mode"] = "realtime" if "real" in str(found["mode"]) else "lock-step"
    if isinstance(found["cameras"], dict):  # what a pose leaves out, others write as null
        found["cameras"] = {name: {k: v for k, v in dict(pose).items() if v not in (None, False)}
                            for name, pose in found["cameras"].items()}
    if isinstance(found["state"], list):
        found["state"] = sorted(map(str, found["state"]))
    versions = protocol.get("versions") or {}
    found |= {name: versions.get(name) for name in SIMULATORS}
    return {name: value for name, value in found.items() if value is not None}


def _check_alike(results: Sequence[SavedResults], labels: list[str],
                 despite: set[str]) -> list[str]:
    """Return the conditions that differ and may.

    Raises:
        InputError: one differs that may not, or the tasks do.
    """
    for result, label in zip(results[1:], labels[1:], strict=True):
        if other := set(result.tasks) ^ set(results[0].tasks):
            raise InputError(f"{labels[0]} and {label} have not the same tasks: only one of them "
                             f"has {', '.join(sorted(other)[:5])}; compare results of the same "
                             "tasks.")
    named = [conditions(result) for result in results]
    unlike = {}
    for name in (*CONDITIONS, *SIMULATORS):
        values = [(label, mine[name]) for label, mine in zip(labels, named, strict=True)
                  if name in mine]
        differing = next((v for v in values if v[1] != values[0][1]), None)
        if differing is not None:
            unlike[name] = values[0], differing
    for name, ((label, value), (other, differing)) in unlike.items():
        if name not in despite:
            raise InputError(
                f"{label} and {other} are not of one protocol: {name} is {_short(value)} and "
                f"{_short(differing)}; compare like with like, or give --despite "
                f"{' '.join(unlike)} to see them side by side all the same.")
    return list(unlike)


def _short(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, dict | list) else str(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _rates(results: Sequence[SavedResults], labels: list[str], counted: str) -> str:
    """Return the table of success by task, group and mean."""
    tasks = list(results[0].tasks)
    rows = [[task, *(_rate(r, [task]) for r in results)] for task in tasks]
    groups = {name: group for name, group in MT50_GROUPS.items() if set(group) <= set(tasks)}
    if len(groups) == len(MT50_GROUPS):
        rows += [[name, *(_mean(r, [group]) for r in results)] for name, group in groups.items()]
        rows.append(["mean of the groups", *(_mean(r, list(groups.values())) for r in results)])
    if len(tasks) > 1:
        rows.append(["mean of the tasks", *(_mean(r, [tasks]) for r in results)])
        rows.append(["all episodes", *(_rate(r, tasks, 1) for r in results)])
    return markdown_table([f"{counted}, 95 % interval", *labels], rows)


def _rate(result: SavedResults, tasks: Sequence[str], digits: int = 0) -> str:
    """Return the rate over all episodes of tasks."""
    successes = sum(result.tasks[task].successes for task in tasks)
    episodes = sum(result.tasks[task].episodes for task in tasks)
    return interval_text(successes / episodes, *wilson_interval(successes, episodes), digits)


def _mean(result: SavedResults, groups: Sequence[Sequence[str]]) -> str:
    """Return the mean over groups of the means over their tasks."""
    return interval_text(*mean_interval([
        (1.0 / len(groups) / len(group), result.tasks[task].successes,
         result.tasks[task].episodes) for group in groups for task in group]), digits=1)


def _subjects(results: Sequence[SavedResults], labels: list[str]) -> str:
    """Return the table of what the results are of."""
    rows = [[name, *(_plain(r.protocol.get(name)) for r in results)] for name in SUBJECT
            if any(name in r.protocol for r in results)]
    names = [r.protocol.get("protocol") for r in results]
    if any(names):
        parts = ["" if r.protocol.get("whole_protocol", True) else ", a part" for r in results]
        rows.insert(0, ["protocol", *(f"{name}{part}" if name else "-" for name, part
                                      in zip(names, parts, strict=True))])
    policies = [p if isinstance(p := r.protocol.get("policy"), dict) else {} for r in results]
    rows += [[f"{name} used", *(_plain(policy.get(name)) for policy in policies)]
             for name in USED if any(policies)]
    seeds = [r.protocol.get("seeds") for r in results]
    rows.append(["seeds", *(f"{s[0]}-{s[1]}" if s else "-" for s in seeds)])
    rows.append(["date", *(str(r.protocol.get("date", "-")) for r in results)])
    return markdown_table(["made with", *labels], rows)


def _plain(value: object) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    return "-" if value is None else str(value)


def _paired(first: SavedResults, second: SavedResults, name: str, other: str) -> str:
    """Return McNemar's exact test on the episodes that two results share."""
    shared = sorted(first.outcomes.keys() & second.outcomes.keys())
    if not shared:
        return (f"{name} and {other} share no episode of which both say how it ended, so no "
                "paired test is possible.")
    mine, others = conditions(first), conditions(second)
    unlike = [n for n in BEGINNING if n in mine and n in others and mine[n] != others[n]]
    if unlike:
        return (f"{name} and {other} have episodes of the same seeds, which begin differently "
                f"with other {' and '.join(unlike)}, so no paired test is possible.")
    only = [sum(a.outcomes[e] and not b.outcomes[e] for e in shared)
            for a, b in ((first, second), (second, first))]
    return (f"{name} and {other} on {len(shared)} shared episodes: only {name} succeeds in "
            f"{only[0]}, only {other} in {only[1]}; McNemar's exact test p = "
            f"{mcnemar(*only):.3g}.")

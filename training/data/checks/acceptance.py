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

"""All findings about a dataset but those about its images: the same for check and training.

An error is what training cannot read right. What it does not read, or reads right although others
would not, is a warning at most.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tinyvla_ros.core.errors import InputError
from training.data.checks.declarations import (
    Wanted,
    declaration_findings,
    used_features,
)
from training.data.checks.names import action_columns, plan_columns, state_columns
from training.data.checks.statistics import (
    FeatureStatistics,
    check_feature,
    length_findings,
    numeric_features,
    stats_findings,
    stored_statistics,
    task_findings,
)
from training.data.checks.values import limit_findings
from training.data.consistency import Finding, frame_findings, table_findings
from training.data.lerobot.format import EXECUTED_ACTION, EXPERT_PLAN, INDEX_COLUMNS
from training.data.lerobot.reader import Tables
from training.data.turning import read_turning


@dataclass(frozen=True)
class Acceptance:
    """What was found without looking at images.

    Attributes:
        findings: in the order in which they matter.
        features: statistics of the numeric features that could be read.
        videos: whether rows and episodes fit each other, so that videos can be read.
    """

    findings: list[Finding]
    features: list[FeatureStatistics]
    videos: bool


def check_tables(tables: Tables, wanted: Wanted | None = None) -> Acceptance:
    """Check everything but the images.

    Args:
        tables: the dataset.
        wanted: what a policy takes; None for everything that one could take.
    """
    used = used_features(tables, wanted)
    broken = list(table_findings(tables))
    findings = [*declaration_findings(tables, wanted), *broken, *frame_findings(tables, used)]
    features, columns = [], _used_columns(tables, wanted)
    for name in numeric_features(tables.info):
        try:
            statistics, found = check_feature(tables, name, columns.get(name, _all(name, used)))
        except InputError as err:
            findings.append(Finding("features", str(err), error=name in used))
            continue
        features.append(statistics)
        findings += found
    if wanted is not None:
        try:
            read_turning(tables.info["features"], wanted.state, wanted.action)
        except InputError as err:
            findings.append(Finding("angle", str(err)))
        findings += _limit_findings(tables, wanted)
    stats, found = stored_statistics(tables)
    findings += [*length_findings(tables), *task_findings(tables), *found,
                 *stats_findings(stats, features)]
    return Acceptance(list(dict.fromkeys(findings)), features, not broken)


def _all(name: str, used: set[str]) -> set[int] | None:
    # Index columns have checks of their own, the others are not read.
    return None if name in used - set(INDEX_COLUMNS) else set()


def _used_columns(tables: Tables, wanted: Wanted | None) -> dict[str, set[int]]:
    """Return which values of states and actions training reads, where they can be found."""
    if wanted is None:
        return {}
    features, columns = tables.info["features"], {}
    try:
        columns["observation.state"] = set(state_columns(features, wanted.state))
        for name in {"action", EXECUTED_ACTION}.intersection(features):
            columns[name] = set(
                action_columns(features, wanted.action, tables.info["fps"], name).flat)
        if EXPERT_PLAN in features:
            columns[EXPERT_PLAN] = set(plan_columns(features, wanted.action).flat)
    except InputError:
        pass  # said already
    return columns


def _limit_findings(tables: Tables, wanted: Wanted) -> Iterator[Finding]:
    features = tables.info["features"]
    try:
        columns = action_columns(features, wanted.action, tables.info["fps"])
        turning = dict(read_turning(features, wanted.state, wanted.action).channels)
        yield from limit_findings(tables, tables.column("action")[:, columns], wanted.action,
                                  turning)
    except InputError:
        return  # said already

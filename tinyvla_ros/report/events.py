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

"""Events of the policy and of the ``episode`` topic, on the report's time axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tinyvla_ros.core.ros.episode_event import BEGIN, EpisodeEvent
from tinyvla_ros.core.ros.event_counters import event_counts, new_events
from tinyvla_ros.report.time_axis import TimeAxis


@dataclass(frozen=True)
class ReportEvent:
    """An event of an episode.

    Attributes:
        t: second on the time axis.
        kind: ``intervention``, ``hold``, ``state`` or ``episode``.
        text: a few words.
        times: how often it happened since the diagnostics before.
    """

    t: float
    kind: str
    text: str
    times: int = 1


def policy_events(statuses: Sequence[tuple[int, tuple[str, Mapping[str, str]]]],
                  axis: TimeAxis) -> tuple[list[tuple[float, str, str]], list[ReportEvent]]:
    """Return the policy's states, (second, state, why), and its events.

    Args:
        statuses: (receive time, (message, values)) in order.
    """
    states: list[tuple[float, str, str]] = []
    events: list[ReportEvent] = []
    before: dict[str, int] | None = None
    for log_ns, (message, values) in statuses:
        t, state = round(axis.received(log_ns), 4), values.get("state", "")
        if state and (not states or states[-1][1] != state):
            if states:
                why = f": {message}" if message != state else ""
                events.append(ReportEvent(t, "state", f"{state}{why}"))
            states.append((t, state, message))
        counts = event_counts(values)
        for kind, what, rise in new_events(before, counts):
            times = f" ({rise} times)" if rise > 1 else ""
            events.append(ReportEvent(t, kind, what + times, rise))
        before = counts
    return states, events


def episode_events(received: Sequence[tuple[int, EpisodeEvent]],
                   axis: TimeAxis) -> tuple[list[ReportEvent], dict[str, str], int]:
    """Return begin and end, the values of the first episode, and how many were begun.

    Args:
        received: (receive time, event) in order.
    """
    values: dict[str, str] = {}
    begun = 0
    for _, event in received:
        begun += event.kind == BEGIN
        if begun <= 1:
            values |= event.values
            if event.outcome != "unknown":
                values["outcome"] = event.outcome
    return [ReportEvent(round(axis.received(log_ns), 4), "episode", event.kind)
            for log_ns, event in received], values, begun

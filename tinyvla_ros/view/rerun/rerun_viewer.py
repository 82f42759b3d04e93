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

"""What is viewed as entities of a Rerun recording."""

from __future__ import annotations

import math

import numpy as np
import rerun as rr

from tinyvla_ros.view.rerun.rerun_layout import (
    COLORS,
    EVENTS,
    PLAN_SLOTS,
    STATES,
    TIMELINE,
    camera_entity,
    entity,
    limit_entity,
    plan_entity,
    rerun_layout,
    value_entity,
)
from tinyvla_ros.view.viewer import (
    COMMAND,
    MEASURED,
    SPEED,
    Contents,
    Level,
    Limits,
    PlanAhead,
)

_LEVELS = {Level.INFO: rr.TextLogLevel.INFO, Level.WARN: rr.TextLogLevel.WARN,
           Level.ERROR: rr.TextLogLevel.ERROR}


class RerunViewer:
    """Logs to a recording; numbers are collected until ``flush``, one call each is slow.

    Args:
        recording: has its sink already.
        limits: of channels, where they are known.
    """

    def __init__(self, recording: rr.RecordingStream, limits: dict[str, Limits]):
        self._recording = recording
        self._ends = {limit_entity(name, end): value for name, of in limits.items()
                      for end, value in (("low", of.low), ("high", of.high)) if value is not None}
        if any(of.velocity for of in limits.values()):
            self._ends[entity(SPEED, "limit")] = 1.0
        self._collected: dict[str, tuple[list[int], list[float]]] = {}
        self._styled: set[str] = set()
        self._span: tuple[int, int] | None = None  # of what is collected, ns
        # Channel -> when the plan that an entity shows is over.
        self._plans: dict[str, list[float]] = {}
        self._states: dict[str, str] = {}

    def wants_image(self, camera: str) -> bool:
        """See ``Viewer``; the server keeps images for those who connect later."""
        return True

    def image(self, at_ns: int, camera: str, data: bytes, kind: str) -> None:
        """See ``Viewer``."""
        self._at(at_ns)
        self._recording.log(camera_entity(camera),
                            rr.EncodedImage(contents=data, media_type=f"image/{kind}"))

    def values(self, at_ns: int, group: str, values: dict[str, float]) -> None:
        """See ``Viewer``."""
        for name, value in values.items():
            path = value_entity(group, name)
            self._style(path, name, group)
            self._collect(path, at_ns, value)
        self._widen(at_ns)

    def plan(self, plan: PlanAhead) -> None:
        """See ``Viewer``.

        Plans overlap, and two on one entity would be drawn as one line through both. So a plan
        takes an entity whose last one is over; without one it is not drawn, as some others of so
        many that follow each other quickly are enough.
        """
        times = plan.begin_ns + np.arange(len(plan.rows)) * plan.dt_ns
        for name, column in zip(plan.channels, plan.rows.T.tolist(), strict=True):
            over = self._plans.setdefault(name, [-math.inf] * PLAN_SLOTS)
            free = [slot for slot in range(PLAN_SLOTS) if over[slot] < plan.begin_ns]
            if not free:
                continue
            path = plan_entity(name, free[0])
            self._style(path, "plan", "plan")
            over[free[0]] = float(times[-1])
            self._widen(plan.begin_ns)
            self._widen(int(times[-1]))
            for at_ns, value in zip(times.tolist(), column, strict=True):
                self._collect(path, at_ns, value)
            # No line to the next plan on this entity.
            self._at(int(times[-1]) + 1)
            self._recording.log(path, rr.Clear(recursive=False))

    def state(self, at_ns: int, name: str, text: str) -> None:
        """See ``Viewer``."""
        self._states[name] = text
        self._at(at_ns)
        self._recording.log(STATES, rr.TextDocument(
            "\n\n".join(f"**{name}:** {text}" for name, text in sorted(self._states.items())),
            media_type="text/markdown"))

    def event(self, at_ns: int, level: Level, source: str, text: str) -> None:
        """See ``Viewer``."""
        self._at(at_ns)
        self._recording.log(entity(EVENTS, source), rr.TextLog(text, level=_LEVELS[level]))

    def arrange(self, contents: Contents) -> None:
        """See ``Viewer``."""
        self._recording.send_blueprint(rerun_layout(contents))

    def flush(self) -> None:
        """See ``Viewer``."""
        for path, value in self._ends.items() if self._span else ():
            self._style(path, path.rpartition("/")[2], "high")
            for at_ns in self._span:
                self._collect(path, at_ns, value)
        self._span = None
        for path, (times, values) in self._collected.items():
            self._recording.send_columns(
                path, [rr.TimeColumn(TIMELINE, timestamp=np.array(times, "datetime64[ns]"))],
                rr.Scalars.columns(scalars=values))
        self._collected = {}
        self._recording.flush()

    def _collect(self, path: str, at_ns: int, value: float) -> None:
        times, values = self._collected.setdefault(path, ([], []))
        times.append(at_ns)
        values.append(value)

    def _widen(self, at_ns: int) -> None:
        first, last = self._span or (at_ns, at_ns)
        self._span = min(first, at_ns), max(last, at_ns)

    def _style(self, path: str, name: str, group: str) -> None:
        """Name the line of an entity, and color it where its color means something."""
        if path not in self._styled:
            self._styled.add(path)
            label = name if group not in COLORS or group == "high" else group
            look = {"colors": [COLORS[group]]} if group in COLORS else {}
            # What happened is to be seen in front of what was planned.
            width = 2.5 if group in (MEASURED, COMMAND) else 1.0
            self._recording.log(path, rr.SeriesLines(names=label, widths=width, **look),
                                static=True)

    def _at(self, at_ns: int) -> None:
        self._recording.set_time(TIMELINE, timestamp=np.datetime64(at_ns, "ns"))

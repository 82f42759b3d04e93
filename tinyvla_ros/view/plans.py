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

"""Commands, the plan ahead of the arm, and the seams between chunks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from tinyvla_ros.arm.blending import seam_jumps
from tinyvla_ros.core.angles import wrapped
from tinyvla_ros.core.types import ActionChunk
from tinyvla_ros.view.viewer import BEND, COMMAND, JUMP, SPEED, Limits, PlanAhead, Viewer

# Two commands further apart are no motion, s.
LONGEST_STEP_S = 0.5


class Plans:
    """Tells a viewer what the arm was and will be commanded.

    A chunk that is sent to a controller is the plan for its channels. For channels whose commands
    are streamed one by one it is the policy's chunk, which is not limited yet.

    Args:
        viewer: is told.
        limits: of channels, where they are known.
        turns: one turn of channels that are the angle of a joint without ends.
        on_channels: called with the names of channels when they are seen.
    """

    def __init__(self, viewer: Viewer, limits: Mapping[str, Limits], turns: Mapping[str, float],
                 on_channels: Callable[[Sequence[str]], None]):
        self._viewer, self._limits, self._turns = viewer, limits, turns
        self._on_channels = on_channels
        self._sent: set[str] = set()  # channels of which trajectories are sent
        self._current: dict[str, ActionChunk] = {}  # by topic
        self._next_row: dict[str, int] = {}
        self._last: dict[str, tuple[int, float]] = {}  # channel -> time and value commanded

    def sent_chunk(self, topic: str, chunk: ActionChunk, now_ns: int) -> None:
        """Take a trajectory for a controller; its stamp is on the axis of ``now_ns``."""
        self._sent |= set(chunk.channels)
        self._replace(topic, chunk, now_ns)
        self.advance(now_ns)

    def policy_chunk(self, topic: str, chunk: ActionChunk, now_ns: int) -> None:
        """Take a chunk as the policy made it."""
        columns = [i for i, name in enumerate(chunk.channels) if name not in self._sent]
        if columns:
            names = tuple(chunk.channels[i] for i in columns)
            self._replace(topic, replace(chunk, channels=names,
                                         actions=chunk.actions[:, columns]), now_ns)
            self._next_row.pop(topic, None)  # nobody executes it as it is

    def sent_values(self, values: Mapping[str, float], now_ns: int) -> None:
        """Take a command of one moment."""
        self._on_channels(tuple(values))
        self._command(now_ns, values)

    def advance(self, now_ns: int) -> None:
        """Report the rows that began before now.

        One that begins now may still be replaced, as in lock-step.
        """
        for topic, row in self._next_row.items():
            chunk = self._current[topic]
            while row < len(chunk.actions) and chunk.stamp_ns + row * chunk.dt_ns < now_ns:
                values = map(float, chunk.actions[row])
                self._command(chunk.stamp_ns + row * chunk.dt_ns,
                              dict(zip(chunk.channels, values, strict=True)))
                row += 1
            self._next_row[topic] = row

    def _replace(self, topic: str, chunk: ActionChunk, now_ns: int) -> None:
        self._on_channels(chunk.channels)
        if topic in self._next_row:
            self.advance(now_ns)  # of the old one, up to the takeover
        # A trajectory may begin later than it is sent.
        at_ns = max(now_ns, chunk.stamp_ns)
        old = self._current.get(topic)
        if old is not None and old.channels == chunk.channels:
            jumps = seam_jumps(old, chunk, at_ns)
            for group, values in zip((JUMP, BEND), jumps or (), strict=False):
                values = wrapped(values, [self._turns.get(c, 0.0) for c in chunk.channels]) \
                    if group == JUMP else values
                self._viewer.values(at_ns, group, dict(zip(chunk.channels, map(float, values),
                                                           strict=True)))
        first = min(max(chunk.index_at(at_ns), 0), len(chunk.actions))
        self._current[topic], self._next_row[topic] = chunk, first
        if first < len(chunk.actions):
            self._viewer.plan(PlanAhead(
                at_ns, chunk.stamp_ns + first * chunk.dt_ns, chunk.dt_ns, chunk.channels,
                chunk.actions[first:]))

    def _command(self, at_ns: int, values: Mapping[str, float]) -> None:
        self._viewer.values(at_ns, COMMAND, dict(values))
        speeds = {}
        for name, value in values.items():
            before = self._last.get(name)
            self._last[name] = at_ns, value
            limits = self._limits.get(name)
            if before is None or limits is None or limits.velocity is None:
                continue
            step_s = (at_ns - before[0]) / 1e9
            if 0.0 < step_s < LONGEST_STEP_S:
                moved = float(wrapped(value - before[1], self._turns.get(name, 0.0)))
                speeds[name] = abs(moved) / step_s / limits.velocity
        if speeds:
            self._viewer.values(at_ns, SPEED, speeds)

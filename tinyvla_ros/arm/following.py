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

"""Whether the arm follows its commands.

A deactivated controller keeps its subscription and ignores what comes: nothing but the arm itself
shows it. Only positions are judged, of channels that name their measured state; what is commanded
as a velocity or as a twist has no place to compare.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import numpy as np

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.arm.plan import Plan
from tinyvla_ros.core.angles import nearest

# Commands are judged over so long, s.
WINDOW_S = 1.0
# A slow arm may lag so far behind: the newest commands are judged so much later, s.
LAG_S = 0.5
# A joint was clearly commanded to move by this share of its range, or of its jump if less: what
# lies within jump may be the distance between an arm and its commands.
RANGE_SHARE, JUMP_SHARE = 0.02, 0.5
# One that moves less than this share of it does not follow.
MOVED_SHARE = 0.1
# Samples in the window and in the lag; more often they would only cost time.
PERIOD_S = 0.02


class Following:
    """Compares commanded with measured positions over a sliding window.

    Attributes:
        stuck: the channel that does not follow, empty if all do or little was commanded.
        problem: one sentence about it; empty likewise.

    Args:
        contract: of the robot.
        channels: names of the columns of plans.
    """

    def __init__(self, contract: RobotContract, channels: tuple[str, ...]):
        positions = {n for o in contract.outputs if o.quantity == "position" for n in o.channels}
        limits = {n: c for n in channels if n in positions and (c := contract.actions[n]).state}
        self._names, self._limits = tuple(limits), tuple(limits.values())
        self._columns = [channels.index(n) for n in limits]
        self._turn = np.array([c.turn for c in self._limits])
        self._clear = np.array([min(RANGE_SHARE * (c.high - c.low), JUMP_SHARE * c.jump)
                                for c in self._limits])
        self.reset()

    def reset(self) -> None:
        """Forget everything, because time jumped or another run begins."""
        # Time, and for each judged channel the way commanded so far and the measured position.
        self._samples: deque[tuple[int, np.ndarray, np.ndarray]] = deque()
        self._commanded: np.ndarray | None = None
        self.stuck, self.problem = "", ""

    def add(self, now_ns: int, plan: Plan | None, measured: Mapping[str, float]) -> None:
        """Compare once more; call it every control period.

        Args:
            now_ns: ROS time.
            plan: the plan that applies now.
            measured: the newest state by name.
        """
        if not self._names or any(c.state not in measured for c in self._limits):
            return
        if self._samples and now_ns - self._samples[-1][0] < PERIOD_S * 1e9:
            return
        position = np.array([measured[c.state] for c in self._limits], np.float64)
        way = np.zeros(len(self._names))
        if self._samples:
            position = nearest(position, self._samples[-1][2], self._turn)
            way = self._samples[-1][1]
        # Past its end a plan commands nothing, and the next one begins where the arm is.
        before, self._commanded = self._commanded, None
        if plan is not None and now_ns < plan.end_ns:
            self._commanded = plan.motion(now_ns).value[self._columns]
            if before is not None:
                way = way + nearest(self._commanded - before, 0.0, self._turn)
        self._samples.append((now_ns, way, position))
        while now_ns - self._samples[0][0] > (WINDOW_S + LAG_S) * 1e9:
            self._samples.popleft()
        self._judge(now_ns)

    def _judge(self, now_ns: int) -> None:
        ways = [way for t, way, _ in self._samples if now_ns - t >= LAG_S * 1e9]
        self.stuck, self.problem = "", ""
        if not ways:
            return
        commanded = np.ptp(ways, axis=0)
        moved = np.ptp([position for _, _, position in self._samples], axis=0)
        stuck = (commanded > self._clear) & (moved < MOVED_SHARE * commanded)
        if stuck.any():
            first = int(np.argmax(stuck))
            self.stuck = self._names[first]
            self.problem = (
                f"{self.stuck} was commanded {commanded[first]:.2g} {self._limits[first].unit} "
                f"within {WINDOW_S:g} s and moved {moved[first]:.1g} {self._limits[first].unit}: "
                "is its controller active? type: ros2 control list_controllers")

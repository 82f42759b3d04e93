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

"""When a person has the arm in the place of a policy."""

from __future__ import annotations

from collections.abc import Callable

from tinyvla_ros.teleop.joystick import Joystick


class TakeoverSwitch:
    """A dead man that takes the arm from a policy and gives it back.

    The person has the arm while the dead man is held. Whoever lets go of it gives the arm back.
    Whoever is lost meanwhile, because the device fell silent or said nonsense, does not: the arm
    holds until the dead man is held again, or somebody decides otherwise.

    Attributes:
        drives: whether the person has the arm, or had it and was lost.
        problem: why the person may not move the arm; empty while they may.
        count: how often the arm was taken.

    Args:
        joystick: has the dead man.
        find_problem: returns why the person may not move the arm, empty if they may; steady
            seconds.
        on_begin: called before the person gets the arm.
    """

    def __init__(self, joystick: Joystick, find_problem: Callable[[float], str],
                 on_begin: Callable[[], None]):
        self._joystick, self._find_problem, self._on_begin = joystick, find_problem, on_begin
        self.drives, self.problem, self.count = False, "nobody took over", 0
        self._is_lost = False

    def tick(self, now_s: float) -> None:
        """Look at the devices; called in every control period with steady seconds."""
        problem = self._find_problem(now_s)
        if not problem:
            if not self.drives or self._is_lost:
                self._on_begin()
            self.count += not self.drives
            self.drives, self._is_lost = True, False
        elif self.drives and not self._is_lost:
            # Let go of is what a device that works says; all else is a loss.
            self.drives = self._is_lost = not self._joystick.is_released(now_s)
        if self._is_lost:
            problem = f"the person who drives was lost: {problem}; hold the dead man again, or " \
                      "call ~/enable to let the policy go on"
        self.problem = problem

    def forget(self) -> None:
        """Give the arm of a person who was lost back to the policy."""
        if self._is_lost:
            self.end()

    def end(self) -> None:
        """Give the arm back to the policy."""
        self.drives = self._is_lost = False

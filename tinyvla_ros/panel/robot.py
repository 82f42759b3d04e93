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

"""What the page needs of the arm's side; ``nodes/panel/panel_robot.py`` has it from ROS."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol

Service = Literal["enable", "hold", "stop", "reset"]


class Robot(Protocol):
    """An arm, what drives it, and a recorder. All methods are called by the server's thread."""

    def about(self) -> dict[str, Any]:
        """Return what does not change: name, cameras, channels, known wordings; JSON."""

    def state(self) -> dict[str, Any]:
        """Return what changes: diagnostics, joints, the plan; JSON."""

    def watch(self, viewers: int) -> None:
        """Say how many pages show the cameras; none need be read for nobody."""

    def send_joy(self, axes: Sequence[float], buttons: Sequence[int]) -> None:
        """Publish what the driver does."""

    def lose_driver(self) -> None:
        """Say that the driver is lost, so that the arm holds."""

    def call(self, service: Service, answer: Callable[[bool, str], None]) -> None:
        """Call a service; ``answer`` gets, in any thread, whether it worked and a sentence."""

    def instruct(self, text: str) -> str:
        """Publish an instruction and return a sentence.

        Raises:
            InputError: it must not be published now.
        """

    def label(self, press: str) -> str:
        """Do what ``start``, ``success``, ``failure`` or ``discard`` mean; return a sentence.

        Raises:
            InputError: it is not for this page to do.
        """

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

"""Whether inputs are alive, by when messages arrive on a steady clock; and steps of the clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import Field

from tinyvla_ros.arm.contract_inputs import CameraStream, Stream

# Arrivals the rate is taken over.
ARRIVALS = 50
# A change of (ROS time - steady time) between two calls that counts as a step, s.
CLOCK_STEP_S = 0.1
# Of nodes and graphs.
InstructionTimeout = Annotated[float, Field(
    ge=0.0, le=60.0, description="The arm holds when the instruction was not repeated for so "
    "long, s: because the program that leads the policy has ended, such as sequence_node, which "
    "repeats it 5 times a second. 0 for one that is told once.")]


def message_rate(arrivals: Sequence[float]) -> float:
    """Return messages per second of arrival times in seconds, 0 if there are too few."""
    if len(arrivals) < 2 or arrivals[-1] == arrivals[0]:
        return 0.0
    return (len(arrivals) - 1) / (arrivals[-1] - arrivals[0])


class StreamHealth:
    """Age, rate and, for cameras, frozenness of one topic."""

    def __init__(self, topic: str, stream: Stream):
        self.topic = topic
        self._timeout = stream.timeout
        self._frozen_after = stream.frozen_after if isinstance(stream, CameraStream) else None
        self._arrivals: deque[float] = deque(maxlen=ARRIVALS)
        self._stamp: int | None = None
        self._image: np.ndarray | None = None
        self._identical = 1

    def reset(self) -> None:
        """Forget everything, as after a time without a subscription."""
        self._arrivals.clear()
        self._stamp, self._image, self._identical = None, None, 1

    def is_same_image(self, image: np.ndarray) -> bool:
        """Return whether a camera's image equals the one before.

        Apart from ``arrived``, because it takes milliseconds and needs no lock: images are never
        written to.
        """
        before = self._image
        if self._frozen_after is None or before is None or before.shape != image.shape:
            return False
        # A living camera's images differ in some of the rows already.
        return np.array_equal(before[::16], image[::16]) and np.array_equal(before, image)

    def arrived(self, now_s: float, stamp_ns: int, image: np.ndarray | None = None,
                is_same_image: bool = False) -> None:
        """Note a good message, a camera's with its image and ``is_same_image`` of it.

        One whose stamp is that of the message before brings nothing new: a driver that repeats
        its last message is as dead as one that is silent.
        """
        if stamp_ns == self._stamp:
            return
        self._stamp = stamp_ns
        self._arrivals.append(now_s)
        if self._frozen_after is not None:
            self._identical = self._identical + 1 if is_same_image else 1
            self._image = image

    def age(self, now_s: float) -> float:
        """Return the seconds since the last message, infinite if none came."""
        return now_s - self._arrivals[-1] if self._arrivals else np.inf

    def rate(self) -> float:
        """Return messages per second over the last ones, 0 if there are too few."""
        return message_rate(self._arrivals)

    def problem(self, now_s: float) -> str:
        """Return why the arm must not act on this stream, empty if it may."""
        if not self._arrivals:
            return f"waiting for {self.topic}"
        age = self.age(now_s)
        if age > self._timeout:
            return f"{self.topic} is stale: nothing for more than {self._timeout:g} s"
        if self._frozen_after is not None and self._identical >= self._frozen_after:
            return f"{self.topic} is frozen: {self._frozen_after} identical images in a row"
        return ""


class ClockSteps:
    """Detects that ROS time was set, by comparing it with the steady clock, which cannot be."""

    def __init__(self):
        self._offset: float | None = None  # ROS time minus steady time, s

    def step(self, now_s: float, now_ns: int) -> str:
        """Return by how much ROS time was set since the last call, empty if it was not.

        ``now_s`` is steady time.
        """
        offset, before = now_ns / 1e9 - now_s, self._offset
        self._offset = offset
        if before is not None and abs(offset - before) > CLOCK_STEP_S:
            return f"the clock was set by {offset - before:+.3f} s"
        return ""

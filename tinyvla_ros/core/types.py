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

"""What goes into a policy and what comes out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class PolicyImage:
    """A camera image as the policy sees it: cropped and shrunk already.

    Attributes:
        pixels: uint8 RGB, of the height and width that the checkpoint has for the camera.
    """

    pixels: np.ndarray


@dataclass(frozen=True)
class Observation:
    """One moment of the robot, all parts taken at the same time.

    Attributes:
        stamp_ns: time of the observation in nanoseconds (ROS time; simulation time in simulation).
        images: camera name -> (height, width, 3) uint8 RGB as it came, or what the policy sees
            of it.
        state: state name -> value; radians for joints, meters for positions, by real joint name.
        instruction: what to do, in words.
    """

    stamp_ns: int
    images: Mapping[str, np.ndarray | PolicyImage]
    state: Mapping[str, float]
    instruction: str


@dataclass(frozen=True)
class ActionChunk:
    """Actions for the time that follows an observation.

    Attributes:
        stamp_ns: stamp of the observation the chunk was computed from, nanoseconds.
        channels: names of the action channels, in column order.
        actions: (horizon, len(channels)) float32; row ``i`` applies during
            ``[stamp + i * dt, stamp + (i + 1) * dt)``.
        dt: control period in seconds.
        latency_s: seconds from ``infer`` being called to its return (0 if not measured).
    """

    stamp_ns: int
    channels: tuple[str, ...]
    actions: np.ndarray
    dt: float
    latency_s: float = field(default=0.0, compare=False)

    @property
    def dt_ns(self) -> int:
        """Control period in integer nanoseconds."""
        return round(self.dt * 1e9)

    def index_at(self, time_ns: int) -> int:
        """Return the row that applies at ``time_ns``; negative before, >= horizon after it."""
        return (time_ns - self.stamp_ns) // self.dt_ns


@dataclass(frozen=True)
class Prefix:
    """What a chunk still to be computed must go on from.

    Attributes:
        actions: (horizon, channels) float32 in the robot's units; rows of weight 0 do not count.
        weights: (horizon,) float32 from 1 (will have been executed: held fixed) to 0 (free).
    """

    actions: np.ndarray
    weights: np.ndarray

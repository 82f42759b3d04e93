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

"""Put messages of several streams together into observations, by stamp."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from heapq import merge
from itertools import islice

import numpy as np

from tinyvla_ros.arm.observation.stamp_matching import StampedValues
from tinyvla_ros.core.types import Observation, PolicyImage
from tinyvla_ros.policy.config import DriverConfig

EE_STATE = ("ee_x", "ee_y", "ee_z")
# At most so many are kept of each stream.
IMAGES, MESSAGES = 32, 2000
# Different sets of joints that may come on the topic of joint states.
JOINT_SETS = 16


class ObservationAssembler:
    """Newest observation whose parts were all taken within a tolerance.

    The first camera decides the time. The other images and the state are those nearest to its
    stamp (``stamp_matching``); joints may come in several messages. Nothing is filled in: without
    one of its parts there is no observation. ``missing`` and ``unpaired`` say which part. A person
    who drives the arm needs no camera: then the newest joints or pose decide the time.

    A single message that is older than the one before it is out of order and refused. A second one
    in sequence means that the clock was set back, as by a simulation that starts again:
    everything is forgotten.

    Args:
        config: names the cameras and states needed; there may be no camera.
        tolerance_ns: largest difference between the stamps of one observation.
        joint_names: state name -> joint name in messages, where they differ.
    """

    def __init__(self, config: DriverConfig, tolerance_ns: int,
                 joint_names: Mapping[str, str] | None = None):
        self._config, self._tolerance = config, tolerance_ns
        self._cameras = {name: StampedValues(IMAGES) for name in config.cameras}
        names = joint_names or {}
        self._states = {names.get(n, n): n for n in config.state if n not in EE_STATE}
        self._joints: dict[tuple[str, ...], StampedValues] = {}
        # Of the last message that had none of ours; None if there was no such message.
        self._other_joints: tuple[str, ...] | None = None
        self._pose = StampedValues(MESSAGES) if any(n in EE_STATE for n in config.state) else None
        self.instruction: str | None = None

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Joints that joint states must hold, by their names there."""
        return tuple(self._states)

    def add_image(self, camera: str, stamp_ns: int, image: np.ndarray | PolicyImage) -> bool:
        """Store a camera image: (height, width, 3) uint8 RGB, or what the policy sees of it.

        Returns:
            Whether the clock was set back, so that everything before was forgotten.

        Raises:
            MessageError: it is out of order.
        """
        return self._add(self._cameras[camera], stamp_ns, image)

    def add_joints(self, stamp_ns: int, positions: Mapping[str, float]) -> bool:
        """Store positions of some or all joints by name; see ``add_image``.

        A message of other joints alone is nothing to refuse: several publishers share the topic.
        """
        values = {state: positions[joint] for joint, state in self._states.items()
                  if joint in positions}
        if not values:
            self._other_joints = tuple(positions)
            return False
        key = tuple(values)
        if key not in self._joints and len(self._joints) >= JOINT_SETS:
            self._joints.clear()  # bounds the memory
        return self._add(self._joints.setdefault(key, StampedValues(MESSAGES)), stamp_ns, values)

    def add_pose(self, stamp_ns: int, position: Mapping[str, float]) -> bool:
        """Store the end-effector position by name; see ``add_image``."""
        return self._add(self._pose, stamp_ns, position)

    def clear(self) -> None:
        """Forget all streams; the instruction stays."""
        for stream in self._streams():
            stream.clear()
        self._joints.clear()
        self._other_joints = None

    def latest(self) -> Observation | None:
        """Return the newest complete observation, None if there is none."""
        if self.instruction is None or not all(s.stamps for s in self._cameras.values()):
            return None
        observations = map(self.at, self._moments())
        return next((o for o in observations if o is not None), None)

    def at(self, stamp_ns: int) -> Observation | None:
        """Return the observation of a moment, None if something is missing near it."""
        images = {n: s.nearest(stamp_ns, self._tolerance) for n, s in self._cameras.items()}
        if self.instruction is None or any(i is None for i in images.values()):
            return None
        state = self._state(stamp_ns)
        return None if state is None else Observation(stamp_ns, images, state, self.instruction)

    def past(self, stamp_ns: int) -> list[Observation]:
        """Return the observations before a moment that the checkpoint needs, if they exist.

        The nearest to each moment of ``PolicyConfig.past_stamps``; none for most checkpoints.
        """
        if not self._cameras:
            return []
        stamps = [s for s in next(iter(self._cameras.values())).stamps if s < stamp_ns]
        nearest = (sorted(stamps, key=lambda s, at=wanted: abs(s - at))
                   for wanted in self._config.past_stamps(stamp_ns))
        found = (next((o for o in map(self.at, order) if o is not None), None)
                 for order in nearest)
        return [o for o in found if o is not None]

    def newest_state(self) -> dict[str, float]:
        """Return the newest value of every state that was received."""
        state: dict[str, float] = {}
        for stream in sorted(self._joints.values(), key=lambda s: s.stamps[-1]):
            state |= stream.values[-1]
        if self._pose is not None and self._pose.stamps:
            state |= self._pose.values[-1]
        return state

    def oldest_joint(self) -> int | None:
        """Return the stamp up to which every joint was received, None if one never was."""
        newest = dict.fromkeys(self._states.values(), -1)
        for key, stream in self._joints.items():
            for name in key:
                newest[name] = max(newest[name], stream.stamps[-1])
        oldest = min(newest.values())
        return None if oldest < 0 else oldest

    def missing(self) -> list[str]:
        """Name what has not been received yet, ``joint_states (joint, ...)`` for joints.

        Joints are named as soon as there are messages, with what these have in their place.
        """
        names = [f"camera/{n}" for n, s in self._cameras.items() if not s.stamps]
        received = {name for key in self._joints for name in key}
        joints = [j for j, state in self._states.items() if state not in received]
        if joints:
            other = self._other_joints
            instead = "" if other is None else \
                f"; other messages have {', '.join(other) or 'no position'}"
            names.append("joint_states" if other is None and len(joints) == len(self._states)
                         else f"joint_states ({', '.join(joints)}{instead})")
        if self._pose is not None and not self._pose.stamps:
            names.append("ee_pose")
        if self.instruction is None:
            names.append("instruction")
        return names

    def unpaired(self) -> str:
        """Say which stream has nothing near the newest image; empty if all have."""
        first, *others = self._cameras or [""]
        stamp = next(self._moments(), None)
        if stamp is None:
            return ""
        newest = f"the newest image of camera {first}" if first else "the newest message"
        near = f"within {self._tolerance / 1e9:g} s of {newest}"
        for name in others:
            if self._cameras[name].nearest(stamp, self._tolerance) is None:
                return f"camera {name} has no image {near}"
        for joint, state in self._states.items():
            if not any(state in key and s.nearest(stamp, self._tolerance)
                       for key, s in self._joints.items()):
                return f"joint {joint} has no position {near}"
        if self._pose is not None and self._pose.nearest(stamp, self._tolerance) is None:
            return f"ee_pose has nothing {near}"
        return ""

    def _moments(self) -> Iterator[int]:
        """Yield the stamps that an observation may have, the newest first."""
        for camera in self._cameras.values():
            yield from reversed(camera.stamps)
            return
        streams = (islice(reversed(s.stamps), IMAGES) for s in self._streams())
        yield from merge(*streams, reverse=True)

    def _state(self, stamp_ns: int) -> dict[str, float] | None:
        state: dict[str, float] = {}
        # Sets that hold more joints come last and win: they belong to one moment.
        for key in sorted(self._joints, key=len):
            state |= self._joints[key].nearest(stamp_ns, self._tolerance) or {}
        if len(state) < len(self._states):
            return None
        if self._pose is not None:
            pose = self._pose.nearest(stamp_ns, self._tolerance)
            if pose is None:
                return None
            state |= pose
        return state

    def _streams(self) -> list[StampedValues]:
        pose = [] if self._pose is None else [self._pose]
        return [*self._cameras.values(), *self._joints.values(), *pose]

    def _add(self, stream: StampedValues, stamp_ns: int, value) -> bool:
        clock_reset = stream.is_clock_reset(stamp_ns)
        if clock_reset:
            joints = [k for k, s in self._joints.items() if s is stream]
            self.clear()
            for key in joints:
                self._joints[key] = stream
        stream.append(stamp_ns, value)
        return clock_reset


# SPDX-License-Identifier: Apache-2.0
"""Put messages of several streams together into observations, by stamp."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import numpy as np

from tinyvla_ros.core.errors import MessageError
from tinyvla_ros.core.types import Observation
from tinyvla_ros.policy.config import PolicyConfig

EE_STATE = ("ee_x", "ee_y", "ee_z")
# What is older than this, next to the newest of its stream, is forgotten.
WINDOW_NS = 1_000_000_000
IMAGES, MESSAGES = 32, 2000
# Different sets of joints that may come in one joint state topic.
JOINT_SETS = 16


class ObservationAssembler:
    """Newest observation whose parts were all taken within a tolerance.

    Cameras decide the time: the newest stamp for which every camera has an image. The state is
    taken from the messages nearest to it; joints may come in several messages. Nothing is ever
    filled in: an observation that lacks a part does not exist, ``missing`` says which, and
    ``unpaired`` why not.

    A single message that is older than the one before it is out of order and refused; a second one
    in sequence means that time itself went back (a simulation reset, a clock step), and everything
    is forgotten, because it is of another time.

    Args:
        config: names the cameras and states needed.
        tolerance_ns: largest difference between the stamps of one observation.
        joint_names: state name -> joint name in messages, where they differ.
    """

    def __init__(self, config: PolicyConfig, tolerance_ns: int,
                 joint_names: Mapping[str, str] | None = None):
        self._config, self._tolerance = config, tolerance_ns
        self._cameras = {name: _Stream(IMAGES) for name in config.cameras}
        names = joint_names or {}
        self._states = {names.get(n, n): n for n in config.state if n not in EE_STATE}
        self._joints: dict[tuple[str, ...], _Stream] = {}
        self._pose = _Stream(MESSAGES) if any(n in EE_STATE for n in config.state) else None
        self.instruction: str | None = None

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Joints that joint states must hold, by their names there."""
        return tuple(self._states)

    @property
    def needs_pose(self) -> bool:
        """Whether the checkpoint's state names the end-effector position."""
        return self._pose is not None

    def add_image(self, camera: str, stamp_ns: int, image: np.ndarray) -> bool:
        """Store a camera image, (height, width, 3) uint8 RGB.

        Returns:
            Whether time went back, and everything before was forgotten.

        Raises:
            MessageError: it is out of order.
        """
        return self._add(self._cameras[camera], stamp_ns, image)

    def add_joints(self, stamp_ns: int, positions: Mapping[str, float]) -> bool:
        """Store positions of some or all joints by name; see ``add_image``."""
        values = {state: positions[joint] for joint, state in self._states.items()
                  if joint in positions}
        if not values:
            raise MessageError(f"The joint state names {', '.join(positions) or 'nothing'}; none "
                               f"of {', '.join(self._states)} is among them.")
        key = tuple(values)
        if key not in self._joints and len(self._joints) >= JOINT_SETS:
            self._joints.clear()  # a publisher that sends ever other sets has none that counts
        return self._add(self._joints.setdefault(key, _Stream(MESSAGES)), stamp_ns, values)

    def add_pose(self, stamp_ns: int, position: Mapping[str, float]) -> bool:
        """Store the end-effector position by name; see ``add_image``."""
        return self._add(self._pose, stamp_ns, position)

    def clear(self) -> None:
        """Forget all streams; the instruction stays."""
        for stream in self._streams():
            stream.clear()
        self._joints.clear()

    def latest(self) -> Observation | None:
        """Return the newest complete observation, None if there is none."""
        if self.instruction is None or not all(s.items for s in self._cameras.values()):
            return None
        first = next(iter(self._cameras.values()))
        observations = (self.at(stamp) for stamp, _ in reversed(first.items))
        return next((o for o in observations if o is not None), None)

    def at(self, stamp_ns: int) -> Observation | None:
        """Return the observation of a moment, None if something is missing near it."""
        images = {n: s.nearest(stamp_ns, self._tolerance) for n, s in self._cameras.items()}
        if self.instruction is None or any(i is None for i in images.values()):
            return None
        state = self._state(stamp_ns)
        return None if state is None else Observation(stamp_ns, images, state, self.instruction)

    def past(self, stamp_ns: int) -> list[Observation]:
        """Return those before a moment that the checkpoint looks at too, as far as they are there.

        The nearest to each moment of ``PolicyConfig.past_stamps``; none for most checkpoints.
        """
        stamps = [s for s, _ in next(iter(self._cameras.values())).items if s < stamp_ns]
        nearest = (sorted(stamps, key=lambda s, at=wanted: abs(s - at))
                   for wanted in self._config.past_stamps(stamp_ns))
        found = (next((o for o in map(self.at, order) if o is not None), None)
                 for order in nearest)
        return [o for o in found if o is not None]

    def newest_state(self) -> dict[str, float]:
        """Return the newest value of every state that was received."""
        state: dict[str, float] = {}
        for stream in sorted(self._joints.values(), key=_Stream.newest):
            state |= stream.items[-1][1]
        if self._pose is not None and self._pose.items:
            state |= self._pose.items[-1][1]
        return state

    def oldest_joint(self) -> int | None:
        """Return the stamp up to which every joint was received, None if one never was."""
        newest = dict.fromkeys(self._states.values(), -1)
        for key, stream in self._joints.items():
            for name in key:
                newest[name] = max(newest[name], stream.newest())
        oldest = min(newest.values())
        return None if oldest < 0 else oldest

    def missing(self) -> list[str]:
        """Name what has not been received yet, ``joint_states (joint, ...)`` for joints."""
        names = [f"camera/{n}" for n, s in self._cameras.items() if not s.items]
        received = {name for key in self._joints for name in key}
        joints = [j for j, state in self._states.items() if state not in received]
        if joints:
            names.append("joint_states" if len(joints) == len(self._states)
                         else f"joint_states ({', '.join(joints)})")
        if self._pose is not None and not self._pose.items:
            names.append("ee_pose")
        if self.instruction is None:
            names.append("instruction")
        return names

    def unpaired(self) -> str:
        """Say which stream has nothing near the newest image; empty if all have."""
        first, *others = self._cameras
        if not self._cameras[first].items:
            return ""
        stamp = self._cameras[first].newest()
        near = f"within {self._tolerance / 1e9:g} s of the newest image of camera {first}"
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

    def _streams(self) -> list[_Stream]:
        pose = [] if self._pose is None else [self._pose]
        return [*self._cameras.values(), *self._joints.values(), *pose]

    def _add(self, stream: _Stream, stamp_ns: int, value) -> bool:
        went_back = stream.goes_back(stamp_ns)
        if went_back:
            joints = [k for k, s in self._joints.items() if s is stream]
            self.clear()
            for key in joints:
                self._joints[key] = stream
        stream.append(stamp_ns, value)
        return went_back


class _Stream:
    """Values of one topic by stamp, never decreasing."""

    def __init__(self, length: int):
        self.items: deque = deque(maxlen=length)
        self._late: int | None = None

    def newest(self) -> int:
        """Return the stamp of the newest value."""
        return self.items[-1][0]

    def clear(self) -> None:
        self.items.clear()
        self._late = None

    def goes_back(self, stamp_ns: int) -> bool:
        """Whether a stamp confirms that time went back.

        Raises:
            MessageError: it is older than the newest and nothing confirms it yet.
        """
        if not self.items or stamp_ns >= self.newest():
            self._late = None
            return False
        if self._late is not None and stamp_ns >= self._late:
            return True
        self._late = stamp_ns
        older = (self.newest() - stamp_ns) / 1e9
        raise MessageError(f"The stamp is {older:.3f} s older than that of the message before; "
                           "messages must come in order.")

    def append(self, stamp_ns: int, value) -> None:
        self.items.append((stamp_ns, value))
        while self.items[0][0] < stamp_ns - WINDOW_NS:
            self.items.popleft()

    def nearest(self, stamp_ns: int, tolerance_ns: int):
        """Return the value nearest to a stamp, None if none is within the tolerance."""
        best = None
        for stamp, value in reversed(self.items):
            distance = abs(stamp - stamp_ns)
            if distance <= tolerance_ns and (best is None or distance < best[0]):
                best = (distance, value)
            if stamp < stamp_ns - tolerance_ns:
                break
        return None if best is None else best[1]

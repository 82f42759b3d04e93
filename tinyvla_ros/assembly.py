# SPDX-License-Identifier: Apache-2.0
"""Put messages of several streams together into observations, by stamp."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import numpy as np

from tinyvla_ros.policy_config import PolicyConfig
from tinyvla_ros.types import Observation

EE_STATE = ("ee_x", "ee_y", "ee_z")
HISTORY = 64


class ObservationAssembler:
    """Newest observation whose parts were all taken within a tolerance.

    Cameras decide the time: the newest stamp for which every camera has an image. The state is
    taken from the messages nearest to it. Nothing is ever filled in: an observation that lacks a
    part does not exist, and ``missing`` says which.

    Args:
        config: names the cameras and states needed.
        tolerance_ns: largest difference between the stamps of one observation.
    """

    def __init__(self, config: PolicyConfig, tolerance_ns: int):
        self._tolerance = tolerance_ns
        self._cameras = {name: deque(maxlen=HISTORY) for name in config.cameras}
        self._joint_names = tuple(n for n in config.state if n not in EE_STATE)
        self._needs_pose = any(n in EE_STATE for n in config.state)
        self._joints: deque = deque(maxlen=HISTORY)
        self._pose: deque = deque(maxlen=HISTORY)
        self.instruction: str | None = None

    @property
    def joint_names(self) -> tuple[str, ...]:
        """Joints every joint state must hold."""
        return self._joint_names

    @property
    def needs_pose(self) -> bool:
        """Whether the checkpoint's state names the end-effector position."""
        return self._needs_pose

    def add_image(self, camera: str, stamp_ns: int, image: np.ndarray) -> None:
        """Store a camera image, (height, width, 3) uint8 RGB."""
        self._add(self._cameras[camera], stamp_ns, image)

    def add_joints(self, stamp_ns: int, positions: Mapping[str, float]) -> None:
        """Store joint positions by name."""
        self._add(self._joints, stamp_ns, positions)

    def add_pose(self, stamp_ns: int, position: Mapping[str, float]) -> None:
        """Store the end-effector position by name."""
        self._add(self._pose, stamp_ns, position)

    def clear(self) -> None:
        """Forget all streams; the instruction stays."""
        for stream in (*self._cameras.values(), self._joints, self._pose):
            stream.clear()

    def latest(self) -> Observation | None:
        """Return the newest complete observation, None if there is none."""
        if self.instruction is None or not all(self._cameras.values()):
            return None
        first = next(iter(self._cameras.values()))
        for stamp, _ in reversed(first):
            images = {n: self._nearest(s, stamp) for n, s in self._cameras.items()}
            joints = self._nearest(self._joints, stamp) if self._joint_names else {}
            pose = self._nearest(self._pose, stamp) if self._needs_pose else {}
            if joints is None or pose is None or any(i is None for i in images.values()):
                continue
            return Observation(stamp, images, {**joints, **pose}, self.instruction)
        return None

    def missing(self) -> list[str]:
        """Name the streams that have sent nothing yet."""
        names = [f"camera/{n}/image_raw" for n, s in self._cameras.items() if not s]
        if self._joint_names and not self._joints:
            names.append("joint_states")
        if self._needs_pose and not self._pose:
            names.append("ee_pose")
        if self.instruction is None:
            names.append("instruction")
        return names

    def _add(self, stream: deque, stamp_ns: int, value) -> None:
        if stream and stamp_ns < stream[-1][0]:
            # Time went back: a simulation reset or a clock step. What came before it is of
            # another time and must not be paired with what comes now.
            stream.clear()
        stream.append((stamp_ns, value))

    def _nearest(self, stream: deque, stamp_ns: int):
        if not stream:
            return None
        stamp, value = min(stream, key=lambda item: abs(item[0] - stamp_ns))
        return value if abs(stamp - stamp_ns) <= self._tolerance else None

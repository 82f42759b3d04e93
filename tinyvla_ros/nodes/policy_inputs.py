# SPDX-License-Identifier: Apache-2.0
"""The policy node's subscriptions: every message is checked, then kept as the newest."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable

from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import String

from tinyvla_ros.arm.contract import Camera, RobotContract, Stream
from tinyvla_ros.arm.liveness import StreamHealth
from tinyvla_ros.arm.observation_assembler import ObservationAssembler
from tinyvla_ros.core.errors import InputError, MessageError
from tinyvla_ros.core.messages import (
    compressed_to_array,
    image_to_array,
    joint_positions,
    pose_position,
    stamp_to_ns,
)
from tinyvla_ros.core.types import Observation
from tinyvla_ros.nodes.runner import LATCHED
from tinyvla_ros.policy.config import PolicyConfig
from tinyvla_ros.policy.language_config import fold

# Messages that may wait while this process is busy. Of pictures only the newest counts, and the
# middleware keeps the memory of as many as ever waited.
DEPTH, CAMERA_DEPTH = 20, 2
# Camera stamps whose arrival is remembered, for the latency by stage.
ARRIVALS = 64


def image_type(camera: Camera) -> tuple[type, Callable]:
    """Return the message of a camera's topic, and what makes an array of one."""
    return ((CompressedImage, compressed_to_array) if camera.compressed
            else (Image, image_to_array))


def stream_qos(stream: Stream) -> QoSProfile:
    """Return the quality of service that a stream is subscribed to with."""
    return QoSProfile(depth=CAMERA_DEPTH if isinstance(stream, Camera) else DEPTH,
                      reliability=ReliabilityPolicy.RELIABLE if stream.reliable
                      else ReliabilityPolicy.BEST_EFFORT)


class PolicyInputs:
    """Subscriptions of the robot contract, an assembler behind them, and their health.

    Attributes:
        changed: notified at every good message; guards everything here.
        active: observations are dropped unread while false.
        rejected: messages refused so far, by topic.
        pictures: images of the first camera so far.

    Args:
        node: makes the subscriptions.
        contract: the robot's.
        config: the checkpoint's.
        report: called with topic and error for every refused message.
        understand: returns the known wording that an instruction is or is most like; raises
            ``InputError`` for one that the policy cannot take.
    """

    def __init__(self, node: Node, contract: RobotContract, config: PolicyConfig,
                 report: Callable[[str, InputError], None], understand: Callable[[str], str]):
        self._node, self._contract, self._config = node, contract, config
        self._report, self._understand = report, understand
        self.changed = threading.Condition()
        self.active = False
        self.rejected: Counter[str] = Counter()
        self.pictures = 0
        names = contract.joint_states.names if contract.joint_states else {}
        self._assembler = ObservationAssembler(
            config, round(contract.stamps.tolerance * 1e9), names)
        self._max_age, self._max_ahead = contract.stamps.max_age, contract.stamps.max_ahead
        self._health: dict[str, StreamHealth] = {}
        self._arrived: dict[int, float] = {}
        self._numbers: dict[int, int] = {}
        self._went_back = False
        self._subscriptions = []
        self._subscribe()

    def close(self) -> None:
        """Take the subscriptions from the graph."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def activate(self, active: bool) -> None:
        """Listen or not; what was observed before is forgotten, the instruction is not."""
        with self.changed:
            self.active = active
            self.clear()
            self.changed.notify_all()

    def clear(self) -> None:
        """Forget all observations."""
        with self.changed:
            self._assembler.clear()
            self._arrived.clear()
            self._numbers.clear()
            for health in self._health.values():
                health.reset()

    def latest(self) -> Observation | None:
        """Return the newest complete observation."""
        return self._assembler.latest()

    def past(self, stamp_ns: int) -> list[Observation]:
        """Return the observations before one that the checkpoint looks at too."""
        with self.changed:
            return self._assembler.past(stamp_ns)

    @property
    def instruction(self) -> str:
        """What to do, empty if nothing valid was said."""
        return self._assembler.instruction or ""

    def arrival(self, stamp_ns: int) -> float | None:
        """Return when the last image with a stamp arrived, steady seconds."""
        return self._arrived.get(stamp_ns)

    def number(self, stamp_ns: int) -> int:
        """Return which picture of the first camera an observation has; the last if unknown."""
        return self._numbers.get(stamp_ns, self.pictures)

    def newest_state(self) -> dict[str, float]:
        """Return the newest value of every state."""
        with self.changed:
            return self._assembler.newest_state()

    def take_time_went_back(self) -> bool:
        """Return whether stamps went back since the last call."""
        with self.changed:
            went_back, self._went_back = self._went_back, False
        return went_back

    def problem(self, now_s: float, now_ns: int) -> str:
        """Say why the arm must not act on these inputs, nothing if it may.

        Args:
            now_s: steady seconds.
            now_ns: ROS time.
        """
        with self.changed:
            missing = self._assembler.missing()
            if missing:
                return f"waiting for {', '.join(missing)}"
            for health in self._health.values():
                if problem := health.problem(now_s):
                    return problem
            # Streams that live and never fit together make no observations either.
            observation = self._assembler.latest()
            if observation is None or (self._max_age and now_ns - observation.stamp_ns >
                                       self._max_age * 1e9):
                why = self._assembler.unpaired() or f"the newest is over {self._max_age:g} s old"
                return f"no observation: {why}"
            return ""

    def describe(self, now_s: float) -> dict[str, str]:
        """Return age and rate of every stream, for diagnostics."""
        with self.changed:
            values = {}
            for name, health in self._health.items():
                age = health.age(now_s)
                values[f"age_s {name}"] = f"{age:.3f}" if age < 1e6 else "never"
                values[f"rate_hz {name}"] = f"{health.rate():.1f}"
            return values | {f"rejected {t}": str(n) for t, n in self.rejected.items()}

    def _subscribe(self) -> None:
        assembler = self._assembler
        for name in self._config.cameras:
            camera = self._contract.cameras[name]
            message, read = image_type(camera)
            self._stream(f"camera/{name}", camera, message, lambda m, s, n=name, r=read:
                         self._add_image(n, s, r(m)))
        if assembler.joint_names:
            self._stream("joint_states", self._contract.joint_states, JointState, self._add_joints)
        if assembler.needs_pose:
            self._stream("ee_pose", self._contract.ee_pose, PoseStamped, lambda m, s:
                         (assembler.add_pose(s, pose_position(m)), s, None))
        self._subscriptions.append(self._node.create_subscription(
            String, self._contract.instruction, self._on_instruction, LATCHED))

    def _add_image(self, name: str, stamp_ns: int, image):
        went_back = self._assembler.add_image(name, stamp_ns, image)
        self._arrived[stamp_ns] = time.monotonic()
        if name == next(iter(self._config.cameras)):
            self.pictures += 1
            self._numbers[stamp_ns] = self.pictures
        for kept in (self._arrived, self._numbers):
            if len(kept) > ARRIVALS:
                del kept[next(iter(kept))]
        return went_back, stamp_ns, image

    def _add_joints(self, msg: JointState, stamp_ns: int):
        positions = joint_positions(msg, self._assembler.joint_names)
        went_back = self._assembler.add_joints(stamp_ns, positions)
        # A joint that no longer comes makes the stream stale, whatever the others do.
        return went_back, self._assembler.oldest_joint(), None

    def _stream(self, name: str, stream: Stream, message: type, add) -> None:
        """Subscribe to a stamped topic.

        ``add`` takes message and stamp and returns whether time went back, the stamp up to which
        everything is there (None if something never came), and the image if it is one.
        """
        health = self._health[name] = StreamHealth(name, stream)

        def callback(msg) -> None:
            if not self.active:
                return
            try:
                stamp = self._checked_stamp(msg.header.stamp)
                with self.changed:
                    went_back, complete, image = add(msg, stamp)
                    self._went_back |= went_back
                    if complete is not None:
                        health.arrived(time.monotonic(), complete, image)
                    self.changed.notify_all()
            except InputError as err:
                self.rejected[stream.topic] += 1
                self._report(stream.topic, err)

        self._subscriptions.append(self._node.create_subscription(
            message, stream.topic, callback, stream_qos(stream)))

    def _checked_stamp(self, stamp) -> int:
        stamp_ns = stamp_to_ns(stamp)
        now_ns = self._node.get_clock().now().nanoseconds
        age = (now_ns - stamp_ns) / 1e9
        if now_ns and self._max_age and age > self._max_age:
            raise MessageError(f"The message is {age:.3f} s old when it comes; at most "
                               f"{self._max_age:g} s is accepted, check clocks and drivers.")
        if now_ns and self._max_ahead and -age > self._max_ahead:
            raise MessageError(f"The stamp is {-age:.3f} s in the future; at most "
                               f"{self._max_ahead:g} s is accepted, check the clocks.")
        return stamp_ns

    def _on_instruction(self, msg: String) -> None:
        # Kept while inactive too: it is said once, and latched.
        with self.changed:  # a wrong instruction stops the arm, instead of the old one going on
            self._assembler.instruction = None
        try:
            known = self._understand(msg.data)
            if fold(known) != fold(msg.data):
                self._node.get_logger().info(f"instruction {msg.data!r} is new to the policy; "
                                             f"nearest known: {known!r}")
            with self.changed:
                self._assembler.instruction = msg.data
                self.changed.notify_all()
        except InputError as err:
            self.rejected[self._contract.instruction] += 1
            self._report(self._contract.instruction, err)

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

from tinyvla_ros.arm.contract import RobotContract, Stream
from tinyvla_ros.arm.streams import StreamHealth
from tinyvla_ros.assembly import ObservationAssembler
from tinyvla_ros.errors import InputError, MessageError
from tinyvla_ros.messages import (
    compressed_to_array,
    image_to_array,
    joint_positions,
    pose_position,
    stamp_to_ns,
)
from tinyvla_ros.policy_config import PolicyConfig
from tinyvla_ros.ros_node import LATCHED
from tinyvla_ros.types import Observation

DEPTH = 5
# Camera stamps whose arrival is remembered, for the latency by stage.
ARRIVALS = 64


class PolicyInputs:
    """Subscriptions of the robot contract, an assembler behind them, and their health.

    Attributes:
        changed: notified at every good message; guards everything here.
        active: observations are dropped unread while false.
        rejected: messages refused so far, by topic.

    Args:
        node: makes the subscriptions.
        contract: the robot's.
        config: the checkpoint's.
        report: called with topic and error for every refused message.
    """

    def __init__(self, node: Node, contract: RobotContract, config: PolicyConfig,
                 report: Callable[[str, InputError], None]):
        self._node, self._contract, self._config = node, contract, config
        self._report = report
        self.changed = threading.Condition()
        self.active = False
        self.rejected: Counter[str] = Counter()
        names = contract.joint_states.names if contract.joint_states else {}
        self._assembler = ObservationAssembler(
            config, round(contract.stamps.tolerance * 1e9), names)
        self._ahead_ns = round(contract.stamps.max_ahead * 1e9)
        self._health: dict[str, StreamHealth] = {}
        self._arrived: dict[int, float] = {}
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
            for health in self._health.values():
                health.reset()

    def latest(self) -> Observation | None:
        """Return the newest complete observation."""
        return self._assembler.latest()

    @property
    def instruction(self) -> str:
        """What to do, empty if nothing valid was said."""
        return self._assembler.instruction or ""

    def arrival(self, stamp_ns: int) -> float | None:
        """Return when the last image with a stamp arrived, steady seconds."""
        return self._arrived.get(stamp_ns)

    def newest_state(self) -> dict[str, float]:
        """Return the newest value of every state."""
        with self.changed:
            return self._assembler.newest_state()

    def take_time_went_back(self) -> bool:
        """Return whether stamps went back since the last call."""
        with self.changed:
            went_back, self._went_back = self._went_back, False
        return went_back

    def problem(self, now_s: float) -> str:
        """Say why the arm must not act on these inputs, nothing if it may."""
        with self.changed:
            missing = self._assembler.missing()
            if missing:
                return f"waiting for {', '.join(missing)}"
            problems = (h.problem(now_s) for h in self._health.values())
            return next(filter(None, problems), "")

    def unpaired(self) -> str:
        """Say which part the newest image lacks."""
        with self.changed:
            return self._assembler.unpaired()

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
            message, read = ((CompressedImage, compressed_to_array) if camera.compressed
                             else (Image, image_to_array))
            self._stream(f"camera/{name}", camera, message, lambda m, s, n=name, r=read:
                         self._add_image(n, s, r(m)))
        if assembler.joint_names:
            self._stream("joint_states", self._contract.joint_states, JointState, lambda m, s:
                         (assembler.add_joints(s, joint_positions(m, assembler.joint_names)),
                          None))
        if assembler.needs_pose:
            self._stream("ee_pose", self._contract.ee_pose, PoseStamped, lambda m, s:
                         (assembler.add_pose(s, pose_position(m)), None))
        self._subscriptions.append(self._node.create_subscription(
            String, self._contract.instruction, self._on_instruction, LATCHED))

    def _add_image(self, name: str, stamp_ns: int, image):
        went_back = self._assembler.add_image(name, stamp_ns, image)
        self._arrived[stamp_ns] = time.monotonic()
        if len(self._arrived) > ARRIVALS:
            del self._arrived[next(iter(self._arrived))]
        return went_back, image

    def _stream(self, name: str, stream: Stream, message: type, add) -> None:
        """Subscribe to a stamped topic; ``add`` returns (time went back, image or None)."""
        health = self._health[name] = StreamHealth(name, stream)

        def callback(msg) -> None:
            if not self.active:
                return
            try:
                stamp = self._checked_stamp(msg.header.stamp)
                with self.changed:
                    went_back, image = add(msg, stamp)
                    self._went_back |= went_back
                    health.arrived(time.monotonic(), image)
                    self.changed.notify_all()
            except InputError as err:
                self.rejected[stream.topic] += 1
                self._report(stream.topic, err)

        reliability = (ReliabilityPolicy.RELIABLE if stream.reliable
                       else ReliabilityPolicy.BEST_EFFORT)
        self._subscriptions.append(self._node.create_subscription(
            message, stream.topic, callback, QoSProfile(depth=DEPTH, reliability=reliability)))

    def _checked_stamp(self, stamp) -> int:
        stamp_ns = stamp_to_ns(stamp)
        if self._ahead_ns:
            ahead = stamp_ns - self._node.get_clock().now().nanoseconds
            if ahead > self._ahead_ns:
                raise MessageError(f"The stamp is {ahead / 1e9:.3f} s in the future; at most "
                                   f"{self._ahead_ns / 1e9:g} s is accepted, check the clocks.")
        return stamp_ns

    def _on_instruction(self, msg: String) -> None:
        # Kept while inactive too: it is said once, and latched.
        try:
            with self.changed:
                # A wrong instruction stops the arm, instead of the old one going on.
                self._assembler.instruction = None
                self._config.instruction_index(msg.data)
                self._assembler.instruction = msg.data
                self.changed.notify_all()
        except InputError as err:
            self.rejected[self._contract.instruction] += 1
            self._report(self._contract.instruction, err)

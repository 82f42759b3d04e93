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

"""The policy node's subscriptions: every message is checked, then kept as the newest."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable

import numpy as np
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from std_msgs.msg import String

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.arm.contract_streams import InputStream, make_assembler, policy_streams
from tinyvla_ros.arm.observation.interleaving import Interleaving
from tinyvla_ros.arm.observation.liveness import StreamHealth
from tinyvla_ros.core.errors import InputError, MessageError
from tinyvla_ros.core.image_transform import crop, shrink
from tinyvla_ros.core.ros.messages import stamp_to_ns
from tinyvla_ros.core.ros.state_messages import measured_joints
from tinyvla_ros.core.types import Observation, PolicyImage
from tinyvla_ros.nodes.shared.run_guard import other_publishers
from tinyvla_ros.nodes.shared.topics import (
    message_class,
    refuse_same_topic,
    stream_qos,
    subscribe_to_all,
)
from tinyvla_ros.policy.config import DriverConfig
from tinyvla_ros.policy.language_config import fold

# Camera stamps whose arrival is remembered, for the latency by stage.
ARRIVALS = 64
# A refused message matters no longer than this, or than its stream's timeout, s.
REFUSAL_S = 1.0


class PolicyInputs:
    """Subscriptions of the robot contract, an assembler behind them, and their health.

    The control thread takes the lock ``changed`` every few milliseconds. So nothing is done under
    it that depends on the size of a message: images are decoded and compared before.

    Attributes:
        changed: notified at every good message; guards everything here.
        active: observations are dropped unread while false.
        rejected: messages refused so far, by topic.
        images: images of the first camera so far.

    Args:
        report: called with topic and error for every refused message.
        match_instruction: returns the known wording that an instruction is or is most like;
            raises ``InputError`` for one that the policy cannot take.
        instruction: the one to begin with; None to wait for it on its topic.
        listens: whether one on its topic counts.
        instruction_timeout: seconds after which one that is not repeated counts no more; 0 for
            never.
    """

    def __init__(self, node: Node, contract: RobotContract, config: DriverConfig,
                 report: Callable[[str, InputError], None],
                 match_instruction: Callable[[str], str], instruction: str | None = None,
                 listens: bool = True, instruction_timeout: float = 0.0):
        self._node, self._contract = node, contract
        self._report, self._match_instruction = report, match_instruction
        self.changed = threading.Condition()
        self.active = False
        self.rejected: Counter[str] = Counter()
        self.images = 0
        self._views = config.cameras
        self._first_camera = next(iter(config.cameras), "")
        self._assembler = make_assembler(contract, config)
        self._assembler.instruction = instruction
        self._told_s, self._told_timeout = 0.0, instruction_timeout  # steady seconds
        self._max_age, self._max_ahead = contract.stamps.max_age, contract.stamps.max_ahead
        self._health: dict[str, StreamHealth] = {}
        # Of each topic: by stream or state, because publishers of different joints may share one.
        self._publishers: dict[str, dict[str, Interleaving]] = {}
        # topic -> what was wrong with its last message, and until when that matters, steady s.
        self._refused: dict[str, tuple[str, float]] = {}
        self._arrived: dict[int, float] = {}
        self._numbers: dict[int, int] = {}
        # Camera -> stamp of its last image, and how often one with that stamp came in a row.
        self._repeats: dict[str, tuple[int, int]] = {}
        self._clock_reset = False
        self._cleared = 0  # times that everything was forgotten
        self._subscriptions = []
        try:
            streams = policy_streams(contract, config)
            refuse_same_topic(node, streams)
            for stream in streams:
                self._subscriptions.append(self._subscribe(stream))
            if listens:
                self._subscriptions += subscribe_to_all(node, String, contract.instruction,
                                                        self._on_instruction, 1)
        except Exception:
            self.close()
            raise

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
            self._cleared += 1
            self._assembler.clear()
            self._arrived.clear()
            self._numbers.clear()
            self._repeats.clear()
            for health in self._health.values():
                health.reset()
            for publishers in self._publishers.values():
                publishers.clear()
            instruction = self._refused.get(self._contract.instruction)
            self._refused.clear()
            if instruction:  # it is still the last one
                self._refused[self._contract.instruction] = instruction

    def latest(self) -> Observation | None:
        """Return the newest complete observation."""
        return self._assembler.latest()

    def past(self, stamp_ns: int) -> list[Observation]:
        """Return the observations before one that the checkpoint needs too."""
        with self.changed:
            return self._assembler.past(stamp_ns)

    @property
    def instruction(self) -> str:
        """The instruction, empty if there is no valid one."""
        return self._assembler.instruction or ""

    def arrival(self, stamp_ns: int) -> float | None:
        """Return when the last image with a stamp arrived, steady seconds."""
        return self._arrived.get(stamp_ns)

    def number(self, stamp_ns: int) -> int:
        """Return which image of the first camera an observation has; the last if unknown."""
        return self._numbers.get(stamp_ns, self.images)

    def times_asked(self, stamp_ns: int) -> int:
        """Return how often the images of a moment came: a simulation that waits repeats them.

        Once where cameras have stamps of their own: then one that repeats itself is stuck.
        """
        return min((times if stamp == stamp_ns else 1
                    for stamp, times in self._repeats.values()), default=1)

    def newest_state(self) -> dict[str, float]:
        """Return the newest value of every state."""
        with self.changed:
            return self._assembler.newest_state()

    def pop_clock_reset(self) -> bool:
        """Return whether the clock of the stamps was set back since the last call."""
        with self.changed:
            clock_reset, self._clock_reset = self._clock_reset, False
        return clock_reset

    def problem(self, now_s: float, now_ns: int) -> str:
        """Return why the arm must not act on these inputs, empty if it may.

        ``now_s`` is steady time, ``now_ns`` ROS time.
        """
        with self.changed:
            missing = self._assembler.missing()
            if missing:
                return f"waiting for {', '.join(missing)}"
            if self._told_timeout and now_s - self._told_s > self._told_timeout:
                return f"instruction: the last came {now_s - self._told_s:.1f} s ago"
            for health in self._health.values():
                if problem := health.problem(now_s):
                    return problem
            if problem := self._mixed(now_s):
                return problem
            # Streams may all be alive and never have stamps that fit together.
            observation = self._assembler.latest()
            if observation is None or (self._max_age and now_ns - observation.stamp_ns >
                                       self._max_age * 1e9):
                why = self._assembler.unpaired() or f"the newest is over {self._max_age:g} s old"
                return f"no observation: {why}"
            return ""

    def refusal(self, now_s: float) -> str:
        """Return what is wrong with the last message of a topic, empty if nothing is.

        It ceases to matter when a good message comes, or none for a while.
        """
        refused = dict(self._refused)  # copies at once: callbacks write without the lock
        return next((f"{topic}: {text}" for topic, (text, until_s) in refused.items()
                     if now_s < until_s), "")

    def _mixed(self, now_s: float) -> str:
        """Return which topic has messages of several publishers, empty if none has."""
        for topic, publishers in self._publishers.items():
            if any(p.is_mixed(now_s) for p in publishers.values()):
                names = other_publishers(self._node, self._node.resolve_topic_name(topic), 0)
                if len(names) > 1:
                    return f"{topic} has several publishers: {', '.join(names)}"
        return ""

    def describe(self, now_s: float) -> dict[str, str]:
        """Return age and rate of every stream, for diagnostics."""
        with self.changed:
            values = {}
            for name, health in self._health.items():
                age = health.age(now_s)
                values[f"age_s {name}"] = f"{age:.3f}" if age < 1e6 else "never"
                values[f"rate_hz {name}"] = f"{health.rate():.1f}"
            # dict() copies at once: callbacks count without the lock.
            return values | {f"rejected {t}": str(n) for t, n in dict(self.rejected).items()}

    def _subscribe(self, stream: InputStream):
        topic = stream.settings.topic
        health = self._health[stream.name] = StreamHealth(stream.name, stream.settings)
        self._publishers.setdefault(topic, {})

        def callback(msg, info: dict) -> None:
            cleared = self._cleared
            if not self.active:
                return
            try:
                value = stream.decode(msg)
                if stream.is_shared and not value:
                    self._note_others(topic, stream, msg)
                    return
                stamp = self.checked_stamp(msg.header.stamp) if stream.is_stamped else self._now()
                image, is_same_image = None, False
                if stream.camera:
                    # Shrunk here, while the other cameras are still on their way, and because a
                    # second of large images takes memory.
                    image, value = value, self._seen(stream.camera, value)
                    is_same_image = health.is_same_image(image)
                with self.changed:
                    if cleared == self._cleared:  # else the message is from before
                        self._note_publisher(topic, stream, value, info)
                        self._add(stream, health, stamp, value, image, is_same_image)
                        self._refused.pop(topic, None)
            except InputError as err:
                self._refuse(topic, err, max(stream.settings.timeout, REFUSAL_S))

        def on_incompatible_qos(event) -> None:
            self._refuse(topic, MessageError(
                "A publisher is best effort, and 'reliable' of the robot contract asks for more, "
                "so nothing comes from it; set 'reliable: false' there."), math.inf)

        return self._node.create_subscription(
            message_class(stream.type), topic, callback, stream_qos(stream.settings),
            event_callbacks=SubscriptionEventCallbacks(incompatible_qos=on_incompatible_qos))

    def _note_others(self, topic: str, stream: InputStream, msg) -> None:
        """Pass over joint states without any of the policy's joints, as those of a mobile base.

        As long as no joint of the policy has come, the names they have are told.
        """
        with self.changed:
            if not self._publishers[topic]:
                self._assembler.note_others(stream.name, measured_joints(msg))

    def _note_publisher(self, topic: str, stream: InputStream, value, info: dict) -> None:
        number, now_s = info.get("publication_sequence_number"), time.monotonic()
        for part in value if stream.is_shared else (stream.name,):
            self._publishers[topic].setdefault(part, Interleaving()).arrived(number, now_s)

    def _refuse(self, topic: str, err: InputError, seconds: float) -> None:
        self.rejected[topic] += 1
        self._refused[topic] = (str(err), time.monotonic() + seconds)
        self._report(topic, err)

    def _seen(self, camera: str, image: np.ndarray) -> PolicyImage:
        view = self._views[camera]
        part = crop(image, view.crop)
        if not part.size:
            raise MessageError(f"The image is {image.shape[1]}x{image.shape[0]}, and of that the "
                               "policy's crop leaves nothing; set a larger size at the camera's "
                               "driver.")
        return PolicyImage(shrink(part, view.height, view.width))

    def _add(self, stream: InputStream, health: StreamHealth, stamp_ns: int, value,
             image: np.ndarray | None, is_same_image: bool) -> None:
        """Keep a decoded message, and watch a camera's image as it came; the caller locks."""
        self._clock_reset |= stream.add(self._assembler, stamp_ns, value)
        if stream.camera:
            self._arrived[stamp_ns] = time.monotonic()
            last, times = self._repeats.get(stream.camera, (None, 0))
            self._repeats[stream.camera] = stamp_ns, times + 1 if last == stamp_ns else 1
            if stream.camera == self._first_camera:
                self.images += 1
                self._numbers[stamp_ns] = self.images
            for kept in (self._arrived, self._numbers):
                if len(kept) > ARRIVALS:
                    del kept[next(iter(kept))]
            health.arrived(time.monotonic(), stamp_ns, image, is_same_image)
        else:
            # A joint that no longer comes makes the stream stale, whatever the others do.
            complete = self._assembler.complete_until(stream.name)
            if complete is not None:
                health.arrived(time.monotonic(), complete)
        self.changed.notify_all()

    def _now(self) -> int:
        """Return the stamp of a message that has none: when it comes."""
        now_ns = self._node.get_clock().now().nanoseconds
        if not now_ns:
            raise MessageError("The message counts from when it comes, and there is no time yet; "
                               "start what publishes /clock, or leave use_sim_time out.")
        return now_ns

    def checked_stamp(self, stamp) -> int:
        """Return a header's stamp, ns; raises ``MessageError`` if the contract refuses it."""
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
        # Kept while inactive too: it is published once, and latched.
        self._told_s = time.monotonic()
        if msg.data == self._assembler.instruction:
            return
        with self.changed:  # a wrong instruction stops the arm, instead of the old one going on
            self._assembler.instruction = None
        try:
            known = self._match_instruction(msg.data)
            if fold(known) != fold(msg.data):
                self._node.get_logger().info(f"instruction {msg.data!r} is new to the policy; "
                                             f"nearest known: {known!r}")
            with self.changed:
                self._assembler.instruction = msg.data
                self.changed.notify_all()
            self._refused.pop(self._contract.instruction, None)
        except InputError as err:
            self._refuse(self._contract.instruction, err, math.inf)

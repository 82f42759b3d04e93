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

"""Names, message types and quality of service of the topics that nodes subscribe to."""

from __future__ import annotations

import importlib
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription

from tinyvla_ros.arm.contract_inputs import CameraStream, Stream
from tinyvla_ros.arm.contract_streams import InputStream
from tinyvla_ros.bags.metadata import qos_profile
from tinyvla_ros.core.errors import InputError

# Messages that may wait in the middleware while a recorder or a policy is busy. A policy needs
# only the newest image, and the middleware never frees the memory of a queue.
DEPTH, LARGE_DEPTH = 500, 60
POLICY_DEPTH, POLICY_CAMERA_DEPTH = 20, 2
# Of several subscriptions of one topic each takes what it can: that is no fault to log.
QUIET = SubscriptionEventCallbacks(use_default_callbacks=False)
LARGE = ("sensor_msgs/msg/Image", "sensor_msgs/msg/PointCloud2")


def patterns(name: str, texts: tuple[str, ...]) -> list[re.Pattern]:
    """Compile a parameter's regular expressions.

    Raises:
        InputError: one of them is no regular expression.
    """
    try:
        return [re.compile(t) for t in texts if t]
    except re.error as err:
        raise InputError(f"Parameter '{name}' holds {err.pattern!r}, which is neither a topic "
                         f"name nor a regular expression ({err}).") from None


def fits(topic: str, patterns: list[re.Pattern]) -> bool:
    """Return whether a pattern matches a topic, with its leading slash or without."""
    return any(p.fullmatch(topic) or p.fullmatch(topic[1:]) for p in patterns)


def message_class(name: str) -> type:
    """Return the class of ``package/msg/Type``.

    Raises:
        InputError: it is not installed here.
    """
    package, _, kind = name.split("/")
    try:
        return getattr(importlib.import_module(f"{package}.msg"), kind)
    except (ImportError, AttributeError):
        raise InputError(f"The message type {name} is not installed; source the workspace that "
                         "has it.") from None


def subscription_qos(kind: str, offered: QoSProfile) -> QoSProfile:
    """Return the QoS that gets all that a publisher with ``offered`` sends."""
    return QoSProfile(depth=LARGE_DEPTH if kind in LARGE else DEPTH,
                      history=HistoryPolicy.KEEP_LAST, reliability=offered.reliability,
                      durability=offered.durability)


def offered_qos(qos: QoSProfile) -> dict:
    """Return a QoS profile in the words of rosbag2's metadata.yaml."""
    return qos_profile(qos.history.name.lower(), qos.depth, qos.reliability.name.lower(),
                       qos.durability.name.lower())


def stream_qos(stream: Stream) -> QoSProfile:
    """Return the quality of service that a policy subscribes with."""
    camera = isinstance(stream, CameraStream)
    return QoSProfile(depth=POLICY_CAMERA_DEPTH if camera else POLICY_DEPTH,
                      reliability=ReliabilityPolicy.RELIABLE if stream.reliable
                      else ReliabilityPolicy.BEST_EFFORT)


def refuse_same_topic(node: Node, streams: Iterable[InputStream]) -> None:
    """Refuse streams of states that are one topic here, after namespace and remapping.

    Raises:
        InputError: two arms would both move by the joints of one.
    """
    names: dict[str, str] = {}
    for stream in streams:
        topic = node.resolve_topic_name(stream.settings.topic)
        if not stream.camera and (other := names.setdefault(topic, stream.name)) != stream.name:
            raise InputError(f"{other} and {stream.name} would both read {topic}; give each its "
                             "own topic in the robot contract, or correct the remapping.")


def subscribe_to_all(node: Node, kind: type, topic: str, callback: Callable[[object], None],
                     depth: int) -> list[Subscription]:
    """Subscribe to publishers that keep messages for later subscribers and to those that do not.

    A subscription that asks for kept messages (transient local) gets none of a publisher that
    keeps none, such as ``ros2 topic pub``. So there are two, and a message that comes by both is
    handed over once.

    Args:
        node: the caller.
        kind: class of the messages.
        topic: relative or absolute name.
        callback: called with every message.
        depth: messages that may wait, and that late subscribers get of each publisher.
    """
    handled: deque[tuple] = deque(maxlen=2 * depth + 10)

    def take(msg, info: dict, is_kept: bool) -> None:
        key = (info["source_timestamp"], info["publication_sequence_number"])
        # The messages that a publisher kept come in its order, and the last of them counts.
        if key in (list(handled)[-1:] if is_kept else handled):
            return
        handled.append(key)
        callback(msg)

    def subscribe(durability: DurabilityPolicy, is_kept: bool) -> Subscription:
        qos = QoSProfile(depth=depth, durability=durability,
                         reliability=ReliabilityPolicy.RELIABLE)
        return node.create_subscription(kind, topic, lambda m, i: take(m, i, is_kept), qos,
                                        event_callbacks=QUIET)

    return [subscribe(DurabilityPolicy.TRANSIENT_LOCAL, True),
            subscribe(DurabilityPolicy.VOLATILE, False)]


def waiting_messages(subscription: Subscription, most: int) -> Iterator[object]:
    """Yield messages that the middleware kept, at most so many, without an executor.

    Bytes of a subscription that is ``raw``. An executor that has it, too, finds none any more.
    """
    for _ in range(most):
        with subscription.handle:
            taken = subscription.handle.take_message(subscription.msg_type, subscription.raw)
        if taken is None:
            return
        yield taken[0]

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

"""Give the messages of a running graph to a viewer; nothing is published."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial

from tinyvla_ros.bags.definitions import typestore
from tinyvla_ros.bags.recorded_message import RawMessage
from tinyvla_ros.nodes.recorder.recorded_topics import RecordedTopics
from tinyvla_ros.nodes.survey.stream_meter import listening_node
from tinyvla_ros.view.scene import Incoming, Scene

# Period of looking for new topics and of handing over what was collected, s. More often would take
# more time: Rerun wants a call for each of some 80 lines.
PERIOD_S = 0.5
# The layout is made when nothing new has come for so long, s: each one takes a person's own away.
QUIET_S = 1.0
# Before it says that there is nothing, s: nodes take a while to be discovered.
PATIENCE_S = 3.0


class _Watch:
    """Subscribes to what is shown, and tells what there is."""

    def __init__(self, node, scene: Scene, say: Callable[[str], None]):
        self._node, self._scene, self._say = node, scene, say
        self._kinds: dict[str, str] = {}
        self._topics = RecordedTopics(
            node, node.resolve_topic_name("episode"), self._is_shown,
            lambda *about: None, lambda *about: None, lambda topic: None, self._on_message)
        self._began_s = time.monotonic()
        self._new_s: float | None = None  # when something new came last
        self._known = self._count()  # a contract names channels before anything comes
        self._said_nothing = self._has_arranged = False

    def look(self) -> None:
        """Subscribe to what is new in the graph, and arrange it when that is all."""
        now = time.monotonic()
        self._kinds |= {name: kinds[0] for name, kinds in self._node.get_topic_names_and_types()
                        if len(kinds) == 1}
        self._topics.discover()
        if self._count() != self._known:
            self._known, self._new_s = self._count(), now
        elif self._new_s is not None and now - self._new_s > QUIET_S:
            self._new_s = None
            self._has_arranged = True
            if self._scene.arrange():
                contents = self._scene.contents
                self._say(f"showing {len(contents.cameras)} camera(s), "
                          f"{len(contents.channels)} action channel(s), "
                          f"{len(contents.sensors)} group(s) of sensor values")
        if not (self._has_arranged or self._new_s or self._said_nothing) \
                and now - self._began_s > PATIENCE_S:
            self._said_nothing = True
            self._say("nothing to show is published on ROS_DOMAIN_ID "
                      f"{os.environ.get('ROS_DOMAIN_ID') or 0} yet; waiting for it")

    def _count(self) -> int:
        contents = self._scene.contents
        return len(contents.cameras) + len(contents.channels) + sum(
            map(len, contents.groups.values()))

    def _is_shown(self, topic: str) -> bool:
        return self._scene.is_shown(topic, self._kinds.get(topic, ""))

    def _on_message(self, message: RawMessage) -> None:
        kind = self._kinds[message.topic]
        self._scene.add(Incoming(message.topic, kind, message.time_ns, message.data,
                                 partial(typestore().deserialize_cdr, message.data, kind)))


def watch_graph(scene: Scene, flush: Callable[[], None], namespace: str,
                is_over: Callable[[], bool], say: Callable[[str], None]) -> None:
    """Give messages to a scene until it is over.

    Args:
        scene: gets them.
        flush: called some times a second.
        namespace: of the robot; empty for none.
        is_over: asked some times a second.
        say: gets sentences about what there is.

    Raises:
        InputError: ROS cannot start.
    """
    with listening_node("view", namespace) as (node, spin):
        watch = _Watch(node, scene, say)
        while not is_over():
            watch.look()
            spin(PERIOD_S, is_over)
            flush()
    flush()

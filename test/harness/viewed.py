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

"""A viewer that writes down what it is told, and scenes that tell it."""

from __future__ import annotations

from functools import partial

from harness.bags import CONTRACT, Sent
from harness.ros_messages import STORE, serialize
from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.core.configuration import parse
from tinyvla_ros.view.robot_topics import RobotTopics
from tinyvla_ros.view.scene import Incoming, Scene


class NotingViewer:
    """Lists of what it was told; see ``tinyvla_ros.view.viewer.Viewer``."""

    def __init__(self, wanted: bool = True):
        self.wanted = wanted
        self.images, self.all_values, self.plans = [], [], []
        self.states, self.events, self.contents = [], [], []

    def wants_image(self, camera):
        return self.wanted

    def image(self, at_ns, camera, data, kind):
        self.images.append((at_ns, camera, data, kind))

    def values(self, at_ns, group, values):
        self.all_values.append((at_ns, group, values))

    def plan(self, plan):
        self.plans.append(plan)

    def state(self, at_ns, name, text):
        self.states.append((at_ns, name, text))

    def event(self, at_ns, level, source, text):
        self.events.append((at_ns, level, source, text))

    def arrange(self, contents):
        self.contents.append(contents)

    def flush(self):
        pass

    def of(self, group: str) -> list[tuple[int, dict[str, float]]]:
        """Return times and values of a group."""
        return [(at, values) for at, g, values in self.all_values if g == group]


def contract(**changes) -> RobotContract:
    """Return the contract of the bags, with other parts."""
    return parse(RobotContract, {**CONTRACT, **changes}, "contract")


def tell(sent: list[Sent], robot: RobotTopics | None = None, wanted: bool = True, **options
         ) -> NotingViewer:
    """Return what a viewer is told of messages, in the order of their receive times."""
    viewer = NotingViewer(wanted)
    scene = Scene(viewer, robot or RobotTopics(contract()), **options)
    for topic, kind, log_ns, message in sorted(sent, key=lambda s: s.log_ns):
        data = serialize(message)
        scene.add(Incoming(topic, kind, log_ns, data,
                           partial(STORE.deserialize_cdr, data, kind)))
    scene.arrange()
    return viewer

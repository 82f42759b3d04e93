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

"""Show a whole bag."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.arm.contract_streams import contract_streams
from tinyvla_ros.bags.reader import Bag
from tinyvla_ros.bags.topics import contract_of, find_commands, find_topic
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.view.robot_topics import RobotTopics
from tinyvla_ros.view.scene import Incoming, Scene

# Values are handed over in parts of so many messages.
_PART = 5000


def robot_of(bag: Bag, robot: Path | None) -> RobotTopics:
    """Return what the topics of a bag mean.

    Args:
        bag: ``bag.namespace`` is found, if the bag has only one.
        robot: contract; None for the one in the bag, if there is one.

    Raises:
        InputError: the contract cannot be used, or it is not clear which namespace is meant.
    """
    contract: RobotContract | None = None
    if robot is not None or "robot_contract" in bag.custom:
        contract = contract_of(bag, robot)
        for stream in contract_streams(contract, contract.all_cameras):
            find_topic(bag, stream.recorded, stream.recorded_types, stream.name)
        for output in contract.outputs:
            find_commands(bag, output)
    return RobotTopics(contract, bag.namespace)


def show_bag(bag: Bag, scene: Scene, flush: Callable[[], None],
             is_over: Callable[[], bool] = lambda: False) -> int:
    """Give all messages of a bag to a scene.

    Args:
        bag: is read once.
        scene: gets them.
        flush: called now and then.
        is_over: asked for every message; ends it early.

    Returns:
        How many messages were shown.

    Raises:
        InputError: the bag is damaged, or has nothing that is shown.
    """
    shown = [name for name, topic in bag.topics.items() if scene.is_shown(name, topic.type)]
    if not any(bag.topics[name].count for name in shown):
        where = f" in namespace {bag.namespace}" if bag.namespace else ""
        raise InputError(f"{bag.path} has nothing to show{where}: no image, joint state, "
                         "trajectory or diagnostics; give a recording of a robot, and check "
                         "--namespace.")
    count = 0
    for count, message in enumerate(bag.messages(shown), 1):
        if is_over():
            break
        scene.add(Incoming(message.topic.name, message.topic.type, message.time_ns, message.data,
                           partial(bag.decode, message)))
        if count % _PART == 0:
            flush()
    scene.arrange()
    flush()
    return count

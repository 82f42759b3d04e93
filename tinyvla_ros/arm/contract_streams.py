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

"""The table from a robot contract to the topics that observations are made of.

The policy node, ``tinyvla robot check --live``, bag replay and bag export all read it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.arm.contract_inputs import CameraStream, Stream
from tinyvla_ros.arm.observation.assembler import EE_STATE, ObservationAssembler
from tinyvla_ros.core.ros.messages import image_to_array, joint_positions, pose_position
from tinyvla_ros.policy.config import DriverConfig

IMAGE, COMPRESSED_IMAGE = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
JOINT_STATE, POSE = "sensor_msgs/msg/JointState", "geometry_msgs/msg/PoseStamped"


@dataclass(frozen=True)
class InputStream:
    """A topic that observations are made of.

    Attributes:
        name: ``camera/<name>``, ``joint_states`` or ``ee_pose``.
        settings: its part of the contract, with the topic.
        type: of its messages on a robot.
        decode: returns the checked value of a message; raises ``MessageError``.
        add: gives a value and its stamp to an assembler; see ``ObservationAssembler.add_image``.
        camera: name of the camera, empty for other streams.
        joints: joints that must come, in one message or several.
        recorded: topics under which a bag may hold it, the likeliest first.
        recorded_types: types of its messages there.
    """

    name: str
    settings: Stream
    type: str
    decode: Callable[[object], object]
    add: Callable[[ObservationAssembler, int, object], bool]
    camera: str = ""
    joints: frozenset[str] = frozenset()
    recorded: tuple[str, ...] = ()
    recorded_types: tuple[str, ...] = ()


def policy_streams(contract: RobotContract, config: DriverConfig) -> list[InputStream]:
    """Return the streams that a checkpoint or a person needs; ``check_contract`` accepted it."""
    names = contract.joint_names
    joints = [names.get(n, n) for n in config.state if n not in EE_STATE]
    pose = any(n in EE_STATE for n in config.state)
    return [*(_camera(contract, n) for n in config.cameras),
            *([_joints(contract, joints)] if joints else []), *([_pose(contract)] if pose else [])]


def contract_streams(contract: RobotContract, cameras: Iterable[str]) -> list[InputStream]:
    """Return the streams of some cameras, and all others that the contract names.

    Whether joints are finite is left to the caller, who knows which of them count.
    """
    return [*(_camera(contract, n) for n in cameras),
            *([_joints(contract, ())] if contract.joint_states else []),
            *([_pose(contract)] if contract.ee_pose else [])]


def make_assembler(contract: RobotContract, config: DriverConfig) -> ObservationAssembler:
    """Return what puts the messages of ``policy_streams`` together."""
    return ObservationAssembler(config, contract.stamps.tolerance_ns, contract.joint_names)


def _camera(contract: RobotContract, name: str) -> InputStream:
    settings: CameraStream = contract.all_cameras[name]
    topic = settings.topic
    return InputStream(
        f"camera/{name}", settings, COMPRESSED_IMAGE if settings.compressed else IMAGE,
        image_to_array, lambda assembler, stamp, image: assembler.add_image(name, stamp, image),
        camera=name,
        # A recorder may compress the images of a topic, or uncompress them.
        recorded=(topic, f"{topic}/compressed", topic.removesuffix("/compressed")),
        recorded_types=(IMAGE, COMPRESSED_IMAGE))


def _joints(contract: RobotContract, wanted: Collection[str]) -> InputStream:
    topic = contract.joint_states.topic
    return InputStream(
        "joint_states", contract.joint_states, JOINT_STATE,
        lambda msg: joint_positions(msg, wanted), ObservationAssembler.add_joints,
        joints=frozenset(wanted), recorded=(topic,), recorded_types=(JOINT_STATE,))


def _pose(contract: RobotContract) -> InputStream:
    topic = contract.ee_pose.topic
    return InputStream("ee_pose", contract.ee_pose, POSE, pose_position,
                       ObservationAssembler.add_pose, recorded=(topic,), recorded_types=(POSE,))

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

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.arm.contract_inputs import (
    CameraStream,
    JointStream,
    PoseStream,
    Stream,
    VectorStream,
    WrenchStream,
)
from tinyvla_ros.arm.contract_states import StateSources, fixed_states
from tinyvla_ros.arm.observation.assembler import ObservationAssembler
from tinyvla_ros.core.ros.messages import image_to_array
from tinyvla_ros.core.ros.state_messages import (
    JointReader,
    joint_values,
    named_values,
    pose_values,
    vector_values,
    wrench_values,
)
from tinyvla_ros.policy.config import DriverConfig

IMAGE, COMPRESSED_IMAGE = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
JOINT_STATE, POSE = "sensor_msgs/msg/JointState", "geometry_msgs/msg/PoseStamped"
WRENCH, VECTOR = "geometry_msgs/msg/WrenchStamped", "std_msgs/msg/Float64MultiArray"
# Type of the messages of a stream of states, and the numbers of those that do not name them.
_KINDS = {JointStream: (JOINT_STATE, None), PoseStream: (POSE, pose_values),
          WrenchStream: (WRENCH, wrench_values), VectorStream: (VECTOR, vector_values)}


@dataclass(frozen=True)
class InputStream:
    """A topic that observations are made of.

    Attributes:
        name: ``camera/<name>``, or that of a ``StateSource``.
        settings: its part of the contract, with the topic.
        type: of its messages on a robot.
        decode: returns the checked value of a message: an image, or state -> value, empty if it
            has none of the states; raises ``MessageError``.
        camera: name of the camera, empty for other streams.
        states: states that must come, in one message or several -> what messages call them.
        recorded: topics under which a bag may hold it, the likeliest first.
        recorded_types: types of its messages there.
    """

    name: str
    settings: Stream
    type: str
    decode: Callable[[object], object]
    camera: str = ""
    states: Mapping[str, str] = field(default_factory=dict)
    recorded: tuple[str, ...] = ()
    recorded_types: tuple[str, ...] = ()

    @property
    def is_shared(self) -> bool:
        """Whether several publishers may send to the topic, each other joints."""
        return self.type == JOINT_STATE

    @property
    def is_stamped(self) -> bool:
        """Whether messages tell when they were measured; others count from their arrival."""
        return self.type != VECTOR

    def add(self, assembler: ObservationAssembler, stamp_ns: int, value) -> bool:
        """Give a decoded value to an assembler; see ``ObservationAssembler.add_image``."""
        add = assembler.add_image if self.camera else assembler.add_states
        return add(self.camera or self.name, stamp_ns, value)


def policy_streams(contract: RobotContract, config: DriverConfig) -> list[InputStream]:
    """Return the streams that a checkpoint or a person needs; ``check_contract`` accepted it."""
    sources = contract.sources
    wanted: dict[str, list[str]] = {}
    for state in config.state:
        wanted.setdefault(sources.find(state).stream, []).append(state)
    return [*(_camera(contract, n) for n in config.cameras),
            *(_states(sources, n, wanted[n]) for n in sources.streams if n in wanted)]


def contract_streams(contract: RobotContract, cameras: Iterable[str],
                     only: Collection[str] = ()) -> list[InputStream]:
    """Return the streams of some cameras, and all others that the contract names.

    Whether values of joints are finite is left to the caller, who knows which of them count.

    Args:
        contract: of the robot.
        cameras: names.
        only: states that count; without any, all do.
    """
    sources = contract.sources
    found = {state: sources.find(state) for state in only}
    streams = []
    for name, settings in sources.streams.items():
        counted = [s for s, source in found.items() if source and source.stream == name]
        if isinstance(settings, JointStream):
            if counted or not only:
                streams.append(_all_joints(sources, name))
        elif counted := counted if only else sources.states(name):
            streams.append(_states(sources, name, counted))
    return [*(_camera(contract, n) for n in cameras), *streams]


def make_assembler(contract: RobotContract, config: DriverConfig) -> ObservationAssembler:
    """Return what puts the messages of ``policy_streams`` together."""
    return ObservationAssembler(
        config, contract.stamps.tolerance_ns,
        {s.name: s.states for s in policy_streams(contract, config) if not s.camera})


def _camera(contract: RobotContract, name: str) -> InputStream:
    settings: CameraStream = contract.all_cameras[name]
    topic = settings.topic
    return InputStream(
        f"camera/{name}", settings, COMPRESSED_IMAGE if settings.compressed else IMAGE,
        image_to_array, camera=name,
        # A recorder may compress the images of a topic, or uncompress them.
        recorded=(topic, f"{topic}/compressed", topic.removesuffix("/compressed")),
        recorded_types=(IMAGE, COMPRESSED_IMAGE))


def _states(sources: StateSources, name: str, wanted: Collection[str]) -> InputStream:
    settings = sources.streams[name]
    kind, read = _KINDS[type(settings)]
    of = {state: sources.find(state) for state in wanted}
    if read is None:
        decode = JointReader({state: (s.field, s.part) for state, s in of.items()})
    else:
        names = fixed_states(name, settings)
        places = {state: names.index(state) for state in wanted}

        def decode(msg) -> dict[str, float]:
            return named_values(names, read(msg), places)

    return InputStream(name, settings, kind, decode,
                       states={state: s.label for state, s in of.items()},
                       recorded=(settings.topic,), recorded_types=(kind,))


def _all_joints(sources: StateSources, name: str) -> InputStream:
    """Return a stream of whatever joints there are, and of the velocities and efforts listed."""
    settings = sources.joints[name]
    listed = [(state, sources.listed[state]) for state in sources.states(name)]

    def decode(msg) -> dict[str, float]:
        values = {sources.of_joint(name, joint): value
                  for joint, value in joint_values(msg, "position").items()}
        values.pop(None, None)
        for quantity in {s.field for _, s in listed if not s.is_position}:
            measured = joint_values(msg, quantity)
            values |= {state: measured[s.part] for state, s in listed
                       if s.field == quantity and s.part in measured}
        return values

    return InputStream(name, settings, JOINT_STATE, decode, recorded=(settings.topic,),
                       recorded_types=(JOINT_STATE,))

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

"""What the survey of a running graph returns (``nodes/survey/graph_survey.py``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Timing:
    """When the messages of a topic came.

    Attributes:
        count: messages.
        rate: per second, 0 if there are too few.
        longest_gap: between two of them, s.
        stamps: of their headers, ns, in order of arrival.
        ages: seconds from stamp to arrival, by this machine's clock.
    """

    count: int = 0
    rate: float = 0.0
    longest_gap: float = 0.0
    stamps: tuple[int, ...] = ()
    ages: tuple[float, ...] = ()


@dataclass(frozen=True)
class FoundStream:
    """A topic that sensors publish.

    Attributes:
        topic: without the leading slash.
        publishers: names of the nodes.
        reliable: whether all of them offer reliable delivery.
        timing: what was measured.
        error: why its last bad message could not be used, empty if all were good.
    """

    topic: str
    publishers: tuple[str, ...] = ()
    reliable: bool = True
    timing: Timing = Timing()
    error: str = ""


@dataclass(frozen=True)
class FoundCamera(FoundStream):
    """A topic of images.

    Attributes:
        compressed: CompressedImage instead of Image.
        size: (width, height), None if no image could be decoded.
        encoding: as the messages state it.
        repeats: whether an image came twice in a row.
    """

    compressed: bool = False
    size: tuple[int, int] | None = None
    encoding: str = ""
    repeats: bool = False


@dataclass(frozen=True)
class FoundJoints(FoundStream):
    """A topic of joint states.

    Attributes:
        positions: joint -> its last position, NaN if it is not finite.
    """

    positions: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class FoundPose(FoundStream):
    """A topic of poses; ``frame`` is that of its headers."""

    frame: str = ""


@dataclass(frozen=True)
class FoundController:
    """A topic that takes commands.

    Attributes:
        topic: without the leading slash.
        kind: type of the contract's output.
        node: name of the node that was asked, empty if none answered.
        joints: what its parameter ``joints`` names.
        interface: what it commands, e.g. ``position``; empty if unknown.
        limits: joint -> name of a limit, like ``max_velocity`` -> value.
        commanded: channel -> smallest and largest value in chunks that were sent meanwhile.
    """

    topic: str
    kind: str
    node: str = ""
    joints: tuple[str, ...] = ()
    interface: str = ""
    limits: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    commanded: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class FoundRobot:
    """Everything that was found.

    Attributes:
        seconds: how long was listened.
        simulated_time: whether somebody publishes /clock.
        description: text of the URDF, empty if none is published.
        joints: the topic of joint states that was taken, None without any.
        other_joints: other topics of joint states.
        cameras: all image topics with a publisher.
        poses: topics of poses.
        wrenches: topics of forces.
        controllers: topics that take commands.
    """

    seconds: float
    simulated_time: bool
    description: str
    joints: FoundJoints | None
    other_joints: tuple[str, ...]
    cameras: tuple[FoundCamera, ...]
    poses: tuple[FoundPose, ...]
    wrenches: tuple[FoundStream, ...]
    controllers: tuple[FoundController, ...]

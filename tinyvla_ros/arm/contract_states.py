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

"""Which stream of a robot contract measures a state, and what its messages call it.

A state has one source. Names that the contract lists come first: of the pose, of wrenches and
vectors, in ``names``, ``velocities`` and ``efforts``. Any other state is a joint position on the
topic with the longest ``prefix`` that it begins with.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tinyvla_ros.arm.contract_inputs import (
    EE_STATE,
    JointStream,
    PoseStream,
    Stream,
    VectorStream,
    WrenchStream,
    wrench_states,
)

JOINTS, POSE = "joint_states", "ee_pose"
# A field of sensor_msgs/JointState -> the field of ``JointStream`` that lists its states.
_DERIVED = {"velocity": "velocities", "effort": "efforts"}


@dataclass(frozen=True)
class StateSource:
    """Where a state comes from.

    Attributes:
        stream: ``joint_states``, ``joint_states/<name>``, ``ee_pose``, ``wrench/<name>`` or
            ``vector/<name>``.
        field: ``position``, ``velocity`` or ``effort`` of a joint state; empty for others.
        part: the joint, or the state itself for other messages.
    """

    stream: str
    field: str
    part: str

    @property
    def label(self) -> str:
        """What to call it in sentences about messages."""
        return self.part if self.field in ("", "position") else f"{self.field} of {self.part}"

    @property
    def is_position(self) -> bool:
        """Whether it is the position of a joint."""
        return self.field == "position"


class StateSources:
    """The sources of all states of a robot contract.

    Attributes:
        streams: name -> settings of every stream that measures states.
        listed: state -> source, of all states that the contract names.
    """

    def __init__(self, joint_states: JointStream | Mapping[str, JointStream] | None,
                 ee_pose: PoseStream | None, wrenches: Mapping[str, WrenchStream],
                 vectors: Mapping[str, VectorStream]):
        several = joint_states or {}
        self.joints: dict[str, JointStream] = {JOINTS: several} \
            if isinstance(several, JointStream) else \
            {f"{JOINTS}/{name}": stream for name, stream in several.items()}
        self.streams: dict[str, Stream] = {
            **self.joints, **({POSE: ee_pose} if ee_pose else {}),
            **{f"wrench/{n}": s for n, s in wrenches.items()},
            **{f"vector/{n}": s for n, s in vectors.items()}}
        self.listed: dict[str, StateSource] = {}
        self._twice = ""
        for state, source in self._listed():
            if (other := self.listed.setdefault(state, source)) != source:
                self._twice = self._twice or (
                    f"state {state!r} would come from {other.stream} and from {source.stream}; "
                    "give it another name in one of them")

    def find(self, state: str) -> StateSource | None:
        """Return the source of a state, None if the contract has none for it."""
        if state in self.listed:
            return self.listed[state]
        if state in EE_STATE:
            return None
        takers = [name for name, stream in self.joints.items()
                  if self._takes_any(stream) and state.startswith(stream.prefix)
                  and state != stream.prefix]
        if not takers:
            return None
        stream = max(takers, key=lambda n: len(self.joints[n].prefix))
        return StateSource(stream, "position", state.removeprefix(self.joints[stream].prefix))

    def of_joint(self, stream: str, joint: str) -> str | None:
        """Return the state that the position of a joint on a topic is, None if it is none."""
        settings = self.joints[stream]
        for state, name in settings.names.items():
            if name == joint:
                return state
        state = settings.prefix + joint
        return state if self.find(state) == StateSource(stream, "position", joint) else None

    def states(self, stream: str) -> list[str]:
        """Return the states of a stream that the contract names."""
        return [state for state, source in self.listed.items() if source.stream == stream]

    def problem(self) -> str:
        """Return why states could be confused, or not be found; empty if neither."""
        return next(self._problems(), "")

    def _takes_any(self, stream: JointStream) -> bool:
        return bool(stream.prefix) or not stream.names or len(self.joints) == 1

    def _listed(self) -> Iterator[tuple[str, StateSource]]:
        for name, stream in self.joints.items():
            for state, joint in stream.names.items():
                yield state, StateSource(name, "position", joint)
        for name, stream in self.joints.items():
            for field, derived in _DERIVED.items():
                for state in getattr(stream, derived):
                    joint = stream.names.get(state, state.removeprefix(stream.prefix))
                    yield f"{state}.{field}", StateSource(name, field, joint)
        for name, stream in self.streams.items():
            for state in fixed_states(name, stream):
                yield state, StateSource(name, "", state)

    def _problems(self) -> Iterator[str]:
        topics: dict[str, str] = {}
        for name, stream in self.streams.items():
            if (other := topics.setdefault(stream.topic, name)) != name:
                yield (f"{_path(other)} and {_path(name)} both read {stream.topic}; give each its "
                       "own topic, or one of them all states")
        if self._twice:
            yield self._twice
        prefixes: dict[str, str] = {}
        for name, stream in self.joints.items():
            if self._takes_any(stream) and \
                    (other := prefixes.setdefault(stream.prefix, name)) != name:
                what = f"the prefix {stream.prefix!r}" if stream.prefix else \
                    "neither prefix nor names"
                yield (f"{_path(other)} and {_path(name)} both have {what}, so that it is unknown "
                       "whose a joint is; give each its own prefix, or all names")
        for name, stream in self.joints.items():
            for field, derived in _DERIVED.items():
                for state in getattr(stream, derived):
                    source = self.find(state)
                    if source is None or source.stream != name or source.field != "position":
                        yield (f"{_path(name)}.{derived} names {state!r}, which is no state of "
                               f"{stream.topic}; name the state of a joint there, whose {field} "
                               f"becomes the state '{state}.{field}'")


def fixed_states(name: str, stream: Stream) -> tuple[str, ...]:
    """Return the states of a stream in the order of its messages; empty for joint states."""
    if isinstance(stream, PoseStream):
        return EE_STATE
    if isinstance(stream, WrenchStream):
        return wrench_states(name.partition("/")[2])
    return stream.names if isinstance(stream, VectorStream) else ()


def _path(stream: str) -> str:
    """Return where a stream is in a contract's file."""
    kind, _, name = stream.partition("/")
    return ".".join(filter(None, ({"wrench": "wrenches", "vector": "vectors"}.get(kind, kind),
                                  name)))

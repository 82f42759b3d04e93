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

"""What the topics of a robot mean, by its contract."""

from __future__ import annotations

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.arm.contract_outputs import Output
from tinyvla_ros.arm.contract_streams import InputStream, contract_streams
from tinyvla_ros.core.types import ActionChunk
from tinyvla_ros.view.viewer import Limits


class RobotTopics:
    """Streams and outputs of a contract by topic; nothing where there is no contract.

    Attributes:
        limits: channel -> its limits.
        turns: channel -> one turn, 0 where it has ends.
        namespace: of the robot, without slashes around; empty for none.
        instruction: topic of the instruction.

    Args:
        contract: of the robot, None if it is not known.
        namespace: in which its relative names are.
    """

    def __init__(self, contract: RobotContract | None, namespace: str = ""):
        self.namespace = namespace.strip("/")
        self.limits: dict[str, Limits] = {}
        self.turns: dict[str, float] = {}
        self.instruction = self.full("instruction")
        self._streams: dict[str, list[InputStream]] = {}
        self._outputs: dict[str, Output] = {}
        self._channels: dict[str, str] = {}  # state -> the channel that it measures
        if contract is None:
            return
        self.instruction = self.full(contract.instruction)
        for name, c in contract.actions.items():
            low, high = (None, None) if c.continuous else (c.low, c.high)
            self.limits[name] = Limits(c.unit, low, high, c.velocity)
            self.turns[name] = c.turn
            if c.state is not None:
                self._channels[c.state] = name
        for stream in contract_streams(contract, ()):
            self._streams.setdefault(self.full(stream.settings.topic), []).append(stream)
        for output in contract.outputs:
            self._outputs[self.full(output.topic)] = output

    def full(self, name: str) -> str:
        """Return a topic's name with the namespace that it is in."""
        if name.startswith("/"):
            return name
        return f"/{self.namespace}/{name}" if self.namespace else f"/{name}"

    def label(self, topic: str) -> str:
        """Return a topic's name as people say it, without slash and namespace."""
        return topic.removeprefix(f"/{self.namespace}/" if self.namespace else "/").lstrip("/")

    def is_shown(self, topic: str) -> bool:
        """Return whether a topic is this robot's, or everybody's."""
        return not self.namespace or topic.startswith(f"/{self.namespace}/") or \
            topic in ("/clock", "/diagnostics", self.instruction, *self._streams, *self._outputs)

    def is_output(self, topic: str) -> bool:
        """Return whether commands of the contract go to a topic."""
        return topic in self._outputs

    def measured(self, topic: str, msg) -> dict[str, float]:
        """Return channel -> measured position, of a message of a stream.

        Raises:
            MessageError: it cannot be used.
        """
        states: dict[str, float] = {}
        for stream in self._streams.get(topic, ()):
            states |= stream.decode(msg)
        return {self._channels[s]: v for s, v in states.items() if s in self._channels}

    def commanded(self, topic: str, msg) -> dict[str, float]:
        """Return channel -> value, of a message of an output that is no trajectory."""
        output = self._outputs[topic]
        if output.type == "twist":
            parts = [target.split(".") for target in output.targets]
            sent = [getattr(getattr(msg.twist, part), axis) for part, axis in parts]
        else:
            sent = list(getattr(msg, "data", ()))
        # Of a message with fewer numbers, those that are there.
        return {name: (float(value) - place.offset) / place.scale for (name, place), value
                in zip(output.channels.items(), sent, strict=False)}

    def as_channels(self, topic: str, chunk: ActionChunk) -> ActionChunk:
        """Return a sent trajectory with the names and in the units of the channels."""
        output = self._outputs.get(topic)
        if output is None:
            return chunk
        places = {place.to or name: (name, place) for name, place in output.channels.items()}
        actions, names = chunk.actions.copy(), []
        for i, target in enumerate(chunk.channels):
            name, place = places.get(target, (target, None))
            names.append(name)
            if place is not None:
                actions[:, i] = (actions[:, i] - place.offset) / place.scale
        return ActionChunk(chunk.stamp_ns, tuple(names), actions, chunk.dt)

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

"""Messages on the ``episode`` topic: an episode begins, ends or is aborted.

On the wire an event is a diagnostic_msgs/DiagnosticStatus: ``message`` is the kind, ``values`` are
the rest as text. Nothing here imports ROS.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pydantic import TypeAdapter, ValidationError

from tinyvla_ros.core.errors import MessageError

BEGIN, END, ABORT = "begin", "end", "abort"
_OUTCOMES = {"true": "success", "false": "failure"}


@dataclass(frozen=True)
class EpisodeEvent:
    """One message on the ``episode`` topic.

    Attributes:
        kind: ``begin``, ``end`` or ``abort``; other kinds are allowed and mean nothing to us.
        values: text by name. The simulator's have ``index``, ``total``, ``task``, ``seed`` and
            ``start_ns``, ``run``; ``begin`` also ``instruction``; ``end`` also ``success``,
            ``steps``, ``return``, ``chunks``, ``latency_ms`` and ``conditions``, in real time
            ``real_time_factor``, ``held_steps``, ``camera_rate``, ``skipped_frames`` and
            ``frame_ms``. A person's ``begin`` has ``commander``; an ``abort`` with ``discard``
            (``true``) throws the episode away.
    """

    kind: str
    values: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def make(cls, kind: str, values: Mapping[str, object]) -> EpisodeEvent:
        """Return an event; values become text, lists and dictionaries become JSON."""
        return cls(kind, {k: json.dumps(v) if isinstance(v, list | dict) else str(v)
                          for k, v in values.items()})

    @classmethod
    def read(cls, msg) -> EpisodeEvent:
        """Return the event that a diagnostic_msgs/DiagnosticStatus carries."""
        return cls(msg.message, {v.key: v.value for v in msg.values})

    def fill(self, msg, new_value: Callable, name: str, hardware_id: str = "") -> None:
        """Write the event into a diagnostic_msgs/DiagnosticStatus.

        Args:
            msg: a new message; its level stays OK.
            new_value: makes a diagnostic_msgs/KeyValue.
            name: of the source, ``node: episode``.
            hardware_id: of the robot or simulator.
        """
        msg.name, msg.hardware_id, msg.message = name, hardware_id, self.kind
        msg.values = [new_value(key=k, value=v) for k, v in self.values.items()]

    @property
    def run(self) -> str:
        """Id of the run that it belongs to; empty if it does not say, as an operator's."""
        return self.values.get("run", "")

    @property
    def discards(self) -> bool:
        """Whether it is an ``abort`` that throws the episode away."""
        return self.kind == ABORT and self.values.get("discard", "").lower() == "true"

    @property
    def outcome(self) -> str:
        """``aborted``, ``discarded``, ``success``, ``failure``, or ``unknown``."""
        if self.kind == ABORT:
            return "discarded" if self.discards else "aborted"
        return _OUTCOMES.get(self.values.get("success", "").lower(), "unknown")

    def value(self, name: str, kind: type = str):
        """Return a value as another type.

        Args:
            name: of the value.
            kind: what pydantic reads from text: ``int``, ``float``, ``bool``, or ``Json[...]``.

        Raises:
            MessageError: the event has none of this name, or it is not of this type.
        """
        if name not in self.values:
            raise MessageError(f"Episode event {self.kind!r} has no {name!r}; it has "
                               f"{', '.join(self.values) or 'no values'}.")
        try:
            return TypeAdapter(kind).validate_python(self.values[name])
        except ValidationError as err:
            raise MessageError(f"Episode event {self.kind!r} has {name} {self.values[name]!r}: "
                               f"{err.errors()[0]['msg']}.") from None

# SPDX-License-Identifier: Apache-2.0
"""Messages on the ``episode`` topic: an episode begins, ends or is aborted.

On the wire an event is a diagnostic_msgs/DiagnosticStatus: ``message`` is the kind, ``values`` are
the rest as text. Nothing here imports ROS.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tinyvla_ros.core.errors import MessageError

BEGIN, END, ABORT = "begin", "end", "abort"
_FLAGS = {"true": True, "false": False}


@dataclass(frozen=True)
class EpisodeEvent:
    """One message on the ``episode`` topic.

    Attributes:
        kind: ``begin``, ``end`` or ``abort``; other kinds are allowed and mean nothing to us.
        values: text by name. The simulator's have ``index``, ``total``, ``task``, ``seed`` and
            ``start_ns``; ``begin`` also ``instruction``; ``end`` also ``success``, ``steps``,
            ``return``, ``chunks`` and ``latency_ms``, in real time ``real_time_factor`` and
            ``held_steps``.
    """

    kind: str
    values: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def make(cls, kind: str, values: Mapping[str, object]) -> EpisodeEvent:
        """Return an event; values become text, lists become JSON."""
        return cls(kind, {k: json.dumps(v) if isinstance(v, list) else str(v)
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
    def outcome(self) -> str:
        """``aborted``, ``success``, ``failure``, or ``unknown`` if it is none of these."""
        if self.kind == ABORT:
            return "aborted"
        success = _FLAGS.get(self.values.get("success", "").lower())
        return {True: "success", False: "failure", None: "unknown"}[success]

    def text(self, name: str) -> str:
        """Return a value.

        Raises:
            MessageError: the event has none of this name. The other readers raise it as well, and
                for a value of another kind.
        """
        if name not in self.values:
            raise MessageError(f"Episode event {self.kind!r} has no {name!r}; it has "
                               f"{', '.join(self.values) or 'no values'}.")
        return self.values[name]

    def integer(self, name: str) -> int:
        """Return a value as a whole number."""
        return self._read(name, int, "a whole number")

    def real(self, name: str) -> float:
        """Return a value as a number."""
        return self._read(name, float, "a number")

    def flag(self, name: str) -> bool:
        """Return a value as true or false."""
        return self._read(name, lambda text: _FLAGS[text.lower()], "True or False")

    def numbers(self, name: str) -> tuple[float, ...]:
        """Return a value as a list of numbers."""
        return self._read(name, lambda text: tuple(float(v) for v in json.loads(text)),
                          "a list of numbers in JSON")

    def _read(self, name: str, convert: Callable, valid: str):
        text = self.text(name)
        try:
            return convert(text)
        except (KeyError, TypeError, ValueError):
            raise MessageError(f"Episode event {self.kind!r} has {name} {text!r}; {valid} is "
                               "needed.") from None

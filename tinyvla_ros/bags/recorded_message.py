# SPDX-License-Identifier: Apache-2.0
"""Messages as they were recorded: serialized, with receive and publish times."""

from __future__ import annotations

from dataclasses import dataclass

# A publisher's clock that differs by more from the recorder's is not used, s.
CLOCK_TRUST_S = 1.0


class _Timed:
    """Adds ``time_ns`` to a message with ``log_ns`` and ``publish_ns``."""

    @property
    def time_ns(self) -> int:
        """When it was published; when it was received, if the two clocks do not agree."""
        agree = abs(self.log_ns - self.publish_ns) < CLOCK_TRUST_S * 1e9
        return self.publish_ns if agree else self.log_ns


@dataclass(frozen=True)
class RawMessage(_Timed):
    """A message on its way into a bag.

    Attributes:
        topic: name.
        log_ns, publish_ns: receive and publish time, ns since 1970.
        data: CDR.
        sequence: the number its publisher gave it; 0 if unknown.
    """

    topic: str
    log_ns: int
    publish_ns: int
    data: bytes
    sequence: int = 0


@dataclass(frozen=True)
class BagTopic:
    """A topic of a bag.

    Attributes:
        name: with its namespace.
        type: ``sensor_msgs/msg/Image``.
        count: messages.
        publishers: offered profiles noted when it was recorded, at least one.
    """

    name: str
    type: str
    count: int
    publishers: int


@dataclass(frozen=True)
class BagMessage(_Timed):
    """A message of a bag.

    Attributes:
        topic: its topic.
        log_ns, publish_ns: receive and publish time, ns since 1970; equal where the storage has
            no publish time, as sqlite3 has none.
        data: CDR.
    """

    topic: BagTopic
    log_ns: int
    publish_ns: int
    data: bytes

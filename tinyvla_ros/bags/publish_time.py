# SPDX-License-Identifier: Apache-2.0
"""When a recorded message was published, as far as the publisher's clock can be trusted."""

from __future__ import annotations

# A publisher's clock that differs by more from the recorder's is not used, s.
CLOCK_TRUST_S = 1.0


class PublishTime:
    """Adds ``time_ns`` to a message.

    Attributes:
        log_ns, publish_ns: receive and publish time, ns since 1970.
    """

    log_ns: int
    publish_ns: int

    @property
    def time_ns(self) -> int:
        """When it was published; when it was received, if the two clocks do not agree."""
        agree = abs(self.log_ns - self.publish_ns) < CLOCK_TRUST_S * 1e9
        return self.publish_ns if agree else self.log_ns

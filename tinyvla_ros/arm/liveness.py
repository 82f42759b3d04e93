# SPDX-License-Identifier: Apache-2.0
"""Is every input alive? Judged by when messages arrive, on a steady clock."""

from __future__ import annotations

from collections import deque

import numpy as np

from tinyvla_ros.arm.contract import Camera, Stream

# Arrivals the rate is taken over.
ARRIVALS = 50


class StreamHealth:
    """Age, rate and, for cameras, frozenness of one topic.

    Args:
        topic: name, for messages.
        stream: its part of the contract.
    """

    def __init__(self, topic: str, stream: Stream):
        self.topic = topic
        self._timeout = stream.timeout
        self._frozen_after = stream.frozen_after if isinstance(stream, Camera) else None
        self._arrivals: deque[float] = deque(maxlen=ARRIVALS)
        self._stamp: int | None = None
        self._image: np.ndarray | None = None
        self._identical = 1

    def reset(self) -> None:
        """Forget everything: the node was not listening."""
        self._arrivals.clear()
        self._stamp, self._image, self._identical = None, None, 1

    def arrived(self, now_s: float, stamp_ns: int, image: np.ndarray | None = None) -> None:
        """Note a good message, a camera's with its image.

        One whose stamp is that of the message before brings nothing new: a driver that repeats
        its last message is as dead as one that is silent.
        """
        if stamp_ns == self._stamp:
            return
        self._stamp = stamp_ns
        self._arrivals.append(now_s)
        if self._frozen_after is not None and image is not None:
            same = self._image is not None and np.array_equal(self._image, image)
            self._identical = self._identical + 1 if same else 1
            self._image = image

    def age(self, now_s: float) -> float:
        """Return the seconds since the last message, infinite if none came."""
        return now_s - self._arrivals[-1] if self._arrivals else np.inf

    def rate(self) -> float:
        """Return messages per second over the last ones, 0 if there are too few."""
        if len(self._arrivals) < 2 or self._arrivals[-1] == self._arrivals[0]:
            return 0.0
        return (len(self._arrivals) - 1) / (self._arrivals[-1] - self._arrivals[0])

    def problem(self, now_s: float) -> str:
        """Say why the arm must not act on this stream, nothing if it may."""
        if not self._arrivals:
            return f"waiting for {self.topic}"
        age = self.age(now_s)
        if age > self._timeout:
            return f"{self.topic} is stale: nothing for more than {self._timeout:g} s"
        if self._frozen_after is not None and self._identical >= self._frozen_after:
            return f"{self.topic} is frozen: {self._frozen_after} identical images in a row"
        return ""

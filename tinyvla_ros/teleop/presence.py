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


"""Whether a device is there: silence on its side, and not this process that read late."""

from __future__ import annotations


class Presence:
    """When a device was heard; methods are called with steady seconds.

    Attributes:
        timeout: seconds of silence after which a device is gone.
        stamp_ns: of the newest message, ns; None while none is known.
    """

    def __init__(self, timeout: float):
        self.timeout = timeout
        self.forget()

    def forget(self) -> None:
        """Know no message."""
        self.stamp_ns: int | None = None
        self._heard_s: float | None = None
        self._was_missed = False  # since the newest message

    @property
    def is_known(self) -> bool:
        """Whether any message came."""
        return self._heard_s is not None

    def hear(self, stamp_ns: int, now_s: float) -> None:
        """Note a message."""
        self.stamp_ns, self._heard_s, self._was_missed = stamp_ns, now_s, False

    def is_silent(self, now_s: float) -> bool:
        """Return whether nothing came for too long of a device that was there."""
        return self._heard_s is not None and now_s - self._heard_s > self.timeout

    def miss(self, now_s: float) -> bool:
        """Return ``is_silent``; what follows then is a device that came back."""
        self._was_missed |= self.is_silent(now_s)
        return self._was_missed

    def comes_back(self, stamp_ns: int, now_s: float) -> bool:
        """Return whether a message is the first after a silence.

        Messages with stamps like any others, that nobody had missed yet, were read late.
        """
        return self.is_silent(now_s) and (
            self._was_missed or not 0 <= stamp_ns - self.stamp_ns <= self.timeout * 1e9)

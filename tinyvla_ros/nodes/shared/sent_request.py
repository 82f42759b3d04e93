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

"""A request on its way to a service."""

from __future__ import annotations

import math
import time

from rclpy.client import Client

# One that may be sent again is, so often, s.
REPEAT_S = 1.0


class SentRequest:
    """A request, sent at once, and again until it is answered if that is safe.

    Fast DDS may lose what a new client sends first to a process that was started after another of
    the same name was killed (3 of 50 requests, 2026-11-28); the next gets there. What holds or
    stops an arm must not depend on that.

    Attributes:
        answer: the first one; None while there is none.

    Args:
        client: of the service.
        request: to it.
        repeats: whether it may be sent again, once a second: only for what may be done twice.
    """

    def __init__(self, client: Client, request, repeats: bool):
        self.answer = None
        self._client, self._request = client, request
        self._period_s = REPEAT_S if repeats else math.inf
        self._futures, self._next_s = [], -math.inf
        self._send()

    def poll(self) -> bool:
        """Return whether there is an answer; call it several times a second."""
        self.answer = next((f.result() for f in self._futures if f.done()), None)
        if self.answer is not None:
            self.forget()
        elif time.monotonic() >= self._next_s:
            self._send()
        return self.answer is not None

    def forget(self) -> None:
        """Wait for no answer any more."""
        for future in self._futures:
            self._client.remove_pending_request(future)

    def _send(self) -> None:
        self._futures.append(self._client.call_async(self._request))
        self._next_s = time.monotonic() + self._period_s

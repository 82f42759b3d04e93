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

"""An executor for a node that hears hundreds of messages a second."""

from __future__ import annotations

import time

from rclpy.event_handler import EventHandler
from rclpy.executors import SingleThreadedExecutor

# How often a node looks for events such as a publisher of another quality of service, s.
EVENT_PERIOD_S = 1.0


class LeanExecutor(SingleThreadedExecutor):
    """Runs callbacks in the thread that spins, at half the cost per message.

    An executor of rclpy waits for everything that a node has, anew for each message. Half of that
    are events of quality of service, about two per topic, which come when a topic's ends meet:
    they are waited for once a second here. And each callback wakes the executor, for other
    threads, which this one has not: it looked at everything twice per message.

    Callbacks must not be coroutines. ``rclpy.experimental.EventsExecutor`` costs less still, but
    that of rclpy 7.1 fails on callbacks that take a message's info.
    """

    _next_look_s = 0.0
    _looks = True

    def spin_once(self, timeout_sec: float | None = None) -> None:
        """Run one callback, or wait until the time is over."""
        now_s = time.monotonic()
        self._looks = now_s >= self._next_look_s
        if self._looks:
            self._next_look_s = now_s + EVENT_PERIOD_S
        super().spin_once(timeout_sec)

    def can_execute(self, entity) -> bool:
        """Return whether to wait for something now."""
        return (self._looks or not isinstance(entity, EventHandler)) and \
            super().can_execute(entity)

    def _make_handler(self, *arguments):
        # Not public: where a version of rclpy has no such method, this is never called.
        guard, self._guard = self._guard, _NoGuard()
        try:
            return super()._make_handler(*arguments)
        finally:
            self._guard = guard


class _NoGuard:
    """Stands for what a callback wakes its executor with."""

    def trigger(self) -> None:
        """Wake nobody."""

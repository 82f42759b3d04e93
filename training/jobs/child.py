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

"""A command that runs as a process of its own and saves what it has when it is stopped."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Sequence

from tinyvla_ros.core.parent import terminate_with_parent

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
POLL_S = 0.1


def run_to_its_end(command: Sequence[str]) -> tuple[int, bool]:
    """Run a command; what would stop this process stops the command, once, and is waited for.

    Also the end of this process by a signal that nobody can catch.

    Returns:
        Its exit code, and whether it was stopped so.
    """
    received: list[int] = []
    stopped = False
    previous = {s: signal.signal(s, lambda number, _: received.append(number)) for s in STOPPING}
    try:
        # In a session of its own: else Ctrl-C would reach it twice.
        process = subprocess.Popen(command, start_new_session=True,
                                   preexec_fn=terminate_with_parent)
        while True:
            try:
                return process.wait(POLL_S), stopped
            except subprocess.TimeoutExpired:
                if received and not stopped:
                    stopped = True
                    process.send_signal(signal.SIGTERM)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)

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

"""The policy node as it is, with an inference that two signals break.

SIGUSR1 makes the next one take ``SLOW_S`` seconds, SIGUSR2 makes it raise. To be run instead of
the ``policy_node`` executable, with its arguments.
"""

from __future__ import annotations

import signal
import sys
import time

from tinyvla_ros.policy.policy import Policy
from tinyvla_ros.start import executables

SLOW_S = 2.0


def main() -> int:
    """Run the node."""
    pending: list[int] = []
    infer = Policy.infer

    def breakable(self, *args):
        number = pending.pop() if pending else None
        if number == signal.SIGUSR1:
            time.sleep(SLOW_S)
        elif number == signal.SIGUSR2:
            raise RuntimeError("broken by a signal")
        return infer(self, *args)

    Policy.infer = breakable
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, lambda number, _: pending.append(number))
    return executables.run("policy_node")


if __name__ == "__main__":
    sys.exit(main())

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

"""LeRobot's own training command, which also writes what a step took.

    python _lerobot_train.py SECONDS.json OPTIONS OF lerobot-train
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from _lerobot_reference import name_operators


def main(seconds: Path) -> None:
    """Train; write the times at which steps ended, on the wall and of this process's CPU."""
    library = name_operators()  # lives as long as its operators must
    from lerobot.scripts import lerobot_train

    ends: list[tuple[float, float]] = []
    update = lerobot_train.update_policy

    def timed_update(*args, **kwargs):
        result = update(*args, **kwargs)
        ends.append((time.perf_counter(), time.process_time()))
        return result

    lerobot_train.update_policy = timed_update
    try:
        lerobot_train.main()
    finally:
        seconds.write_text(json.dumps(ends))
        del library


if __name__ == "__main__":
    main(Path(sys.argv.pop(1)))

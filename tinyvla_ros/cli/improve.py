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

"""``tinyvla improve``."""

from __future__ import annotations

import sys

from tinyvla_ros.cli.common import STOPPED, wait_passively
from tinyvla_ros.core.extras import require
from training.improve.options import ImproveOptions


def improve(options: ImproveOptions) -> int:
    """Improve a checkpoint; 1 if the new one is not better, 143 if it was stopped."""
    wait_passively()
    if options.tasks:
        require("--tasks", "sim")
    from training.improve.improve import TrainingEndedError
    from training.improve.improve import improve as improve_checkpoint

    try:
        found = improve_checkpoint(options)
    except TrainingEndedError as ended:
        code, was_stopped = ended.args
        if was_stopped or code == STOPPED:
            print("stopped, what is finished is saved; the same command goes on")
            return STOPPED
        print(f"error: the command ended with exit code {code}, the lines above say why.",
              file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped, what is finished is saved; the same command goes on")
        return STOPPED
    made = options.out / "checkpoint"
    if found is None:
        print(f"\n{made}: not judged, no --tasks were given; compare both on the arm with "
              "'tinyvla trial'.")
        return 0
    print(f"\n{found.table}\n\n{found.sentence}")
    if not found.is_better:
        print(f"It is kept in {options.out / 'run' / 'last'}, and {options.checkpoint} stays.")
        return 1
    print(f"{made}: the new checkpoint; {options.checkpoint} was not changed.")
    return 0

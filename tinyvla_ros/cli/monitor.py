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

"""``tinyvla monitor calibrate``."""

from __future__ import annotations

from tinyvla_ros.cli.common import wait_passively
from training.monitor.options import CalibrateOptions


def calibrate(options: CalibrateOptions) -> int:
    """Calibrate the monitor of a checkpoint and print how good it is."""
    wait_passively()
    from training.monitor.calibrate import calibrate as calibrate_checkpoint

    made = calibrate_checkpoint(options)
    calibration, checks = made.calibration, made.calibration.checks
    print(f"{made.path}: calibrated with {calibration.successes} successes, about "
          f"{calibration.false_alarms:.0%} of such will raise an alarm, "
          f"{made.path.stat().st_size / 1e6:.1f} MB")
    for why, count in made.left_out.items():
        print(f"left out: {count} episode(s) {why}")
    if made.found is not None:
        print(f"of the failures among these episodes it finds {made.found:.0%}")
    for name, value in checks.items():
        print(f"{name.replace('_', ' ')}: {value:.3f} on episodes it did not learn from")
    return 0

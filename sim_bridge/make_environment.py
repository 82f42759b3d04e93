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

"""Build the environment of a task, whatever its arm; the simulator is imported only then."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from sim_bridge.simulated_robot import SimulatedRobotConfig

if TYPE_CHECKING:
    from sim_bridge.environment import ArmEnvironment


def make_environment(task: str, config: SimulatedRobotConfig | None = None) -> ArmEnvironment:
    """Build a task.

    Args:
        task: name.
        config: of the task's arm; None for the one shipped.

    Raises:
        InputError: there is no such task, or its simulator is not installed.
    """
    config = config or SimulatedRobotConfig.of([task])
    module, name = config.arm.environment.split(":")
    return getattr(importlib.import_module(module), name)(task, config)

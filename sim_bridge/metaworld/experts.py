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

"""Which scripted expert does a task: MetaWorld's, or one that does what MetaWorld's cannot."""

from __future__ import annotations

from sim_bridge.metaworld.expert import Expert
from sim_bridge.metaworld.grasping_experts import GRASPS, make_grasping_expert
from sim_bridge.metaworld.scene_experts import (
    AroundTheBar,
    AroundTheHandle,
    AroundTheWindow,
    FingersAtTheMark,
    StopsAtTheGoal,
)

DOOR_OPEN, DRAWER_OPEN = "door-open-v3", "drawer-open-v3"
PUSHED_FROM = {"window-open-v3": -1.0, "window-close-v3": 1.0}  # side of the handle, in x
TO_A_MARK = ("reach-v3", "pick-place-v3")


def make_expert(task: str, scenes: str, corrects: bool = False) -> Expert:
    """Choose the expert of a task.

    Args:
        task: of MetaWorld.
        scenes: standard, shared or chained. In standard ones demonstrations are by MetaWorld's own
            experts, as published ones are.
        corrects: in standard scenes, take one that goes on from wherever a policy has led to.
    """
    # Not before whoever draws has chosen an OpenGL: MetaWorld imports MuJoCo.
    from metaworld.policies import ENV_POLICY_MAP

    expert = ENV_POLICY_MAP[task]()
    if scenes == "standard":
        return make_grasping_expert(task, expert) if corrects and task in GRASPS else expert
    if task == DOOR_OPEN:
        return StopsAtTheGoal(AroundTheHandle(expert))
    if task == DRAWER_OPEN:
        return AroundTheBar(expert)
    if task in PUSHED_FROM:
        return AroundTheWindow(expert, PUSHED_FROM[task])
    return FingersAtTheMark(expert) if task in TO_A_MARK else expert

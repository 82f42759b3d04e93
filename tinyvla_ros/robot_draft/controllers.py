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

"""Which joints go to which controller."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tinyvla_ros.robot_draft.found import FoundController
from tinyvla_ros.robot_draft.urdf import UrdfJoint

# The first of them that takes a joint has it.
KINDS = ("joint_trajectory", "positions", "twist", "chunk")
_HAND = re.compile(r"grip|finger|hand|jaw|knuckle|robotiq", re.IGNORECASE)


@dataclass(frozen=True)
class Assignment:
    """A controller and what goes to it.

    Attributes:
        controller: as it was found.
        joints: names of the channels; empty for a twist, and for a chunk of unknown channels.
        source: where that is known from.
        is_sure: whether the controller said so itself.
    """

    controller: FoundController
    joints: tuple[str, ...]
    source: str
    is_sure: bool


def assign_joints(found: Sequence[FoundController], positions: Mapping[str, float],
                  urdf: Mapping[str, UrdfJoint]
                  ) -> tuple[list[Assignment], list[tuple[FoundController, str]]]:
    """Return who gets which joints, and the controllers that are left out with the reason.

    Args:
        found: the controllers.
        positions: the joints that are measured.
        urdf: the joints of the robot description.
    """
    taken: dict[str, str] = {}
    assigned: list[Assignment] = []
    left: list[tuple[FoundController, str]] = []
    ours = [c for c in found if c.kind != "twist"]
    ours.sort(key=lambda c: (not c.joints, KINDS.index(c.kind), "scaled" not in c.topic, c.topic))
    guessing = [c for c in ours if not c.joints and c.kind != "chunk"]
    for controller in ours:
        if controller.interface not in ("", "position"):
            left.append((controller, f"it commands {controller.interface}, and its output would "
                         "be positions"))
            continue
        if controller.kind == "chunk":
            assigned.append(Assignment(controller, tuple(controller.commanded), "chunks that were "
                                       "sent to it" if controller.commanded else "", False))
            continue
        if controller.joints:
            rival = next((taken[j] for j in controller.joints if j in taken), None)
            joints, sure = controller.joints, True
            source = f"parameter 'joints' of {controller.node}"
        else:
            free = [j for j in positions if j not in taken and not (j in urdf and urdf[j].mimics)]
            joints = tuple(_guess(controller, free, guessing))
            rival = None
            if not joints:
                left.append((controller, "no joint state is left for it, and it did not say which "
                             "joints it has"))
                continue
            source, sure = "joint states; the controller did not say", False
        if rival is not None:
            left.append((controller, f"its joints go to {rival}; take one of the two"))
            continue
        assigned.append(Assignment(controller, joints, source, sure))
        taken |= dict.fromkeys(joints, controller.topic)
    for controller in (c for c in found if c.kind == "twist"):
        if assigned:
            left.append((controller, "another controller has the arm; for velocities of the hand "
                         "take it instead"))
        else:
            assigned.append(Assignment(controller, (), "", False))
    return assigned, left


def _guess(controller: FoundController, free: Sequence[str],
           guessing: Sequence[FoundController]) -> list[str]:
    """Return the joints that a controller probably has: those of the hand by its name."""
    hands = [j for j in free if _HAND.search(j)]
    if _HAND.search(controller.topic):
        return hands
    others = [c for c in guessing if c is not controller and _HAND.search(c.topic)]
    return [j for j in free if j not in hands] if others and hands else list(free)

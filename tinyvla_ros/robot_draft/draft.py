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

"""The file: a robot contract with a comment behind every value, and what is open marked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from tinyvla_ros.core.commented_yaml import PLACEHOLDER, TODO, Noted, commented_yaml
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.robot_draft.cameras import choose_cameras
from tinyvla_ros.robot_draft.channels import chunk_channel, joint_channel, twist_channels
from tinyvla_ros.robot_draft.controllers import Assignment, assign_joints
from tinyvla_ros.robot_draft.found import FoundCamera, FoundPose, FoundRobot, FoundStream
from tinyvla_ros.robot_draft.timing import stamps, stream_timing
from tinyvla_ros.robot_draft.urdf import UrdfJoint, read_urdf

# A camera whose images always differ is frozen after so many that do not.
FROZEN_AFTER = 5
_NO_POSES = ("goal", "target", "cmd", "command", "initialpose")


@dataclass(frozen=True)
class Draft:
    """A drafted contract.

    Attributes:
        text: of the file.
        notes: sentences about what was taken and what was left out.
    """

    text: str
    notes: tuple[str, ...]


def draft_contract(found: FoundRobot) -> Draft:
    """Write a contract for what was found.

    Raises:
        InputError: a contract cannot do without what is missing.
    """
    notes: list[str] = []
    name, urdf = _description(found.description, notes)
    cameras, left = choose_cameras(found.cameras)
    notes += [f"{c.topic} is left out: {reason}." for c, reason in left]
    if not cameras:
        seen = "; ".join(f"{c.topic} of {' and '.join(c.publishers)}: {reason}"
                         for c, reason in left)
        raise InputError(
            f"No camera was found in {found.seconds:g} s, and a policy needs one "
            f"({seen or 'nobody publishes an Image or a CompressedImage'}); start its driver, or "
            "listen longer with --seconds.")
    pose, others = _pose(found)
    if problem := _joints_problem(found):
        if pose is None:
            raise InputError(f"A policy must see its arm, and there is no pose of it. {problem}"
                             if found.joints is None else problem)
        notes.append(f"Of the arm only {pose.topic} is taken. {problem}")
        found = replace(found, joints=None)
    positions = found.joints.positions if found.joints else {}
    lost = [n for n, value in positions.items() if not math.isfinite(value)]
    if lost:
        notes.append(f"{found.joints.topic}: {', '.join(lost)} is not finite; a policy cannot use "
                     "it as a state, see its driver.")
    assigned, unused = assign_joints(found.controllers, positions, urdf)
    notes += [f"{c.topic} is left out: {reason}." for c, reason in unused]
    if not assigned:
        raise InputError(
            "No controller takes commands here (a subscriber of .../joint_trajectory, "
            ".../commands, .../delta_twist_cmds or action_chunk); start the controllers: type "
            "'ros2 control list_controllers'.")
    if not found.description and any(a.controller.kind in ("joint_trajectory", "positions")
                                     for a in assigned):
        notes.append("Nobody publishes robot_description: ranges of joints are to be filled in, "
                     "or start robot_state_publisher and run this again.")
    streams: list[FoundStream] = [*cameras.values(), *filter(None, (found.joints, pose))]
    tree: dict[str, object] = {
        "name": Noted(name or "my arm", "robot_description" if name else f"{TODO}a name for "
                      "messages"),
        "cameras": {n: _camera(c, found) for n, c in cameras.items()}}
    if found.joints is not None:
        tree["joint_states"] = _stream(found.joints, found, f"joints: {', '.join(positions)}")
    if pose is not None:
        tree["ee_pose"] = _stream(pose, found, f"in frame {pose.frame or 'unknown'}")
    tree["stamps"] = stamps(streams, found.simulated_time)
    tree["actions"] = _actions(assigned, positions, urdf)
    tree["outputs"] = [_output(a, pose) for a in assigned]
    text = commented_yaml(tree, _head(found))
    return Draft(text + _afterwards(found, left, unused, others), tuple(notes))


def _description(text: str, notes: list[str]) -> tuple[str, dict[str, UrdfJoint]]:
    try:
        return read_urdf(text) if text else ("", {})
    except InputError as err:
        notes.append(str(err))
        return "", {}


def _pose(found: FoundRobot) -> tuple[FoundPose | None, list[FoundPose]]:
    """Return the pose of the end effector, and the others."""
    usable = [p for p in found.poses if p.timing.count and not p.error
              and not any(word in p.topic for word in _NO_POSES)]
    usable.sort(key=lambda p: ("ee_pose" not in p.topic, "tcp" not in p.topic, p.topic))
    chosen = usable[0] if usable else None
    return chosen, [p for p in found.poses if p is not chosen]


def _joints_problem(found: FoundRobot) -> str:
    """Return why the joint states are of no use, an empty text if they are."""
    joints = found.joints
    if joints is None:
        return "Nobody publishes a JointState; start the robot's driver (joint_state_broadcaster)."
    if not joints.timing.count:
        return (f"{joints.topic} of {' and '.join(joints.publishers)} brought nothing in "
                f"{found.seconds:g} s; start its driver, listen longer with --seconds, or name "
                "another topic with --joint-states.")
    if not joints.positions:
        return (f"{joints.topic} has no positions"
                + (f" ({joints.error.rstrip('.')})" if joints.error else "")
                + "; name the topic of the measured joints with --joint-states.")
    if not any(map(math.isfinite, joints.positions.values())):
        return (f"{joints.topic}: no joint has a finite position ({', '.join(joints.positions)}); "
                "correct its driver.")
    return ""


def _head(found: FoundRobot) -> list[str]:
    return [f"Written by tinyvla robot init, after listening for {found.seconds:g} s. Behind each "
            "value: where it comes",
            f"from. Fill in every {PLACEHOLDER}, look at every TODO and remove it, then: tinyvla "
            "robot check FILE --live.", "docs/arm.md and docs/reference.md explain every field."]


def _stream(stream: FoundStream, found: FoundRobot, about: str) -> dict[str, object]:
    note = f"of {' and '.join(stream.publishers)}; {about}"
    if stream.error:
        note = f"{TODO}{stream.error} {note}"
    fields: dict[str, object] = {"topic": Noted(stream.topic, note)}
    fields |= stream_timing(stream.timing, found.simulated_time)
    if found.simulated_time and stream.reliable:
        fields["reliable"] = Noted(True, "in lock-step no message may get lost")
    return fields


def _camera(camera: FoundCamera, found: FoundRobot) -> dict[str, object]:
    width, height = camera.size
    fields = _stream(camera, found, f"{width}x{height} {camera.encoding}")
    if len(camera.publishers) > 1:
        fields["topic"] = Noted(camera.topic, f"{TODO}{' and '.join(camera.publishers)} publish "
                                "it; one publisher is needed, end the others")
    if camera.compressed:
        fields["compressed"] = Noted(True, "sensor_msgs/CompressedImage")
    fields["frozen_after"] = Noted(None, "measured: images repeat while nothing moves") \
        if camera.repeats or found.simulated_time else \
        Noted(FROZEN_AFTER, "measured: no image came twice; identical ones that mean a frozen "
              "camera")
    return fields


def _actions(assigned: list[Assignment], positions: Mapping[str, float],
             urdf: Mapping[str, UrdfJoint]) -> dict[str, object]:
    channels: dict[str, object] = {}
    for assignment in assigned:
        controller = assignment.controller
        if controller.kind == "twist":
            channels |= twist_channels()
        elif controller.kind == "chunk":
            names = assignment.joints or (PLACEHOLDER,)
            channels |= {n: chunk_channel(n, controller.commanded.get(n)) for n in names}
        else:
            for name in assignment.joints:
                channels[name] = joint_channel(name, urdf.get(name), positions.get(name),
                                               controller.limits.get(name, {}))
    return channels


def _output(assignment: Assignment, pose: FoundPose | None) -> dict[str, object]:
    controller = assignment.controller
    fields: dict[str, object] = {"type": controller.kind, "topic": Noted(
        controller.topic, f"of {controller.node}" if controller.node else "has a subscriber")}
    if controller.kind == "twist":
        fields["frame"] = Noted(pose.frame, f"{TODO}frame of the twist; this is that of "
                                f"{pose.topic}") if pose and pose.frame else \
            Noted(PLACEHOLDER, f"{TODO}frame_id of the twist, e.g. base_link")
        fields["channels"] = Noted({
            n: Noted({"to": f"{'linear' if n[3] == 'v' else 'angular'}.{n[-1]}"})
            for n in twist_channels()}, "axes of the hand")
        return fields
    if not assignment.joints:
        fields["channels"] = Noted([PLACEHOLDER], f"{TODO}the action channels of the checkpoint; "
                                   "nobody commanded it while we listened")
        return fields
    order = "; their order is that of the values" if controller.kind == "positions" else ""
    fields["channels"] = Noted(list(assignment.joints), ("" if assignment.is_sure else TODO)
                               + f"from {assignment.source}{order}")
    return fields


def _afterwards(found: FoundRobot, cameras: list, controllers: list, poses: list[FoundPose]
                ) -> str:
    """Return comments about what is there and not in the contract."""
    lines = [f"{c.topic}: {reason}" for c, reason in [*cameras, *controllers]]
    lines += [f"{p.topic}: a pose, not taken for that of the end effector" for p in poses]
    lines += [f"{w.topic}: forces, {w.timing.rate:.3g} Hz" for w in found.wrenches]
    lines += [f"{topic}: more joint states, for --joint-states" for topic in found.other_joints]
    head = ["Also found, and not used:"] if lines else []
    return "".join(f"# {line}\n" for line in [*head, *lines])

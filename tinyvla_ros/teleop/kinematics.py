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

"""Joint speeds that move an end effector, from the URDF or MJCF of any arm, by mink.

MuJoCo computes the kinematics. Meshes, of which a robot description has only the names, are left
out, and so is everything else that only contacts and dynamics need. mink solves a quadratic
program at every step: follow the end effector, stay near the posture, keep the limits.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tinyvla_ros.core.errors import InputError, unknown
from tinyvla_ros.core.extras import require

# The end effector is pulled to where it should be within so long, s.
REACH_S = 0.1
# It may lag so far behind where it should be: beyond, the arm cannot go there, m and rad.
MOST_LAG, MOST_TURN_LAG = 0.02, 0.15
# Position counts more than orientation: with fewer than six joints both are impossible.
POSITION_COST, ORIENTATION_COST, POSTURE_COST = 1.0, 0.2, 1e-3
# Against large steps near singularities.
DAMPING, LM_DAMPING = 1e-3, 1e-3
STILL = 1e-9  # per second
_SOLVER = "daqp"


class Kinematics:
    """An end effector that is led by a person.

    Attributes:
        frame: name of the link, body or site that is moved.

    Args:
        text: the URDF or MJCF, as text; what it includes must lie in ``folder``.
        joints: joint name -> (low, high, speed) in rad or m; the joints that may move.
        frame: what is moved; empty for a site or link with a usual name, else for the last link
            behind the joints.
        folder: where files that an MJCF names lie.

    Raises:
        InputError: mink is not installed, the text is no model, or has not the joints or frame.
    """

    def __init__(self, text: str, joints: Mapping[str, tuple[float, float, float]],
                 frame: str = "", folder: Path | None = None):
        require("Moving an end effector by its joints", "teleop")
        import mink
        import mujoco

        self._mink = mink
        self._model = model = _load(text, folder)
        self._joints = tuple(joints)
        names = [model.joint(i).name for i in range(model.njnt)]
        for name in joints:
            if name not in names:
                raise InputError(f"The robot description has no such joint: "
                                 f"{unknown('joint', name, names)}")
        ids = [model.joint(n).id for n in joints]
        for index, name in zip(ids, joints, strict=True):
            if model.jnt_type[index] not in (mujoco.mjtJoint.mjJNT_HINGE,
                                             mujoco.mjtJoint.mjJNT_SLIDE):
                raise InputError(f"Joint {name!r} of the robot description is neither revolute "
                                 "nor prismatic; leave its channel to the other inputs.")
        self._positions = model.jnt_qposadr[ids]
        self._speeds = model.jnt_dofadr[ids]
        for index, (low, high, _) in zip(ids, joints.values(), strict=True):
            if model.jnt_limited[index]:
                low, high = max(low, model.jnt_range[index][0]), min(high,
                                                                     model.jnt_range[index][1])
            model.jnt_limited[index] = np.isfinite(low) and np.isfinite(high) and low < high
            if model.jnt_limited[index]:
                model.jnt_range[index] = low, high
        self._configuration = mink.Configuration(model)
        self.frame, kind = _frame(model, frame, ids)
        self._task = mink.FrameTask(self.frame, kind, position_cost=POSITION_COST,
                                    orientation_cost=ORIENTATION_COST, lm_damping=LM_DAMPING)
        self._posture = mink.PostureTask(model, cost=POSTURE_COST)
        # Joints that nobody commands stand still.
        others = {n: STILL for i, n in enumerate(names) if n not in joints
                  and model.jnt_type[i] in (mujoco.mjtJoint.mjJNT_HINGE,
                                            mujoco.mjtJoint.mjJNT_SLIDE)}
        self._limits = [mink.ConfigurationLimit(model), mink.VelocityLimit(
            model, {name: speed for name, (_, _, speed) in joints.items()} | others)]
        self._target = None

    def begin(self, values: np.ndarray) -> None:
        """Start from (joints,) positions."""
        self._set(values)
        self._target = self._pose()
        self._posture.set_target_from_configuration(self._configuration)

    def position(self, values: np.ndarray) -> np.ndarray:
        """Return the (3,) position of the end effector at (joints,) positions, m."""
        self._set(values)
        return self._pose().translation()

    def speeds(self, values: np.ndarray, twist: np.ndarray, seconds: float) -> np.ndarray:
        """Return the (joints,) speeds to go on with.

        Args:
            values: (joints,) present positions.
            twist: (6,) wanted linear and angular velocity in the base's axes, m/s and rad/s.
            seconds: since the call before.
        """
        mink = self._mink
        self._set(values)
        pose = self._pose()
        if self._target is None:
            self._target = pose
        position = self._target.translation() + twist[:3] * seconds
        lag = position - pose.translation()
        size = np.linalg.norm(lag)
        if size > MOST_LAG:
            position = pose.translation() + lag * (MOST_LAG / size)
        rotation = mink.SO3.exp(twist[3:] * seconds) @ self._target.rotation()
        turn = (rotation @ pose.rotation().inverse()).log()
        angle = np.linalg.norm(turn)
        if angle > MOST_TURN_LAG:
            rotation = mink.SO3.exp(turn * (MOST_TURN_LAG / angle)) @ pose.rotation()
        self._target = mink.SE3.from_rotation_and_translation(rotation, position)
        ahead = mink.SE3.from_rotation_and_translation(
            mink.SO3.exp(twist[3:] * REACH_S) @ rotation, position + twist[:3] * REACH_S)
        self._task.set_target(ahead)
        try:
            speeds = mink.solve_ik(self._configuration, [self._task, self._posture], REACH_S,
                                   solver=_SOLVER, damping=DAMPING, limits=self._limits)
        except Exception as err:  # a solver's own errors have no common base
            raise InputError(f"No joint speeds move the end effector so ({err}); switch to "
                             "joints and lead the arm away from there.") from None
        speeds = speeds[self._speeds]
        return np.where(np.isfinite(speeds), speeds, 0.0)

    def _set(self, values: np.ndarray) -> None:
        q = self._configuration.q.copy()
        q[self._positions] = values
        # A joint outside its range would leave the solver without a solution.
        self._configuration.update(self._inside(q))

    def _inside(self, q: np.ndarray) -> np.ndarray:
        model = self._model
        for joint in np.flatnonzero(model.jnt_limited):
            address = model.jnt_qposadr[joint]
            q[address] = np.clip(q[address], *model.jnt_range[joint])
        return q

    def _pose(self):
        return self._configuration.get_transform_frame_to_world(self.frame, self._task.frame_type)


def prepare() -> None:
    """Import what kinematics needs, so that the first use does not wait for it."""
    import mink  # noqa: F401


def model_text(path: str | Path) -> tuple[str, Path]:
    """Read a URDF or MJCF file; return its text and its folder.

    Raises:
        InputError: it cannot be read.
    """
    path = Path(path)
    try:
        return path.read_text(encoding="utf-8"), path.resolve().parent
    except (OSError, UnicodeDecodeError) as err:
        reason = err.strerror if isinstance(err, OSError) else "it is not text"
        raise InputError(f"Robot description {path} cannot be read ({reason}); give a URDF or "
                         "MJCF file, xacro files as what xacro makes of them.") from None


def _load(text: str, folder: Path | None):
    import mujoco

    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as err:
        raise InputError(f"The robot description is not XML ({err}); give a URDF or MJCF.") \
            from None
    if root.tag not in ("robot", "mujoco"):
        raise InputError(f"The robot description is <{root.tag}>; give a URDF (<robot>) or an "
                         "MJCF (<mujoco>).")
    try:
        if root.tag == "robot":
            return mujoco.MjModel.from_xml_string(_bare_urdf(root))
        _strip_mjcf(root, folder)
        return mujoco.MjModel.from_xml_string(ElementTree.tostring(root, encoding="unicode"))
    except ValueError as err:
        raise InputError(f"MuJoCo cannot read the robot description ({' '.join(str(err).split())})"
                         "; check it with 'check_urdf', or give an MJCF.") from None


def _bare_urdf(root: ElementTree.Element) -> str:
    """Return a URDF with links and joints alone, and what MuJoCo needs to take it as it is."""
    bare = ElementTree.Element("robot", {"name": root.get("name", "robot")})
    compiler = ElementTree.SubElement(ElementTree.SubElement(bare, "mujoco"), "compiler")
    # Links without a mass, and such that are fixed to another, keep their names.
    compiler.attrib |= {"fusestatic": "false", "boundmass": "0.001", "boundinertia": "0.000001",
                        "balanceinertia": "true", "strippath": "false"}
    for element in root:
        if element.tag == "link":
            link = ElementTree.SubElement(bare, "link", {"name": element.get("name", "")})
            link.extend(element.findall("inertial"))
        elif element.tag == "joint":
            joint = ElementTree.SubElement(bare, "joint", dict(element.attrib))
            joint.extend(e for e in element if e.tag in (
                "origin", "parent", "child", "axis", "limit"))
    return ElementTree.tostring(bare, encoding="unicode")


# Of an MJCF only these are kept.
_KEPT = {"compiler", "default", "worldbody", "option", "include"}
_DROPPED_IN_BODIES = {"geom", "camera", "light", "composite", "flexcomp", "plugin"}


def _strip_mjcf(root: ElementTree.Element, folder: Path | None, depth: int = 0) -> None:
    """Drop what kinematics does not need, and put what is included in its place."""
    if depth > 10:
        raise InputError("The robot description includes itself; give an MJCF without circles.")
    for include in [e for e in root.iter() if any(c.tag == "include" for c in e)]:
        for index, element in reversed(list(enumerate(include))):
            if element.tag != "include":
                continue
            text, _ = model_text((folder or Path()) / element.get("file", ""))
            try:
                part = ElementTree.fromstring(text)
            except ElementTree.ParseError as err:
                raise InputError(f"{element.get('file')} is not XML ({err}); give an MJCF.") \
                    from None
            _strip_mjcf(part, folder, depth + 1)
            include.remove(element)
            for child in reversed(list(part)):
                include.insert(index, child)
    for element in list(root):
        if element.tag not in _KEPT and depth == 0 and element.tag != "body":
            root.remove(element)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in _DROPPED_IN_BODIES and parent.tag != "default":
                if parent.tag in ("body", "worldbody", "frame"):
                    parent.remove(child)
            elif parent.tag == "default" and child.tag in ("mesh", "material"):
                parent.remove(child)
            elif parent.tag == "default" and child.tag == "geom":
                for name in ("mesh", "material", "hfield"):
                    child.attrib.pop(name, None)
    compiler = root.find("compiler")
    if compiler is None:
        compiler = ElementTree.SubElement(root, "compiler")
    compiler.attrib |= {"boundmass": "0.001", "boundinertia": "0.000001"}
    compiler.attrib.pop("inertiafromgeom", None)


# Names that public arms give the point between their fingers, or the flange.
USUAL_FRAMES = ("gripperframe", "gripper_frame_link", "grasp_site", "tcp", "tool0", "ee_link",
                "end_effector", "attachment_site", "pinch", "flange", "hand")


def _frame(model, name: str, joints: list[int]) -> tuple[str, str]:
    """Return the name and the kind of what is moved."""
    bodies = [model.body(i).name for i in range(1, model.nbody)]
    sites = [model.site(i).name for i in range(model.nsite)]
    if name:
        if name in sites:
            return name, "site"
        if name in bodies:
            return name, "body"
        raise InputError("ee_frame: " + unknown("link or site", name, [*sites, *bodies]))
    for usual in USUAL_FRAMES:
        if usual in sites:
            return usual, "site"
        if usual in bodies:
            return usual, "body"
    # The first link that follows behind the last joint.
    body = int(model.jnt_bodyid[joints[-1]])
    return model.body(body).name, "body"

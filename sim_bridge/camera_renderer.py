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

"""Render the cameras of a simulated robot: now, or a moment that was copied before.

An OpenGL context belongs to one thread, so everything here is used by the thread that renders
first.
"""

from __future__ import annotations

import gc
import os

from sim_bridge.opengl import choose_opengl, did_not_start

choose_opengl()

import mujoco  # noqa: E402  (the GL library must be chosen before MuJoCo is imported)
import numpy as np  # noqa: E402

from sim_bridge.simulated_robot import CameraPose, SimulatedRobotConfig  # noqa: E402
from tinyvla_ros.core.errors import InputError, unknown  # noqa: E402

# The fields of MuJoCo's data that an image depends on.
SCENE = ("xpos", "xquat", "xmat", "xipos", "ximat", "geom_xpos", "geom_xmat", "site_xpos",
         "site_xmat", "cam_xpos", "cam_xmat", "light_xpos", "light_xdir")
# In place of the number of a mesh: MuJoCo draws nothing.
NO_MESH = -1
# Meshes whose boxes are nearer to what a camera sees are drawn, m.
MARGIN_M = 1e-3


def copy_scene(data: mujoco.MjData) -> dict[str, np.ndarray]:
    """Return what an image of this moment depends on."""
    return {name: getattr(data, name).copy() for name in SCENE}


def show_scene(data: mujoco.MjData, scene: dict[str, np.ndarray]) -> None:
    """Write an earlier moment into MuJoCo's data; a simulation cannot continue with it."""
    for name, values in scene.items():
        getattr(data, name)[:] = values


class CameraRenderer:
    """Renders the cameras of a configuration in one MuJoCo model.

    Meshes that a camera does not see are left out: most of the cost of an image in software is
    that of their vertices, and the pixels are the same.

    Args:
        model: sets the field of view, and the place, of its own cameras that are used.
        config: cameras, by name.

    Raises:
        InputError: a camera that the model does not have.
    """

    def __init__(self, model: mujoco.MjModel, config: SimulatedRobotConfig):
        self._model, self._poses = model, config.cameras
        self._cameras = {name: make_camera(model, pose) for name, pose in self._poses.items()}
        self._renderers: dict[tuple[int, int], mujoco.Renderer] = {}
        self._meshes = np.flatnonzero(model.geom_type == mujoco.mjtGeom.mjGEOM_MESH)
        boxes = model.geom_aabb[self._meshes]  # center and half sizes, in the frame of the geom
        self._centers, self._halves = boxes[:, :3], boxes[:, 3:]

    def render(self, data: mujoco.MjData, name: str) -> np.ndarray:
        """Render one camera: (height, width, 3) uint8 RGB, a fresh array.

        Raises:
            InputError: OpenGL does not start.
        """
        pose = self._poses[name]
        renderer = self._renderer(pose.height, pose.width)
        renderer.update_scene(data, self._cameras[name])
        unseen = set(self._meshes[self._is_outside(data, renderer.scene, pose)].tolist())
        for geom in renderer.scene.geoms[:renderer.scene.ngeom]:
            if geom.objid in unseen and geom.objtype == mujoco.mjtObj.mjOBJ_GEOM:
                geom.dataid = NO_MESH
        image = renderer.render()
        return image[::-1, ::-1].copy() if pose.upside_down else image

    def _is_outside(self, data: mujoco.MjData, scene: mujoco.MjvScene, pose: CameraPose
                    ) -> np.ndarray:
        """Return for every mesh whether its box is beyond one of the planes that bound the view.

        These go through the camera: left, right, below, above, and one behind which nothing is
        seen.
        """
        left_eye, right_eye = scene.camera[0], scene.camera[1]
        position = (np.array(left_eye.pos) + np.array(right_eye.pos)) / 2
        forward, up = np.array(left_eye.forward), np.array(left_eye.up)
        right = np.cross(forward, up)
        slope = (left_eye.frustum_top - left_eye.frustum_bottom) / (2 * left_eye.frustum_near)
        aside = slope * pose.width / pose.height
        inward = np.array([aside * forward + right, aside * forward - right,
                           slope * forward + up, slope * forward - up, forward])
        inward /= np.linalg.norm(inward, axis=1, keepdims=True)
        axes = data.geom_xmat[self._meshes].reshape(-1, 3, 3)  # columns
        centers = data.geom_xpos[self._meshes] + (axes @ self._centers[..., None])[..., 0]
        distances = (centers - position) @ inward.T  # (meshes, planes)
        reach = (np.abs(inward @ axes) @ self._halves[..., None])[..., 0]
        return (distances + reach < -MARGIN_M).any(axis=1)

    def close(self) -> None:
        """Free the renderers."""
        for renderer in self._renderers.values():
            renderer.close()
        self._renderers.clear()

    def _renderer(self, height: int, width: int) -> mujoco.Renderer:
        if (height, width) not in self._renderers:
            # A context that is collected meanwhile would leave this one without its own.
            collects = gc.isenabled()
            gc.disable()
            try:
                renderer = mujoco.Renderer(self._model, height, width)
            except Exception as err:  # EGL and OSMesa raise types of their own
                raise InputError(did_not_start(os.environ["MUJOCO_GL"], repr(err))) from err
            finally:
                if collects:
                    gc.enable()
            renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = 0
            renderer.scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = 0
            self._renderers[height, width] = renderer
        return self._renderers[height, width]


class SceneRenderer:
    """Renders copied moments while the simulation that they are of goes on.

    Args:
        model: of the simulation; only read.
        config: cameras, by name.
    """

    def __init__(self, model: mujoco.MjModel, config: SimulatedRobotConfig):
        self._data, self._renderer = mujoco.MjData(model), CameraRenderer(model, config)

    def show(self, scene: dict[str, np.ndarray]) -> None:
        """Let ``render_camera`` render this moment."""
        show_scene(self._data, scene)

    def render_camera(self, name: str) -> np.ndarray:
        """Render one camera: (height, width, 3) uint8 RGB, a fresh array."""
        return self._renderer.render(self._data, name)

    def close(self) -> None:
        """Free the renderers."""
        self._renderer.close()


def make_camera(model: mujoco.MjModel, pose: CameraPose) -> mujoco.MjvCamera:
    """Make the MuJoCo camera for a pose; sets field of view and place of a model's own camera."""
    camera = mujoco.MjvCamera()
    if pose.model_camera is None:
        camera.type = mujoco.mjtCamera.mjCAMERA_FREE
        camera.lookat[:] = pose.lookat
        camera.distance = pose.distance
        camera.azimuth, camera.elevation = pose.azimuth, pose.elevation
        return camera
    known = [model.camera(i).name for i in range(model.ncam)]
    if pose.model_camera not in known:
        raise InputError(unknown("model camera", pose.model_camera, known))
    camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
    camera.fixedcamid = model.camera(pose.model_camera).id
    model.cam_fovy[camera.fixedcamid] = pose.fovy
    if pose.position is not None:
        model.cam_pos[camera.fixedcamid] = pose.position
    return camera

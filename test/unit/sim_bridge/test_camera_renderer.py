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

"""What a camera does not see is not drawn, and that cannot be seen."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.simulator
MESHES = 60
SIZES = {"square": (64, 64), "wide": (96, 48), "high": (40, 80)}


@pytest.fixture(scope="module")
def scene():
    """Long meshes at random around the cameras: some within a view, some at its edge."""
    from sim_bridge.opengl import choose_opengl
    choose_opengl()
    import mujoco
    rng = np.random.default_rng(0)
    geoms = []
    for number in range(MESHES):
        x, y, z, a, b, c = rng.uniform(-1.0, 1.0, 6)
        red, green, blue = rng.uniform(0.2, 1.0, 3)
        geoms.append(f'<geom type="mesh" mesh="{number % 2}" pos="{x} {y} {z}" '
                     f'euler="{180 * a} {180 * b} {180 * c}" rgba="{red} {green} {blue} 1"/>')
    model = mujoco.MjModel.from_xml_string(f"""<mujoco><asset>
        <mesh name="0" vertex="0 0 0  0.4 0 0  0 0.03 0  0 0 0.03"/>
        <mesh name="1" vertex="-0.1 0 0  0.1 0 0  0 0.1 0  0 0 0.1  0.3 0.3 0.3"/></asset>
        <worldbody>{"".join(geoms)}<camera name="own" pos="0.1 0 0.2" xyaxes="0 -1 0 0.3 0 1"/>
        <camera name="other" pos="9 9 9" xyaxes="0 1 0 -0.3 0 -1"/>
        </worldbody></mujoco>""")
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    return model, data


def cameras(size) -> dict:
    width, height = size
    more = {"width": width, "height": height}
    free = {"lookat": (0.0, 0.0, 0.0), **more}
    return {"hanging": {"model_camera": "other", "fovy": 75.0, "position": (0.0, 0.1, 0.2),
                        "upside_down": True, **more},
            "far": {"distance": 2.0, "azimuth": 30.0, "elevation": -20.0, **free},
            "within": {"distance": 0.8, "azimuth": 200.0, "elevation": -10.0, **free},
            "own": {"model_camera": "own", "fovy": 70.0, **more}}


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_images_are_those_of_the_whole_scene(scene, size):
    import mujoco

    from sim_bridge.camera_renderer import CameraRenderer, make_camera
    from sim_bridge.simulated_robot import SimulatedRobotConfig
    model, data = scene
    shipped = SimulatedRobotConfig.load().model_dump()
    config = SimulatedRobotConfig.model_validate(shipped | {"cameras": cameras(size)})
    renderer = CameraRenderer(model, config)
    mujoco.mj_forward(model, data)  # with the camera that was moved
    whole = mujoco.Renderer(model, size[1], size[0])
    for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
        whole.scene.flags[flag] = 0
    for name, pose in config.cameras.items():
        whole.update_scene(data, make_camera(model, pose))
        image = renderer.render(data, name)
        assert len(np.unique(image.reshape(-1, 3), axis=0)) > 30, "there is something to see"
        expected = whole.render()
        if pose.upside_down:
            expected = np.rot90(expected, 2)
        assert np.array_equal(image, expected), name
    whole.close()
    renderer.close()

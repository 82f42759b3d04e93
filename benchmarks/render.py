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

"""Cost of a camera frame: the bridge's render settings against MuJoCo's defaults.

The same free camera looks at the same task in two models: the one of ``MetaWorldEnv`` (no
shadows, reflections or multisampling) and MetaWorld's own, untouched. All settings render in
turn.
"""

from __future__ import annotations

import argparse
import os
from contextlib import closing

from sim_bridge.opengl import choose_opengl

choose_opengl()

import metaworld  # noqa: E402  (the GL library must be chosen before MuJoCo is imported)
import mujoco  # noqa: E402
from _figures import alternate, print_heading, print_table  # noqa: E402
from OpenGL.GL import GL_RENDERER, glGetString  # noqa: E402

from sim_bridge.camera_renderer import make_camera  # noqa: E402
from sim_bridge.metaworld.environment import MetaWorldEnv  # noqa: E402
from sim_bridge.simulated_robot import CameraPose, SimulatedRobotConfig  # noqa: E402

SIZES = (96, 192)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", default="reach-v3")
    parser.add_argument("--camera", default="side", help="a camera of config/metaworld.yaml")
    parser.add_argument("--rounds", type=int, default=60, help="frames per setting")
    parser.add_argument("--warmup", type=int, default=3, help="frames per setting, not counted")
    parser.add_argument("--limit", type=float, default=30.0, help="seconds to stop after")
    args = parser.parse_args()
    config = SimulatedRobotConfig.load()
    pose = config.cameras[args.camera]
    poses = {f"{size}x{size}": pose.model_copy(update={"width": size, "height": size})
             for size in SIZES}
    stock = Stock(args.task, config.fovy)
    with (closing(MetaWorldEnv(args.task, config.model_copy(update={"cameras": poses}))) as env,
          closing(stock)):
        env.reset_unseen(seed=0)
        env.render()  # from here on a context is current and can be asked what draws
        settings = {}
        for name, resized in poses.items():
            settings[f"ours {name}"] = lambda name=name: env.render_camera(name)
            settings[f"default {name}"] = lambda resized=resized: stock.render(resized)
        print_heading("Rendering one camera frame", ("mujoco", "metaworld", "numpy"),
                      task=args.task, camera=args.camera, GL=os.environ["MUJOCO_GL"],
                      drawn_by=glGetString(GL_RENDERER).decode(),
                      LP_NUM_THREADS=os.environ.get("LP_NUM_THREADS", "unset"),
                      frames=args.rounds, warm_up=args.warmup, order="settings alternate")
        samples = alternate(settings, args.rounds, args.warmup, args.limit)
    print_table(samples, [f"default {name}" for name in poses])


class Stock:
    """MetaWorld's environment as it comes, under MuJoCo's own renderer and settings."""

    def __init__(self, task: str, fovy: float):
        benchmark = metaworld.MT1(task, seed=0)
        self._env = benchmark.train_classes[task]()
        self._env.set_task(benchmark.train_tasks[0])
        self._env.reset()
        self._env.model.vis.global_.fovy = fovy  # the view, not the quality
        self._renderers: dict[tuple[int, int], mujoco.Renderer] = {}

    def render(self, pose: CameraPose):
        """Render a pose: (height, width, 3) uint8 RGB."""
        size = pose.height, pose.width
        if size not in self._renderers:
            self._renderers[size] = mujoco.Renderer(self._env.model, *size)
        self._renderers[size].update_scene(self._env.data, make_camera(self._env.model, pose))
        return self._renderers[size].render()

    def close(self) -> None:
        """Free the renderers while OpenGL is still there."""
        for renderer in self._renderers.values():
            renderer.close()
        self._renderers.clear()


if __name__ == "__main__":
    main()

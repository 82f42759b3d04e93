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

"""What may go wrong around a MetaWorld arm while a policy acts.

Importable only; running it does nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from sim_bridge.environment import ArmEnvironment
from sim_bridge.episodes import plan_episodes
from sim_bridge.rollout import Episode
from tinyvla_ros.core.types import Observation

if TYPE_CHECKING:  # it must not be imported before sim_bridge has chosen an OpenGL
    from mujoco import MjvCamera

FREE_JOINT = 0  # mujoco.mjtJoint.mjJNT_FREE
KINDS = ("clean", "cover", "light", "move", "color", "weight", "goal", "snatch", "noise", "delay")


@dataclass
class Disturbance:
    """One disturbance of one episode; of kind clean it does nothing.

    ::

        cover    a camera shows dark gray from a moment on
        light    all images are darker or brighter
        move     a camera stands elsewhere
        color    objects have another color
        weight   objects are 15 times as heavy
        goal     objects and goal lie outside of their range
        snatch   a loose object jumps by 6 to 15 cm at a moment
        noise    what is executed has noise
        delay    images are 2 to 4 chunks old

    Attributes:
        kind: of ``KINDS``.
        env: of the episode.
        seed: of everything that is drawn.
    """

    kind: str
    env: ArmEnvironment
    seed: int
    _held: deque = field(default_factory=deque)

    def __post_init__(self):
        self._rng = rng = np.random.default_rng([self.seed, KINDS.index(self.kind)])
        cameras = sorted(self.env.config.cameras)
        self._camera = cameras[rng.integers(len(cameras))]
        self._moment = int(rng.integers(10, 60))  # control step
        self._brightness = float(rng.choice([0.25, 0.4, 1.8]))
        self._noise, self._age = rng.uniform(0.6, 1.6), int(rng.integers(2, 5))

    @contextmanager
    def of_scene(self) -> Iterator[None]:
        """Draw the scene of an episode outside of the range, for kind goal."""
        space = self.env._env._random_reset_space  # noqa: SLF001 (MetaWorld's)
        low, high = space.low.copy(), space.high.copy()
        if self.kind == "goal":
            wide = np.flatnonzero(high - low > 0.05)
            at = self._rng.choice(wide)
            more = self._rng.uniform(0.3, 0.9) * (high[at] - low[at])
            if self._rng.random() < 0.5:
                space.low[at], space.high[at] = high[at], high[at] + more
            else:
                space.low[at], space.high[at] = low[at] - more, low[at]
        try:
            yield
        finally:
            space.low[:], space.high[:] = low, high

    @contextmanager
    def of_model(self) -> Iterator[None]:
        """Change the model during an episode, for kinds color, weight and move."""
        model = self.env.model
        saved = model.geom_rgba.copy(), model.body_mass.copy(), model.body_inertia.copy()
        geoms = self._objects()
        bodies = sorted({int(model.geom_bodyid[g]) for g in geoms})
        if self.kind == "color":
            model.geom_rgba[geoms] = [*self._rng.uniform(0.0, 1.0, 3), 1.0]
        elif self.kind == "weight":
            model.body_mass[bodies] *= 15.0
            model.body_inertia[bodies] *= 15.0
        camera, place = self._free_camera(), ()
        if self.kind == "move":
            place = camera.azimuth, camera.elevation
            camera.azimuth += self._rng.choice([-1, 1]) * self._rng.uniform(8.0, 20.0)
            camera.elevation += self._rng.uniform(-6.0, 6.0)
        try:
            yield
        finally:
            model.geom_rgba[:], model.body_mass[:], model.body_inertia[:] = saved
            if place:
                camera.azimuth, camera.elevation = place

    def seen(self, observation: Observation, step: int) -> Observation:
        """Change what the policy sees; the images are replaced in place."""
        images = observation.images
        if self.kind == "cover" and step >= self._moment:
            images[self._camera] = np.full_like(images[self._camera], 20)
        elif self.kind == "light":
            for name, image in images.items():
                images[name] = np.clip(image * self._brightness, 0, 255).astype(np.uint8)
        elif self.kind == "delay":
            self._held.append({name: image.copy() for name, image in images.items()})
            if len(self._held) > self._age + 1:
                self._held.popleft()
            images.update(self._held[0])
        return observation

    def executed(self, action: np.ndarray, step: int) -> np.ndarray:
        """Return what is executed in place of an action, and change the scene before it is."""
        if self.kind == "snatch" and step == self._moment:
            model, data = self.env.model, self.env.data
            free = np.flatnonzero(model.jnt_type == FREE_JOINT)
            if len(free):
                at = model.jnt_qposadr[free[0]]
                data.qpos[at:at + 2] += self._rng.choice([-1, 1], 2) * \
                    self._rng.uniform(0.06, 0.15, 2)
        if self.kind == "noise":
            action = action.copy()
            action[:3] = np.clip(action[:3] + self._rng.normal(0.0, self._noise, 3), -1.0, 1.0)
        return action

    def _objects(self) -> list[int]:
        """Return the geoms that are neither the arm nor furniture."""
        model, base = self.env.model, self.env.model.body("base").id
        fixed = ("world", "tablelink", "RetainingWall", "mocap")
        return [g for g in range(model.ngeom)
                if model.body(model.geom_bodyid[g]).name not in fixed
                and not self.env._is_below(model.geom_bodyid[g], base)]  # noqa: SLF001

    def _free_camera(self) -> MjvCamera:
        """Return a camera that no body carries."""
        env = self.env
        name = next(n for n in sorted(env.config.cameras)
                    if env.config.cameras[n].model_camera is None)
        return env._renderer._cameras[name]  # noqa: SLF001


def disturbed_episode(env: ArmEnvironment, kind: str, seed: int, horizon: int
                      ) -> tuple[Disturbance, Episode] | None:
    """Begin an episode with a disturbance; None if its scene has no room for it."""
    disturbance = Disturbance(kind, env, seed)
    try:
        with disturbance.of_scene():
            return disturbance, Episode(env, plan_episodes([env.task], 1, seed)[0],
                                        horizon=horizon)
    except (RuntimeError, ValueError):  # MetaWorld found no place for its objects
        return None

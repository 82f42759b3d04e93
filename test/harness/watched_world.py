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

"""A scene that a policy's monitor can learn to know."""

from __future__ import annotations

import numpy as np

from tinyvla_ros.core.types import Observation

PERIOD_NS, LENGTH = 100_000_000, 12


class World:
    """A scene that gets brighter and an arm that moves on, as a task goes on.

    Args:
        config: of the policy that sees it.
        seed: of one episode.
    """

    def __init__(self, config, seed: int):
        self._config, self._rng = config, np.random.default_rng(seed)
        self._place = self._rng.uniform(-0.1, 0.1)

    def at(self, number: int, progress: float, color: float = 0.0) -> Observation:
        config = self._config
        images = {name: np.clip(
            self._rng.normal(60 + 120 * progress, 4, (spec.height, spec.width, 3))
            + color * np.array([90.0, -60.0, 60.0]), 0, 255).astype(np.uint8)
            for name, spec in config.cameras.items()}
        state = {name: float(self._place + progress + self._rng.normal(0, 0.01))
                 for name in config.state}
        return Observation(10**9 + number * PERIOD_NS, images, state, config.instructions[0])


def episode(config, seed: int, length: int = LENGTH) -> list[Observation]:
    world = World(config, seed)
    return [world.at(n, n / (length - 1)) for n in range(length)]


def watched(watcher, seen: list[Observation], success: bool = True, instruction: str = ""):
    """Return what a monitor is made of: an episode as the encoder sees it."""
    from training.monitor.watched_episodes import WatchedEpisode

    return WatchedEpisode("e", np.array([watcher.features(o) for o in seen], np.float32),
                          np.array([o.stamp_ns for o in seen]), success, instruction)

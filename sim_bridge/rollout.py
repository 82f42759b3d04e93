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

"""The lock-step protocol, without ROS: observe, infer, execute some steps, repeat.

The bridge node runs the same ``Episode`` between topics; running it here with a policy in
process gives identical actions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sim_bridge.arms import checked_horizon
from sim_bridge.commands import control_actions
from sim_bridge.episodes import EpisodeSpec
from tinyvla_ros.core.types import ActionChunk, Observation

if TYPE_CHECKING:
    from sim_bridge.environment import ArmEnvironment

# Observations kept for a policy that uses past ones.
PAST = 32


@dataclass(frozen=True)
class EpisodeResult:
    """How an episode ended.

    Attributes:
        spec: which episode.
        success: the task succeeded within the horizon.
        steps: control steps executed, the successful one included.
        episode_return: sum of the environment's rewards over them.
    """

    spec: EpisodeSpec
    success: bool
    steps: int
    episode_return: float


class Episode:
    """One running episode: time, return and success around an environment.

    Args:
        env: of the episode's task.
        spec: which episode.
        instruction: for the policy, None for the task's own.
        horizon: control steps after which it ends without success; 0 for the task's own.
        after_success: control steps that it goes on after success.
    """

    def __init__(self, env: ArmEnvironment, spec: EpisodeSpec, instruction: str | None = None,
                 horizon: int = 0, after_success: int = 0):
        self.env, self.spec, self._after_success = env, spec, after_success
        self.horizon = checked_horizon([spec.task], horizon)
        self.dt_ns = env.arm.dt_ns
        self.instruction = instruction or env.config.instruction(spec.task)
        self.steps, self.episode_return = 0, 0.0
        self._result: EpisodeResult | None = None  # of a success
        self.success = self.done = False
        env.reset_unseen(spec.seed)

    @property
    def stamp_ns(self) -> int:
        """Simulation time now."""
        return self.spec.start_ns + self.steps * self.dt_ns

    def observe(self) -> Observation:
        """Render the cameras and read the state now."""
        return self.env.observe(self.stamp_ns, self.instruction)

    def control(self, action: np.ndarray) -> None:
        """Execute one action; ``done`` becomes true after success or at the horizon."""
        reward, success = self.env.control(action)
        self.steps += 1
        self.episode_return += reward
        if success and not self.success:
            self.success = True
            self._result = self.result()
        ends = self._result is not None and \
            self.steps >= self._result.steps + self._after_success
        self.done = ends or self.steps >= self.horizon

    def execute(self, chunk: ActionChunk, steps: int,
                observe_at: Sequence[int] = ()) -> list[Observation]:
        """Execute the first ``steps`` rows of a chunk, fewer if the episode ends.

        Args:
            chunk: of actions.
            steps: how many.
            observe_at: stamps of observations to make on the way.

        Returns:
            These observations.
        """
        seen = []
        for action in control_actions(self.env.arm, chunk, steps, self.env.hold_action()):
            if self.done:
                break
            if any(2 * abs(self.stamp_ns - stamp) <= self.dt_ns for stamp in observe_at):
                seen.append(self.observe())
            self.control(action)
        return seen

    def result(self) -> EpisodeResult:
        """Return the outcome so far, of a success that at its moment."""
        return self._result or EpisodeResult(self.spec, self.success, self.steps,
                                             self.episode_return)


def rollout(policy, episode: Episode) -> Iterator[tuple[Observation, ActionChunk]]:
    """Run an episode to its end with a policy in this process.

    Args:
        policy: a ``Policy``, or what has its ``infer``, ``reset`` and ``config``.
        episode: a fresh episode.

    Yields:
        Each observation and the chunk for it, before the chunk is executed.
    """
    policy.reset()
    config, past = policy.config, []
    while not episode.done:
        observation = episode.observe()
        chunk = policy.infer(observation, past=past)
        yield observation, chunk
        steps = config.action.n_action_steps
        # Stamps the policy will use besides the next observation; most use none.
        wanted = config.past_stamps(observation.stamp_ns + steps * chunk.dt_ns)
        seen = episode.execute(chunk, steps, wanted)
        past = [*past, observation, *seen][-PAST:] if wanted else []

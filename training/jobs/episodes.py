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

"""Episodes of a policy in the simulator, as jobs for other processes.

Each process keeps the environments and policies it has made: an environment takes seconds. The
simulator is imported by the processes that use it, not by the one that plans.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from sim_bridge.episodes import POLICY_SEED, EpisodeSpec
from sim_bridge.make_environment import make_environment
from sim_bridge.results.film_strip import film_strip
from sim_bridge.simulated_robot import SimulatedRobotConfig
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.policy.backends.backend import BackendName
from tinyvla_ros.policy.policy import Policy
from tinyvla_ros.policy.saved_checkpoint import SavedCheckpoint

if TYPE_CHECKING:
    from sim_bridge.delayed_rollout import DelayedResult, RealTime
    from sim_bridge.environment import ArmEnvironment
    from sim_bridge.rollout import EpisodeResult

_environments: dict[str, ArmEnvironment] = {}


@dataclass(frozen=True)
class PolicySource:
    """A checkpoint and how to run it.

    Attributes:
        checkpoint: checkpoint directory.
        n_action_steps: actions executed per chunk, None for the checkpoint's own.
        ignore_instruction: run the policy without its instruction.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        seed: seed of the sampler's noise.
        backend: what runs the network.
    """

    checkpoint: Path
    n_action_steps: int | None = None
    ignore_instruction: bool = False
    device: str = "cpu"
    seed: int = POLICY_SEED
    backend: BackendName = "auto"


@dataclass(frozen=True)
class EpisodeRun:
    """An episode to run.

    Attributes:
        policy: which policy.
        spec: which episode.
        robot: the simulated robot; only cameras that the policy uses are rendered.
        labels: what identifies the episode in a file of results, plain data.
        instruction: for the policy, None for the task's own.
        real_time: delays, in simulated time; None for lock-step.
        film_strip: whether a film strip is wanted, in lock-step only.
        horizon: control steps after which it ends without success; 0 for the task's own.
    """

    policy: PolicySource
    spec: EpisodeSpec
    robot: SimulatedRobotConfig
    labels: Mapping[str, object] = field(default_factory=dict)
    instruction: str | None = None
    real_time: RealTime | None = None
    film_strip: bool = False
    horizon: int = 0

    def __str__(self) -> str:
        return f"{self.spec.task} seed {self.spec.seed}"

    @property
    def directory(self) -> Path:
        """The checkpoint, for workers on other machines."""
        return self.policy.checkpoint

    def moved_to(self, directory: Path) -> EpisodeRun:
        """Return the episode with a copy of the checkpoint."""
        return replace(self, policy=replace(self.policy, checkpoint=directory))


@dataclass(frozen=True)
class EpisodeOutcome:
    """How an episode went.

    Attributes:
        result: up to its end, or to the error.
        latency_ms: wall time of every inference, in lock-step.
        delayed: of an episode with delays.
        error: why the policy could not act: an unusable checkpoint, an instruction it does not
            take, actions that are not finite.
        film_strip: PNG, if it was wanted.
    """

    result: EpisodeResult
    latency_ms: tuple[float, ...] = ()
    delayed: DelayedResult | None = None
    error: InputError | None = None
    film_strip: bytes | None = None


def environment(task: str, robot: SimulatedRobotConfig) -> ArmEnvironment:
    """Return this process's environment for a task."""
    if task not in _environments or _environments[task].config != robot:
        _environments[task] = make_environment(task, robot)
    return _environments[task]


@lru_cache(maxsize=2)  # a study alternates between two at most
def load_policy(source: PolicySource) -> Policy:
    """Return this process's policy; one CPU thread, so that all cores can run episodes."""
    checkpoint = SavedCheckpoint.read(source.checkpoint)
    if source.n_action_steps is not None:
        config = checkpoint.config
        action = config.action.model_copy(update={"n_action_steps": source.n_action_steps})
        checkpoint = replace(checkpoint, config=config.model_copy(update={"action": action}))
    return Policy(checkpoint, source.device, source.seed, threads=1,
                  ignore_instruction=source.ignore_instruction, backend=source.backend)


def run_episode(run: EpisodeRun) -> EpisodeOutcome:
    """Run an episode to its end, or to an error of the policy."""
    from sim_bridge.delayed_rollout import delayed_rollout
    from sim_bridge.rollout import Episode, rollout

    def begin(robot: SimulatedRobotConfig) -> Episode:
        return Episode(environment(run.spec.task, robot), run.spec, run.instruction, run.horizon)

    frames, latencies = [], []
    episode = delayed = error = None
    try:
        policy = load_policy(run.policy)
        episode = begin(run.robot.with_cameras(policy.config.cameras))
        if run.real_time is not None:
            delayed = delayed_rollout(policy, episode, run.real_time)
        else:
            for observation, chunk in rollout(policy, episode):
                latencies.append(1e3 * chunk.latency_s)
                if run.film_strip:
                    frames.append(observation.images)
    except InputError as err:
        error = err
    result, strip = (episode or begin(run.robot)).result(), None
    if run.film_strip and error is None:
        frames.append(episode.observe().images)
        strip = film_strip(frames, f"{run}: {'success' if result.success else 'failure'}")
    return EpisodeOutcome(result, tuple(latencies), delayed, error, strip)

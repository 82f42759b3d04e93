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

"""Collect demonstrations with scripted experts into a LeRobotDataset.

The expert's clean action is recorded at every control step, while the action executed carries
bursts of noise: the data shows how to recover from states that a policy's own errors lead to
(DART, Laskey et al. 2017). The executed one is recorded beside it: a policy that is told what the
arm will do while it computes must be trained with what an arm did. Only successful episodes are
kept, with some settling steps past success.

With ``plan_rows``, every frame also has what the expert would do from there on if nothing
disturbed it: simulated, and undone. The actions that follow in the demonstration answer
disturbances that no policy can foresee; a chunk learned from the plan does not (docs/training.md).

A policy can drive the first part of every episode (DAgger, Ross et al. 2011): the expert's actions
and plans are recorded where the policy's own errors lead, and the expert ends the episode. In
chained scenes of drawer, window and door it has done the task and undone it before, in every other
episode: such episodes begin where the policy itself has ended, which is not where an expert ends.

A demonstration can be slower than the expert: each of its actions then takes several control
steps, with its share of the displacement in each. Rows, frames and their times are those of a
demonstration at full pace; only what the simulated arm does in between differs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sim_bridge.arms import HORIZON, METAWORLD
from sim_bridge.episodes import plan_episodes
from sim_bridge.metaworld.pushes import Pushes
from sim_bridge.metaworld.shared_scenes import SHARED_TASKS, pair_of, partner
from sim_bridge.opengl import require_opengl
from sim_bridge.simulated_robot import SimulatedRobotConfig
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.files import write_json
from tinyvla_ros.core.image_transform import encode_png, shrink
from tinyvla_ros.policy.config import PolicyConfig
from tinyvla_ros.policy.saved_checkpoint import SavedCheckpoint
from training.data.lerobot.format import EXECUTED_ACTION, EXPERT_PLAN
from training.data.lerobot.writer import DatasetEpisode, LeRobotDatasetWriter, image_stats
from training.jobs.episodes import PolicySource, environment, load_policy
from training.jobs.pool import open_workers, work_through
from training.jobs.progress import progress_bar
from training.jobs.workers import Job

if TYPE_CHECKING:
    from sim_bridge.metaworld.environment import MetaWorldEnv, SimulationMoment
    from tinyvla_ros.policy.policy import Policy

STATE_NAMES = METAWORLD.state_names
ATTEMPTS = "meta/attempts.json"
SETTLE_STEPS = 24  # control steps recorded past the first success
# Control steps that a policy has for a task before the one that is recorded, and for which it goes
# on at most when that is done.
EARLIER_STEPS, MOST_LATE_STEPS = 240, 40
# Demonstrations and evaluations both count seeds from 0; this keeps their goals apart.
SEED_OFFSET = 1_000_000_000


def collect(tasks: list[str], episodes: int, seed: int, out: Path, noise: float = 1.0,
            workers: int | None = None, config: SimulatedRobotConfig | None = None,
            size: int | None = None, stretch: tuple[int, ...] = (1,), plan_rows: int = 0,
            driver: Driver | None = None, ray: str | None = None) -> dict[str, Attempts]:
    """Write successful demonstrations to a dataset, the same whatever processes work.

    Args:
        tasks: MetaWorld tasks, each once.
        episodes: demonstrations per task.
        seed: decides goals, objects and noise.
        out: directory to create.
        noise: largest amplitude of a noise burst, in action units; each episode draws its own.
        workers: processes; None for one per core, or per CPU of the Ray cluster.
        config: the simulated robot.
        size: stored images are (size, size, 3); None for what each camera says.
        stretch: control steps that an action takes; each demonstration draws one of them.
        plan_rows: length of the expert's plan that is recorded with every frame; 0 for none.
        driver: what drives before the expert does; None for the expert alone.
        ray: address of a Ray cluster, see ``RAY_ADDRESSES``; None for this machine alone.

    Returns:
        Per task how often it was tried; also written to ``ATTEMPTS`` in ``out``.

    Raises:
        InputError: a task, ``episodes`` or ``seed`` is not valid, ``out`` not writable, the
            cluster cannot be joined, this machine cannot draw, or the policy that drives is
            unusable or does not know a task.
    """
    plan_episodes(tasks, episodes, seed)  # for its checks: the seeds of demonstrations are others
    config = config or SimulatedRobotConfig.load()
    policy = None if driver is None else SavedCheckpoint.read(driver.policy.checkpoint).config
    for task in tasks:
        instruction = config.instruction(task)
        if policy is not None:
            policy.check_instruction(instruction)
            if _is_undone(task, config):
                policy.check_instruction(config.instruction(partner(task)))
    if policy is not None:
        _check_driver(driver, policy, config)
    require_opengl()
    k = config.camera_every
    features = {f"observation.images.{name}": {
        "dtype": "image", "shape": [size or pose.recorded, size or pose.recorded, 3],
        "names": ["height", "width", "channels"]} for name, pose in config.cameras.items()}
    features["observation.state"] = {
        "dtype": "float32", "shape": [len(STATE_NAMES)], "names": list(STATE_NAMES)}
    # k control steps pass between two frames; a row holds the actions of all of them.
    names = [f"{channel}.{step}" for step in range(k) for channel in METAWORLD.channels]
    features["action"] = {"dtype": "float32", "shape": [len(names)], "names": names}
    features[EXECUTED_ACTION] = dict(features["action"])
    if plan_rows:
        names = [f"{channel}.{row}" for row in range(plan_rows) for channel in METAWORLD.channels]
        features[EXPERT_PLAN] = {"dtype": "float32", "shape": [len(names)], "names": names}
    kind = _Demonstration if driver is None else _DrivenDemonstration
    kept = {task: Attempts() for task in tasks}
    attempts = 20 * episodes
    first = SEED_OFFSET + seed * 1_000_000

    def jobs() -> Iterator[Job]:
        for task in tasks:
            for number in range(attempts):
                if len(kept[task].seeds) == episodes:
                    break
                yield Job("demonstration", _run_job,
                          kind(task, first + number, config, noise, size, stretch, plan_rows,
                               driver))

    def finished(job: Job, episode: DatasetEpisode | None) -> None:
        task, seed = job.argument.task, job.argument.seed
        so_far = kept[task]
        if len(so_far.seeds) == episodes:
            return  # begun before the last of them had ended
        so_far.tried += 1
        if episode is not None:
            writer.add(episode)
            progress.update()
            so_far.seeds.append(seed)
        if seed == first + attempts - 1 and len(so_far.seeds) < episodes:
            raise InputError(f"Only {len(so_far.seeds)} of {attempts} demonstrations of {task} "
                             f"succeeded; lower the noise (now {noise}).")

    with open_workers(workers, ray) as processes:
        writer = LeRobotDatasetWriter(out, round(1.0 / (k * METAWORLD.control_dt)), features,
                                      METAWORLD.robot_type)
        with progress_bar(total=len(tasks) * episodes, unit="episode", desc="collect") as progress:
            work_through(jobs(), finished, processes, in_order=True)
    writer.close()
    write_json(out / ATTEMPTS, {task: asdict(found) for task, found in kept.items()})
    return kept


def _check_driver(driver: Driver, policy: PolicyConfig, config: SimulatedRobotConfig) -> None:
    path = driver.policy.checkpoint
    missing = [c for c in policy.cameras if c not in config.cameras]
    if missing:
        raise InputError(f"{path} needs the camera {missing[0]!r}, and these are recorded: "
                         f"{', '.join(config.cameras)}; add it to --cameras.")
    if policy.past_stamps(0):
        raise InputError(f"{path} acts on {len(policy.past_stamps(0)) + 1} observations at once, "
                         "and --policy takes one that acts on the latest; give another.")
    if policy.action.n_action_steps % config.camera_every:
        raise InputError(f"{path} executes {policy.action.n_action_steps} steps of a chunk, and "
                         f"demonstrations have an image every {config.camera_every}; --policy "
                         "takes one whose n_action_steps is a multiple of that.")


@dataclass
class Attempts:
    """How often a task was tried.

    Attributes:
        tried: episodes of the disturbed expert, those that failed included.
        seeds: of those that succeeded, which became demonstrations, in order.
    """

    tried: int = 0
    seeds: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Driver:
    """A policy that drives the first part of an episode.

    Attributes:
        policy: the checkpoint.
        most_steps: control steps after which the expert takes over at the latest; each episode
            draws a number up to it.
    """

    policy: PolicySource
    most_steps: int


@dataclass(frozen=True)
class _Demonstration:
    task: str
    seed: int
    config: SimulatedRobotConfig
    noise: float
    size: int | None
    stretch: tuple[int, ...]
    plan_rows: int
    driver: Driver | None

    def __str__(self) -> str:
        return f"{self.task} seed {self.seed}"


class _DrivenDemonstration(_Demonstration):
    """One whose first part a policy drives; another machine needs its checkpoint."""

    @property
    def directory(self) -> Path:
        return self.driver.policy.checkpoint

    def moved_to(self, directory: Path) -> _DrivenDemonstration:
        policy = replace(self.driver.policy, checkpoint=directory)
        return replace(self, driver=replace(self.driver, policy=policy))


def _run_job(job: _Demonstration) -> DatasetEpisode | None:
    return demonstrate(environment(job.task, job.config), job.seed, job.noise, job.size,
                       job.stretch, job.plan_rows, job.driver)


def demonstrate(env: MetaWorldEnv, seed: int, noise: float, size: int | None = None,
                stretch: tuple[int, ...] = (1,), plan_rows: int = 0,
                driver: Driver | None = None) -> DatasetEpisode | None:
    """Run the scripted expert once; ``None`` if it did not succeed within the horizon."""
    from sim_bridge.metaworld.experts import make_expert

    rng = np.random.default_rng(seed)
    times = stretch[int(rng.integers(len(stretch)))] if len(stretch) > 1 else stretch[0]
    bursts = Pushes(rng, noise * rng.uniform(0.0, 1.0))
    expert = make_expert(env.task, env.config.scenes, corrects=driver is not None)
    env.reset_unseen(seed)
    every = env.config.camera_every
    handover, policy, chunk, planned = 0, None, None, 0
    if driver is not None:
        handover = int(rng.integers(driver.most_steps // times // every + 1)) * every
        policy = load_policy(driver.policy)
        policy.reset()
    # The sampler's noise follows from the stamp, and is to differ between episodes.
    start_ns = (seed % 1_000_000_000 + 1) * METAWORLD.slot_ns
    if policy is not None and seed % 2 and _is_undone(env.task, env.config):
        for task in env.scene_tasks:
            _drive(env, policy, task, int(rng.integers(MOST_LATE_STEPS + 1)), start_ns)
        if env.successes()[env.task]:  # it has not undone it: begin as without it
            env.reset_unseen(seed)
    scenes, moments, states, actions, done, steps_left = [], [], [], [], [], None
    for step in range(HORIZON // times):
        if step % every == 0:
            if steps_left is not None and steps_left <= 0:
                break
            # Rendered and planned from afterwards, and only if the expert succeeds: that costs
            # most, and half of the disturbed experts fail at pick-place.
            scenes.append(env.scene())
            state = env.state()
            states.append([state[name] for name in STATE_NAMES])
            actions.append(np.zeros((every, len(METAWORLD.channels)), np.float32))
            done.append(actions[-1].copy())
            if plan_rows:
                moments.append(env.moment())
            if step < handover and (chunk is None or step - planned
                                    >= policy.config.action.n_action_steps):
                observation = env.observe(start_ns + step * METAWORLD.dt_ns,
                                          env.config.instruction(env.task))
                chunk, planned = policy.infer(observation).actions, step
        action = np.clip(expert.get_action(env.privileged_observation), -1.0, 1.0)
        actions[-1][step % every] = action
        executed = action.copy()
        if step < handover:
            executed[:] = chunk[step - planned]
        elif steps_left is None:
            executed[:3] += bursts.sample()
        done[-1][step % every] = np.clip(executed, -1.0, 1.0)
        success = _execute(env, done[-1][step % every], times)
        if steps_left is None and success:
            steps_left = SETTLE_STEPS
        elif steps_left is not None:
            steps_left -= 1
    if steps_left is None or steps_left > 0:
        return None
    images = {f"observation.images.{name}": [] for name in env.config.cameras}
    for scene in scenes:
        env.show(scene)
        for name, pose in env.config.cameras.items():
            edge = size or pose.recorded
            images[f"observation.images.{name}"].append(
                shrink(env.render_camera(name), edge, edge))
    arrays = {"observation.state": np.array(states, np.float32),
              "action": np.stack(actions).reshape(len(actions), -1),
              EXECUTED_ACTION: np.stack(done).reshape(len(done), -1)}
    if plan_rows:
        plans = [_plan(env, expert, moment, plan_rows, times) for moment in moments]
        arrays[EXPERT_PLAN] = np.stack(plans).reshape(len(plans), -1)
    return DatasetEpisode(
        task=env.config.instruction(env.task),
        images={name: [encode_png(image) for image in stack] for name, stack in images.items()},
        image_stats={name: image_stats(np.stack(stack)) for name, stack in images.items()},
        arrays=arrays)


def _is_undone(task: str, config: SimulatedRobotConfig) -> bool:
    """Whether the other task of the scene undoes a task, and can follow it."""
    return config.scenes == "chained" and task in SHARED_TASKS and pair_of(task).joint is not None


def _drive(env: MetaWorldEnv, policy: Policy, task: str, late: int, start_ns: int) -> None:
    """Let a policy do one of the tasks of a chained scene.

    Args:
        env: in that scene.
        policy: it.
        task: of ``env.scene_tasks``.
        late: control steps that it goes on when it is done.
        start_ns: of the episode.
    """
    words, rows = env.config.instruction(task), policy.config.action.n_action_steps
    step, left = 0, EARLIER_STEPS
    while left > 0:
        now_ns = start_ns + step * METAWORLD.dt_ns
        for action in policy.infer(env.observe(now_ns, words)).actions[:rows]:
            env.control(action)
        step, left = step + rows, left - rows
        if left > late and env.successes()[task]:
            left = late


def _execute(env: MetaWorldEnv, action: np.ndarray, times: int) -> bool:
    """Execute an action in so many control steps; return whether the task succeeded in one."""
    part = action.astype(np.float64)
    part[:3] /= times
    return any([env.control(part)[1] for _ in range(times)])


def _plan(env: MetaWorldEnv, expert, moment: SimulationMoment, rows: int,
          times: int) -> np.ndarray:
    """Return the (rows, channels) float32 actions that the expert takes from there undisturbed."""
    env.go_back(moment)
    plan = np.zeros((rows, len(METAWORLD.channels)), np.float32)
    for row in plan:
        row[:] = np.clip(expert.get_action(env.privileged_observation), -1.0, 1.0)
        _execute(env, row, times)
    return plan

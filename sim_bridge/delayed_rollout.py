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

"""Real time with given delays, in simulated time: the speed of the machine does not matter.

The same as the bridge and the policy node in real time, with the same supervisor: an image every
few control steps, one inference at a time, chunks blended, checked and followed by time.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from sim_bridge.rollout import PAST, Episode, EpisodeResult
from tinyvla_ros.arm.blending import ChunkBlending, Seam
from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.arm.supervisor import Supervisor
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.resources import default_robot
from tinyvla_ros.core.types import ActionChunk, Observation

# The policy node predicts a chunk's latency by this percentile of those before.
EXPECTED_SHARE = 0.9


@dataclass(frozen=True)
class RealTime:
    """How chunks are executed, and what stands between an image and its chunk.

    Attributes:
        join: how chunks are blended; empty for the contract's.
        pace: of the execution; 0 for the contract's.
        latency_ns: from the start of an inference to the chunk, simulated time.
        jitter_ns: at most so much longer, drawn anew for every inference.
        dropped: share of the images that are lost.
        camera_every: control steps between two images; None for the simulated robot's.
        replan_every: rows between the observations of two inferences; 0 for every image.
        settings: further fields of the contract's ``execution``, such as ``catch_up=0``.
    """

    join: ChunkBlending | str = ""
    pace: float = 0.0
    latency_ns: int = 0
    jitter_ns: int = 0
    dropped: float = 0.0
    camera_every: int | None = None
    replan_every: int = 0
    settings: tuple[str, ...] = ()

    @property
    def expected_ns(self) -> int:
        """Latency to expect."""
        return self.latency_ns + round(EXPECTED_SHARE * self.jitter_ns)


@dataclass(frozen=True)
class DelayedResult:
    """How an episode with latency went.

    Attributes:
        episode: outcome.
        seams: where one chunk followed another.
        held_steps: control steps without a command, in which the arm held.
        mean_pace: over all chunks.
    """

    episode: EpisodeResult
    seams: tuple[Seam, ...]
    held_steps: int
    mean_pace: float = 1.0


def delayed_rollout(policy, episode: Episode, conditions: RealTime) -> DelayedResult:
    """Run an episode in which a chunk is ready some time after its observation.

    Args:
        policy: has ``infer(observation, prefix, past)`` and ``config``.
        episode: a fresh episode.
        conditions: what is between the two.

    Raises:
        InputError: the arm does not follow increments.
    """
    if (arm := episode.env.arm).quantity != "increment":
        raise InputError(f"latency cannot be simulated in process for {arm.name}, which follows "
                         "positions; use 'tinyvla sim-eval --mode realtime'")
    contract = RobotContract.load(default_robot()).with_execution(
        conditions.join, conditions.pace, conditions.settings)
    supervisor = Supervisor(contract, policy.config)
    supervisor.activate(True)
    rng = np.random.default_rng([episode.spec.seed, episode.spec.index])
    every = conditions.camera_every or episode.env.config.camera_every
    frame: tuple[int, Observation] | None = None
    last: int | None = None  # stamp of the last observation used
    ready: tuple[int, ActionChunk] | None = None
    seen: deque[Observation] = deque(maxlen=PAST)
    held, paces = 0, []
    while not episode.done:
        now = episode.stamp_ns
        if ready is not None and ready[0] <= now:
            supervisor.accept(ready[1], episode.instruction, {}, now)
            ready = None
        if episode.steps % every == 0 and (
                not conditions.dropped or rng.random() >= conditions.dropped):
            frame = (now, episode.observe())
            seen.append(frame[1])
        if ready is None and frame is not None and frame[0] != last and (
                last is None or frame[0] - last >= conditions.replan_every * episode.dt_ns):
            # The image may be older than now: it came during the inference before.
            last, prefix = frame[0], supervisor.prefix(frame[0], now + conditions.expected_ns)
            chunk = supervisor.paced(policy.infer(frame[1], prefix, seen))
            paces.append(supervisor.pacing.pace)
            latency_ns = conditions.latency_ns
            if conditions.jitter_ns:
                latency_ns += int(rng.integers(conditions.jitter_ns + 1))
            if latency_ns:
                ready = (now + latency_ns, chunk)
            else:
                supervisor.accept(chunk, episode.instruction, {}, now)
        supervisor.tick(now, "")
        values = supervisor.plan.values(now) if supervisor.plan is not None else None
        if supervisor.state != "running" or values is None:
            held += 1
            values = episode.env.hold_action()
        episode.control(values.astype(np.float32))
    return DelayedResult(episode.result(), tuple(supervisor.seams), held,
                         float(np.mean(paces)) if paces else 1.0)

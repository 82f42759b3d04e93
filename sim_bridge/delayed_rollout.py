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

"""Real time with a given latency, in simulated time: the speed of the machine does not matter.

The same as the bridge and the policy node in real time, with the same supervisor: an image every
few control steps, one inference at a time, chunks blended, checked and followed by time.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from sim_bridge.rollout import DT_NS, PAST, Episode, EpisodeResult
from sim_bridge.simulated_robot import ACTION_CHANNELS
from tinyvla_ros.arm.blending import Seam
from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.arm.supervisor import Supervisor
from tinyvla_ros.core.resources import default_robot
from tinyvla_ros.core.types import ActionChunk, Observation


@dataclass(frozen=True)
class DelayedResult:
    """How an episode with latency went.

    Attributes:
        episode: outcome.
        seams: where one chunk followed another.
        held_steps: control steps without a command, in which the arm held.
    """

    episode: EpisodeResult
    seams: tuple[Seam, ...]
    held_steps: int


def delayed_rollout(policy, episode: Episode, join: str, latency_ns: int,
                    replan_every: int = 0, pace: float = 0.0) -> DelayedResult:
    """Run an episode in which a chunk is ready some time after its observation.

    Args:
        policy: has ``infer(observation, prefix, past)`` and ``config``.
        episode: a fresh episode.
        join: how chunks are blended.
        latency_ns: from the start of an inference to the chunk, simulated time.
        replan_every: rows between the observations of two inferences; 0 for every image.
        pace: of the execution; 0 for the contract's.
    """
    contract = RobotContract.load(default_robot()).with_execution(join, pace)
    supervisor = Supervisor(contract, policy.config)
    supervisor.activate(True)
    last: int | None = None  # stamp of the last observation used
    ready: tuple[int, ActionChunk] | None = None
    seen: deque[Observation] = deque(maxlen=PAST)
    hold, held = np.zeros(len(ACTION_CHANNELS)), 0
    while not episode.done:
        now = episode.stamp_ns
        if ready is not None and ready[0] <= now:
            supervisor.accept(ready[1], episode.instruction, {}, now)
            ready = None
        if episode.steps % episode.env.config.camera_every == 0:
            frame = (now, episode.observe())
            seen.append(frame[1])
        if ready is None and frame[0] != last and (
                last is None or frame[0] - last >= replan_every * DT_NS):
            # The image may be older than now: it came during the inference before.
            last, prefix = frame[0], supervisor.prefix(frame[0], now + latency_ns)
            chunk = supervisor.paced(policy.infer(frame[1], prefix, seen))
            if latency_ns:
                ready = (now + latency_ns, chunk)
            else:
                supervisor.accept(chunk, episode.instruction, {}, now)
        supervisor.tick(now, "")
        values = supervisor.plan.values(now) if supervisor.plan is not None else None
        if supervisor.state != "running" or values is None:
            held += 1
            values = hold
        hold = np.array([0.0, 0.0, 0.0, values[3]])
        episode.control(values.astype(np.float32))
    return DelayedResult(episode.result(), tuple(supervisor.seams), held)

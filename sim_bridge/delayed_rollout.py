# SPDX-License-Identifier: Apache-2.0
"""Real time with a latency of one's choice, without a clock: the simulation waits for nobody.

What the bridge and the policy node do in real time, in steps of the simulation and through the
same supervisor: cameras show a picture every few steps, one inference at a time takes the
latency, chunks are joined, checked and followed by time. The machine's speed plays no part.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from sim_bridge.metaworld_env import ACTION_CHANNELS
from sim_bridge.rollout import DT_NS, PAST, Episode, EpisodeResult
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
        seams: joins.
        held_steps: control steps without a command, in which the arm held.
    """

    episode: EpisodeResult
    seams: tuple[Seam, ...]
    held_steps: int


def delayed_rollout(policy, episode: Episode, join: str, latency_ns: int,
                    replan_every: int = 0) -> DelayedResult:
    """Run an episode whose chunks are ready some time after their observation.

    Args:
        policy: has ``infer(observation, prefix, past)`` and ``config``.
        episode: a fresh episode.
        join: ``replace``, ``ensemble`` or ``rtc``.
        latency_ns: from the start of an inference to the chunk, simulated time.
        replan_every: rows between two observations acted on; 0 for every picture.
    """
    contract = RobotContract.load(default_robot())
    execution = contract.execution.model_copy(update={"join": join})
    supervisor = Supervisor(contract.model_copy(update={"execution": execution}), policy.config)
    supervisor.activate(True)
    done: int | None = None
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
        if ready is None and frame[0] != done and (
                done is None or frame[0] - done >= replan_every * DT_NS):
            # A picture may be older than now: it was taken while the one before was looked at.
            done, prefix = frame[0], supervisor.prefix(frame[0], now + latency_ns)
            chunk = policy.infer(frame[1], prefix, seen)
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

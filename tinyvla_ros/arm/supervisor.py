# SPDX-License-Identifier: Apache-2.0
"""The states of a policy on an arm, and the plans that come of them.

::

    inactive -> disabled -> waiting -> running <-> holding
                   ^                      |           |
                   +------- ~/reset --- stopped <-----+

One thread drives it: it hands in chunks as they are ready and asks for a plan at every control
period. Whatever leads out of ``running`` gives one last plan, which brings the arm to rest.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence

import numpy as np

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.arm.joining import Joiner, Seam
from tinyvla_ros.arm.plan import Plan
from tinyvla_ros.arm.safety import Motion, SafetyLayer
from tinyvla_ros.policy_config import PolicyConfig
from tinyvla_ros.types import ActionChunk, Prefix

SEAMS_KEPT = 1000


class Supervisor:
    """Decides what the arm is told; all times are ROS time in nanoseconds.

    Attributes:
        state: ``inactive``, ``disabled``, ``waiting``, ``running``, ``holding`` or ``stopped``.
        reason: why it is in that state, one sentence or a few words.
        plans: plans made of chunks.
        holds: times the arm was brought to rest while running, by cause.
        seams: the last joins.

    Args:
        contract: the robot's.
        config: the checkpoint's, already checked against the contract.
    """

    def __init__(self, contract: RobotContract, config: PolicyConfig):
        action = config.action
        limits = {name: contract.actions[name] for name in action.channels}
        self._channels = action.channels
        self._horizon = action.horizon
        self._dt_ns = round(action.dt * 1e9)
        self._max_ns = round(contract.execution.max_duration * 1e9)
        self._states = tuple(c.state for c in limits.values())
        self._safety = SafetyLayer(limits, contract.on_violation, action.dt)
        self._joiner = Joiner(contract.execution.join,
                              np.array([c.high - c.low for c in limits.values()]))
        self._plan: Plan | None = None
        self._enabled = self._active = False
        self.state, self.reason = "inactive", "not activated"
        self.plans = 0
        self.holds: Counter[str] = Counter()
        self.seams: deque[Seam] = deque(maxlen=SEAMS_KEPT)

    @property
    def interventions(self) -> Mapping[str, int]:
        """Violations of limits so far by ``<kind> <channel>``."""
        return self._safety.interventions

    @property
    def plan(self) -> Plan | None:
        """The plan being executed, None before the first and after ``forget``."""
        return self._plan

    @property
    def may_infer(self) -> bool:
        """Whether a chunk would be executed if it were good."""
        return self._active and self._enabled and self.state != "stopped"

    def activate(self, enabled: bool) -> None:
        """Start from nothing; the operator's switch as given."""
        self.forget()
        self._active, self._enabled = True, enabled
        self._rest_state()

    def deactivate(self, now_ns: int) -> Plan | None:
        """Bring the arm to rest for good."""
        plan = self._rest(now_ns, "deactivated")
        self._active = False
        self.state, self.reason = "inactive", "deactivated"
        return plan

    def enable(self, enabled: bool, now_ns: int) -> Plan | None:
        """The operator's switch; a stop stays latched."""
        plan = None if enabled else self._rest(now_ns, "disabled by the operator")
        self._enabled = enabled
        if self.state != "stopped":
            self._rest_state()
        return plan

    def stop(self, reason: str, now_ns: int) -> Plan | None:
        """Bring the arm to rest until ``reset``."""
        plan = self._rest(now_ns, reason)
        self.state, self.reason = "stopped", reason
        return plan

    def reset(self, now_ns: int) -> Plan | None:
        """Release a stop and forget the chunk being executed."""
        plan = self._rest(now_ns, "reset by the operator")
        self._joiner.reset()
        self._rest_state()
        return plan

    def forget(self) -> None:
        """Forget what was commanded: time jumped, or the arm was moved by others."""
        self._joiner.reset()
        self._plan = None

    def prefix(self, stamp_ns: int, ready_ns: int) -> Prefix | None:
        """Return what a chunk that is about to be computed must go on from."""
        return self._joiner.prefix(stamp_ns, ready_ns, self._horizon)

    def tick(self, now_ns: int, problem: str) -> Plan | None:
        """Look after the arm between chunks.

        Args:
            now_ns: ROS time.
            problem: why the arm must not move, empty if it may.
        """
        if not self.may_infer:
            return None
        if problem:
            plan = self._rest(now_ns, problem)
            waits = self.state == "waiting" or self._plan is None
            self.state, self.reason = ("waiting" if waits else "holding"), problem
            return plan
        if self.state == "running" and self._plan is not None and now_ns >= self._plan.end_ns:
            # It ended with the arm at rest: nothing more to send.
            self.state, self.reason = "holding", "the chunk ran out before the next was ready"
            self.holds[self.reason] += 1
            self._joiner.reset()
        elif self.state in ("waiting", "holding") and self._plan is None:
            self.state, self.reason = "waiting", "waiting for the first chunk"
        return None

    def accept(self, chunk: ActionChunk, instruction: str, measured: Mapping[str, float],
               now_ns: int) -> Plan | None:
        """Join, check and cut a chunk; call ``tick`` with the problems of the moment first.

        Args:
            chunk: the policy's; finite and within the checkpoint's limits, or not.
            instruction: what it was computed for.
            measured: the newest state by name.
            now_ns: ROS time.

        Returns:
            What to send, None if nothing is to be sent.
        """
        if not self.may_infer or (self.state == "holding" and self._is_old(chunk)):
            return None
        # In simulation an observation may arrive before the clock that goes with it.
        now_ns = max(now_ns, chunk.stamp_ns)
        first = chunk.index_at(now_ns)
        last = min(len(chunk.actions), self._max_ns // chunk.dt_ns)
        if first >= last:
            self.holds["chunk too late"] += 1
            self.reason = (f"the chunk was ready {(now_ns - chunk.stamp_ns) / 1e9:.3f} s after "
                           f"its observation, and it lasts {last * chunk.dt:.3f} s")
            return None
        motion = self._plan.motion(now_ns) if self._plan is not None else None
        seam = self._joiner.join(chunk, now_ns)
        joined = self._joiner.current
        verdict = self._safety.check(joined.actions[first:last], motion,
                                     [measured.get(s) if s else None for s in self._states])
        if verdict.action != "pass":
            self._joiner.reset()
            if verdict.action == "stop":
                return self.stop(verdict.reason, now_ns)
            plan = self._rest(now_ns, verdict.reason)
            self.state, self.reason = "holding", verdict.reason
            return plan
        if seam is not None and self.state == "running":
            self.seams.append(seam)
        start = chunk.stamp_ns + first * chunk.dt_ns
        return self._begin_plan(joined, instruction, verdict.commands, first, start, motion)

    def _begin_plan(self, chunk: ActionChunk, instruction: str, commands: np.ndarray, first: int,
                    start_ns: int, motion: Motion | None) -> Plan:
        actions = chunk.actions.copy()
        actions[first:first + len(commands)] = commands
        executed = ActionChunk(chunk.stamp_ns, chunk.channels,
                               actions[:first + len(commands)], chunk.dt, chunk.latency_s)
        self._joiner.current = executed
        if motion is None:
            motion = Motion.at_rest(commands[0])
        end = Motion(commands[-1], commands[-1] - (commands[-2] if len(commands) > 1
                                                   else motion.value))
        rows = np.concatenate([commands, self._safety.brake(end)])
        self._plan = Plan(start_ns, self._dt_ns, rows, self._channels, motion, executed,
                          instruction)
        self.state, self.reason = "running", ""
        self.plans += 1
        return self._plan

    def _rest(self, now_ns: int, reason: str) -> Plan | None:
        """Brake if the arm is being moved."""
        self._joiner.reset()
        if self.state != "running" or self._plan is None:
            return None
        self.holds[_cause(reason)] += 1
        motion = self._plan.motion(now_ns)
        self._plan = Plan(now_ns, self._dt_ns, self._safety.brake(motion), self._channels, motion)
        self.state, self.reason = "holding", reason
        return self._plan

    def _rest_state(self) -> None:
        if self._enabled:
            self.state, self.reason = "waiting", "waiting for the first chunk"
        else:
            self.state, self.reason = "disabled", "disabled by the operator"

    def _is_old(self, chunk: ActionChunk) -> bool:
        """Whether a chunk was observed before the arm was brought to rest."""
        return self._plan is not None and self._plan.chunk is None and \
            chunk.stamp_ns < self._plan.start_ns


def _cause(reason: str) -> str:
    """Shorten a reason to what can be counted."""
    return reason.split(":")[0]


def seam_summary(seams: Sequence[Seam]) -> dict[str, float]:
    """Return p50, p99 and largest of both measures of a number of joins."""
    if not seams:
        return {}
    values = {"seam_position": [s.position for s in seams],
              "seam_velocity": [s.velocity for s in seams]}
    return {f"{name}_{label}": float(np.percentile(v, q)) for name, v in values.items()
            for label, q in (("p50", 50), ("p99", 99), ("max", 100))}

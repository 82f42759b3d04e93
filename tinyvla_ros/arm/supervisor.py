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
from dataclasses import replace

import numpy as np

from tinyvla_ros.arm.blending import Joiner, Seam, at_times_of
from tinyvla_ros.arm.contract import Channel, RobotContract
from tinyvla_ros.arm.contract_outputs import JointTrajectoryOutput
from tinyvla_ros.arm.plan import Plan
from tinyvla_ros.arm.safety import Motion, SafetyLayer, Verdict
from tinyvla_ros.core.types import ActionChunk, Prefix
from tinyvla_ros.policy.config import PolicyConfig

SEAMS_KEPT = 1000


class Supervisor:
    """Decides what the arm is told; all times are ROS time in nanoseconds.

    Attributes:
        state: ``inactive``, ``disabled``, ``waiting``, ``running``, ``holding`` or ``stopped``.
        reason: why it is in that state, one sentence or a few words.
        plans: plans made of chunks.
        holds: times the arm was brought to rest while running, by cause; chunks that came too
            late count here, too.
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
        self._low = np.array([c.low for c in limits.values()])
        self._high = np.array([c.high for c in limits.values()])
        trajectories = [o for o in contract.outputs if isinstance(o, JointTrajectoryOutput)]
        self._lead_ns = round(max((o.lead for o in trajectories), default=0.0) * 1e9)
        for name in (n for o in trajectories for n in o.channels):
            limits[name] = between_rows(limits[name], action.dt)
        self._safety = SafetyLayer(limits, contract.on_violation, action.dt)
        self._joiner = Joiner(contract.execution.join, self._high - self._low)
        self._plan: Plan | None = None
        self._enabled = self._active = False
        self._stop = ""  # why it is stopped; latched
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
        return self._active and self._enabled and not self._stop

    def activate(self, enabled: bool) -> None:
        """Start from nothing, the operator's switch as given; a stop stays latched."""
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
        if enabled == self._enabled:
            return None  # above all, what is running goes on running
        plan = None if enabled else self._rest(now_ns, "disabled by the operator")
        self._enabled = enabled
        self._rest_state()
        return plan

    def stop(self, reason: str, now_ns: int) -> Plan | None:
        """Bring the arm to rest until ``reset``."""
        plan = self._rest(now_ns, reason)
        self._stop = reason
        self._rest_state()
        return plan

    def reset(self, now_ns: int) -> Plan | None:
        """Release a stop and forget the chunk being executed.

        After a stop the arm stays disabled: to move it again is a decision of its own.
        """
        plan = self._rest(now_ns, "reset by the operator")
        if self._stop:
            self._stop, self._enabled = "", False
        self._rest_state()
        return plan

    def forget(self) -> None:
        """Forget what was commanded: time jumped, or the arm was moved by others."""
        self._joiner.reset()
        self._plan = None
        self._rest_state()

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
        elif self.state == "waiting":
            self._rest_state()  # the problem that there was is gone
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
        if not self.may_infer or self._is_old(chunk):
            return None
        unknown = [s for s in self._states if s is not None and s not in measured]
        if unknown:
            return self._hold(f"no measured value: {', '.join(unknown)}", now_ns)
        # In simulation an observation may arrive before the clock that goes with it.
        now_ns = max(now_ns + self._lead_ns, chunk.stamp_ns)
        last = min(len(chunk.actions), self._max_ns // chunk.dt_ns)
        rows = (chunk.stamp_ns + last * chunk.dt_ns - now_ns) // chunk.dt_ns
        if rows < 1:
            self.holds["chunk too late"] += 1
            self.reason = (f"the chunk was ready {(now_ns - chunk.stamp_ns) / 1e9:.3f} s after "
                           f"its observation, and it lasts {last * chunk.dt:.3f} s")
            if self.state != "running":
                self.state = "holding"
            return None
        if np.isfinite(chunk.actions).all():
            seam = self._joiner.join(chunk, now_ns)
            # Rows last a period from now, also where the chunk's own are under way: less time
            # would be too little to reach them within the limits.
            commands, _ = at_times_of(self._joiner.current, now_ns, rows)
        else:
            seam, commands = None, chunk.actions  # to be refused, also for what went by
        values = [None if s is None else measured[s] for s in self._states]
        verdict = self._safety.check(commands, self._motion(now_ns, values), values)
        if verdict.action == "stop":
            return self.stop(verdict.reason, now_ns - self._lead_ns)
        if verdict.action == "hold":
            return self._hold(verdict.reason, now_ns - self._lead_ns)
        if seam is not None and self.state == "running":
            self.seams.append(seam)
        return self._begin_plan(self._joiner.current, instruction, verdict, now_ns)

    def _motion(self, now_ns: int, measured: Sequence[float | None]) -> Motion | None:
        """Return what a new plan goes on from; None if nothing was commanded."""
        if self._plan is None:
            return None
        motion = self._plan.motion(now_ns)
        if now_ns < self._plan.end_ns:
            return motion
        # At rest, and perhaps moved by others meanwhile: it starts from where it is.
        return Motion.at_rest([v if m is None else m
                               for v, m in zip(motion.value, measured, strict=True)])

    def _begin_plan(self, chunk: ActionChunk, instruction: str, verdict: Verdict,
                    now_ns: int) -> Plan:
        commands, motion = verdict.commands, verdict.begin
        end = Motion(commands[-1], commands[-1] - (commands[-2] if len(commands) > 1
                                                   else motion.value))
        rows = np.concatenate([commands, self._safety.brake(end)])
        plan = Plan(now_ns, self._dt_ns, rows, self._channels, motion, instruction=instruction)
        # In the chunk's own rows: those that went by, then what the plan makes of the others.
        first = chunk.index_at(now_ns)
        actions = np.clip(chunk.actions, self._low, self._high).astype(np.float32)
        actions = actions[:first + len(commands)]
        for row in range(first, len(actions)):
            actions[row] = plan.motion(chunk.stamp_ns + (row + 1) * chunk.dt_ns).value
        self._joiner.current = ActionChunk(chunk.stamp_ns, chunk.channels, actions, chunk.dt,
                                           chunk.latency_s)
        self._plan = replace(plan, chunk=self._joiner.current)
        self.state, self.reason = "running", ""
        self.plans += 1
        return self._plan

    def _rest(self, now_ns: int, reason: str) -> Plan | None:
        """Brake if the arm is being moved."""
        self._joiner.reset()
        if self.state != "running" or self._plan is None:
            return None
        self.holds[_cause(reason)] += 1
        now_ns += self._lead_ns
        motion = self._plan.motion(now_ns)
        self._plan = Plan(now_ns, self._dt_ns, self._safety.brake(motion), self._channels, motion)
        self.state, self.reason = "holding", reason
        return self._plan

    def _hold(self, reason: str, now_ns: int) -> Plan | None:
        """Hold until a good chunk comes."""
        plan = self._rest(now_ns, reason)
        self.state, self.reason = "holding", reason
        return plan

    def _rest_state(self) -> None:
        if not self._active:
            return
        if self._stop:
            self.state, self.reason = "stopped", self._stop
        elif self._enabled:
            self.state, self.reason = "waiting", "waiting for the first chunk"
        else:
            self.state, self.reason = "disabled", "disabled by the operator"

    def _is_old(self, chunk: ActionChunk) -> bool:
        """Whether a chunk was observed before the arm was brought to rest."""
        return self._plan is not None and self._plan.chunk is None and \
            chunk.stamp_ns < self._plan.start_ns


def between_rows(limits: Channel, dt: float) -> Channel:
    """Return limits for rows such that a controller's cubics between them keep the given ones.

    Between two rows a cubic with the slopes of ``Plan.slopes`` is faster than their mean by at
    most 3/8 of what the slopes may differ in a period, which acceleration limits. Where nothing
    limits it, the arm may be at rest at both rows: then the cubic is faster by half.
    """
    if limits.velocity is None:
        return limits
    if limits.acceleration is None:
        slower = limits.velocity / 1.5
    else:
        slower = max(limits.velocity - limits.acceleration * dt / 2, limits.velocity / 2)
    return limits.model_copy(update={"velocity": slower})


def _cause(reason: str) -> str:
    """Shorten a reason to what can be counted."""
    return reason.split(":")[0]


def seam_summary(seams: Sequence[Seam]) -> dict[str, float]:
    """Return p50, p99 and largest of both measures of a number of joins."""
    seams = list(seams)  # at once: another thread may append while this one computes
    if not seams:
        return {}
    values = {"seam_position": [s.position for s in seams],
              "seam_velocity": [s.velocity for s in seams]}
    return {f"{name}_{label}": float(np.percentile(v, q)) for name, v in values.items()
            for label, q in (("p50", 50), ("p99", 99), ("max", 100))}

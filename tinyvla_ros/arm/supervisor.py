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

"""The states of a policy that drives an arm, and the plan to send in each.

::

    inactive -> disabled -> waiting -> running <-> holding
                   ^                      |           |
                   +------- ~/reset --- stopped <-----+

The control thread calls ``tick`` every control period and ``accept`` with every new chunk; both
return a plan to send, or None. Leaving ``running`` always gives one last plan, which brings the
arm to rest.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from tinyvla_ros.arm.blending import ChunkBlender, Seam, resample, shortest_way
from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.arm.contract_outputs import JointTrajectoryOutput
from tinyvla_ros.arm.pace import PaceChooser, stretch
from tinyvla_ros.arm.plan import Plan
from tinyvla_ros.arm.safety import Motion, SafetyLayer, Verdict
from tinyvla_ros.core.angles import nearest
from tinyvla_ros.core.types import ActionChunk, Prefix
from tinyvla_ros.policy.config import DriverConfig

SEAMS_KEPT = 1000


class Supervisor:
    """Decides what is commanded; all times are ROS time in nanoseconds.

    The checkpoint, or what a person drives with, is already checked against the contract.

    Attributes:
        state: ``inactive``, ``disabled``, ``waiting``, ``running``, ``holding`` or ``stopped``.
        reason: why it is in that state, for the operator.
        plan: the newest plan; None before the first and after ``forget``.
        plans: number of plans made from chunks of the policy, or of the person in its place.
        interventions: number of limit violations by ``<kind> <channel>``.
        holds: how often the arm was brought to rest while running, by cause; a chunk that came
            too late counts too.
        seams: the newest seams.
        join: how chunks are blended.
        pacing: at what pace chunks are executed.

    Args:
        contract: of the robot.
        config: of what drives it.
        sag: share of a channel's ``jump``. An arm at rest that is so near to its last command goes
            on from there; with 0 it goes on from where it is measured.
    """

    def __init__(self, contract: RobotContract, config: DriverConfig, sag: float = 0.0):
        action = config.action
        limits = {name: contract.actions[name] for name in action.channels}
        self._channels = action.channels
        self._horizon = action.horizon
        self._dt_ns = round(action.dt * 1e9)
        self._max_ns = round(contract.execution.max_duration * 1e9)
        self._states = tuple(c.state for c in limits.values())
        self._turn = np.array([c.turn for c in limits.values()])
        self._sag = sag * np.array([c.jump or 0.0 for c in limits.values()])
        low, high = (np.array([getattr(c, k) for c in limits.values()]) for k in ("low", "high"))
        # A continuous channel has no ends; its commands count turns.
        self._low = np.where(self._turn, -np.inf, low)
        self._high = np.where(self._turn, np.inf, high)
        trajectories = [o for o in contract.outputs if isinstance(o, JointTrajectoryOutput)]
        followed = {n for o in trajectories for n in o.channels}
        self._curved = np.array([n in followed for n in limits])
        # A plan's curve departs half a period before its first row begins.
        self._lead_ns = round(max(o.lead for o in trajectories) * 1e9) + self._dt_ns // 2 \
            if trajectories else 0
        self._safety = SafetyLayer(limits, contract.on_violation, action.dt)
        self.interventions: Mapping[str, int] = self._safety.interventions
        # Where nothing moves at zero: increments and velocities.
        self._rates = np.array([c.hold == "zero" for c in limits.values()])
        most = config.most_committed
        self.join = contract.execution.blending(most)
        self.pacing = PaceChooser(contract.execution.pace, action.dt)
        self._blender = ChunkBlender(self.join, high - low, self._rates, most,
                                     contract.execution.catch_up,
                                     contract.execution.takeover, (low, high))
        self.plan: Plan | None = None
        self._enabled = self._active = False
        self._stop = ""  # why it is stopped; stays until reset
        self.state, self.reason = "inactive", "not activated"
        self.plans = 0
        self.holds: Counter[str] = Counter()
        self.seams: deque[Seam] = deque(maxlen=SEAMS_KEPT)

    @property
    def may_infer(self) -> bool:
        """Whether a good chunk would be executed: active, enabled and not stopped."""
        return self._active and self._enabled and not self._stop

    def activate(self, enabled: bool) -> None:
        """Start afresh, enabled or not; a stop stays in force."""
        self.forget()
        self._active, self._enabled = True, enabled
        self._rest_state()

    def deactivate(self, now_ns: int) -> Plan | None:
        """Bring the arm to rest and leave it inactive."""
        plan = self._rest(now_ns, "deactivated")
        self._active = False
        self.state, self.reason = "inactive", "deactivated"
        return plan

    def enable(self, enabled: bool, now_ns: int) -> Plan | None:
        """Enable or disable; a stop stays in force."""
        if enabled == self._enabled:
            return None  # a running arm keeps running
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

        After a stop the arm is disabled, so that resetting alone does not move it.
        """
        plan = self._rest(now_ns, "reset by the operator")
        if self._stop:
            self._stop, self._enabled = "", False
        self._rest_state()
        return plan

    def forget(self) -> None:
        """Forget the commands so far, because time jumped."""
        self._blender.reset()
        self.plan = None
        self._rest_state()

    def prefix(self, stamp_ns: int, ready_ns: int) -> Prefix | None:
        """Return what the next chunk must continue, see ``ChunkBlender.prefix``.

        It is for the pace that ``paced`` gives the chunk: chosen here, by the expected delay.
        """
        pace = self.pacing.choose((ready_ns - stamp_ns) / 1e9)
        return self._blender.prefix(stamp_ns, ready_ns, self._horizon, pace)

    def paced(self, chunk: ActionChunk) -> ActionChunk:
        """Return a policy's chunk as it is executed at the pace that was chosen for it."""
        return stretch(chunk, self.pacing.pace, self._rates)

    def tick(self, now_ns: int, problem: str) -> Plan | None:
        """Hold the arm if there is a problem; call it every control period.

        Args:
            now_ns: ROS time.
            problem: why the arm must not move; empty if it may.
        """
        if not self.may_infer:
            return None
        if problem:
            plan = self._rest(now_ns, problem)
            waits = self.state == "waiting" or self.plan is None
            self.state, self.reason = ("waiting" if waits else "holding"), problem
            return plan
        if self.state == "running" and self.plan is not None and now_ns >= self.plan.end_ns:
            # Its last rows brought the arm to rest: there is nothing to send.
            self.state, self.reason = "holding", "the chunk ran out before the next was ready"
            self.holds[self.reason] += 1
            self._blender.reset()
        elif self.state == "waiting":
            self._rest_state()  # the problem is gone
        return None

    def accept(self, chunk: ActionChunk, instruction: str, measured: Mapping[str, float],
               now_ns: int, is_blended: bool = True) -> Plan | None:
        """Blend, cut and check a chunk; call ``tick`` with the current problem first.

        Args:
            chunk: from the policy; its values need not be finite or within any limit.
            instruction: the instruction it was computed for.
            measured: the newest state by name.
            now_ns: ROS time.
            is_blended: whether it is a policy's, at the pace that was chosen for it; a person's
                is executed as it is.

        Returns:
            The plan to send; None if there is none.
        """
        if not self.may_infer or self._is_old(chunk):
            return None
        unknown = [s for s in self._states if s is not None and s not in measured]
        if unknown:
            return self._hold(f"no measured value: {', '.join(unknown)}", now_ns)
        # In simulation an observation may arrive before the /clock message of its time.
        start_ns = self._start(max(now_ns, chunk.stamp_ns - self._lead_ns))
        last = min(len(chunk.actions), self._max_ns // chunk.dt_ns)
        rows = (chunk.stamp_ns + last * chunk.dt_ns - start_ns) // chunk.dt_ns
        if rows < 1:
            self.holds["chunk too late"] += 1
            self.reason = (f"the chunk was ready {(start_ns - chunk.stamp_ns) / 1e9:.3f} s after "
                           f"its observation, and it lasts {last * chunk.dt:.3f} s")
            if self.state != "running":
                self.state = "holding"
            return None
        values = np.array([np.nan if s is None else measured[s] for s in self._states])
        motion = self._motion(now_ns, start_ns, values)
        if np.isfinite(chunk.actions).all():
            chunk = shortest_way(chunk, start_ns, values if motion is None else motion.value,
                                 self._turn)
            seam = self._blender.blend(chunk, start_ns, self.pacing.pace) if is_blended \
                else self._blender.hand_over(chunk, start_ns)
            # The plan's rows start now, whatever the phase of the chunk's rows: in less than a
            # whole period the first one could not be reached within the limits.
            commands, _ = resample(self._blender.current, start_ns, rows)
        else:
            seam, commands = None, chunk.actions  # all rows, so that the check refuses it
        # Whatever the turn that the driver counts: the commands go on in theirs.
        near = values if motion is None else nearest(values, motion.value, self._turn)
        verdict = self._safety.check(
            commands, motion, [None if s is None else v
                               for s, v in zip(self._states, near, strict=True)])
        if verdict.action == "stop":
            return self.stop(verdict.reason, now_ns)
        if verdict.action == "hold":
            return self._hold(verdict.reason, now_ns)
        if seam is not None and self.state == "running" and is_blended:
            self.seams.append(seam)
        self.plans += is_blended
        return self._begin_plan(self._blender.current, instruction, verdict, now_ns, start_ns,
                                np.where(self._turn, near - values, 0.0))

    def _start(self, now_ns: int) -> int:
        """Return when a plan begins that is made now.

        As soon as a controller can have it; but rows of another phase than those of the plan
        before may lack a part of a period to stop before the end of the range.
        """
        start_ns = now_ns + self._lead_ns
        if self.plan is None or start_ns >= self.plan.end_ns or \
                self._safety.can_stop(self.plan.motion(start_ns))[self._curved].all():
            return start_ns
        return start_ns + (self.plan.start_ns - start_ns) % self._dt_ns

    def _motion(self, now_ns: int, start_ns: int, measured: np.ndarray) -> Motion | None:
        """Return the motion that a new plan continues; None if nothing was commanded.

        ``measured`` are (channels,) values, NaN where nothing measures the channel.
        """
        if self.plan is None:
            return None
        motion = self.plan.motion(start_ns)
        if now_ns < self.plan.end_ns:
            return motion
        # At rest, and perhaps moved by hand since then: start from the measured values.
        stays = np.array([s is None for s in self._states])
        stays |= np.abs(nearest(measured - motion.value, 0.0, self._turn)) < self._sag
        return Motion.at_rest(np.where(stays, motion.value, measured))

    def _begin_plan(self, chunk: ActionChunk, instruction: str, verdict: Verdict, now_ns: int,
                    start_ns: int, offset: np.ndarray) -> Plan:
        commands, motion = verdict.commands, verdict.begin
        end = Motion(commands[-1], commands[-1] - (commands[-2] if len(commands) > 1
                                                   else motion.value))
        rows = np.concatenate([commands, self._safety.brake(end)])
        plan = Plan(start_ns, self._dt_ns, rows, self._channels, motion, self._curved,
                    self._before(now_ns), now_ns, offset, instruction=instruction)
        # The executed chunk: what was executed before, then the plan's values.
        first = chunk.index_at(start_ns)
        actions = np.clip(chunk.actions, self._low, self._high).astype(np.float32)
        actions = actions[:first + len(commands)]
        for row in range(first, len(actions)):
            actions[row] = plan.motion(chunk.stamp_ns + (row + 1) * chunk.dt_ns).value
        self._blender.current = ActionChunk(chunk.stamp_ns, chunk.channels, actions, chunk.dt,
                                           chunk.latency_s)
        sent = self._blender.current
        if offset.any():
            sent = replace(sent, actions=(sent.actions - offset).astype(np.float32))
        self.plan = replace(plan, chunk=sent)
        self.state, self.reason = "running", ""
        return self.plan

    def _rest(self, now_ns: int, reason: str) -> Plan | None:
        """Brake if the arm is moving."""
        self._blender.reset()
        if self.state != "running" or self.plan is None:
            return None
        self.holds[_cause(reason)] += 1
        start_ns = self._start(now_ns)
        motion = self.plan.motion(start_ns)
        self.plan = Plan(start_ns, self._dt_ns, self._safety.brake(motion), self._channels,
                         motion, self._curved, self._before(now_ns), now_ns, self.plan.offset)
        self.state, self.reason = "holding", reason
        return self.plan

    def _before(self, now_ns: int) -> Plan | None:
        """Return what applies from now until a new plan begins; None if the arm stands still."""
        if self.plan is None or now_ns >= self.plan.end_ns:
            return None
        return self.plan.forget_before(now_ns)

    def _hold(self, reason: str, now_ns: int) -> Plan | None:
        """Hold until the next good chunk."""
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
        """Whether a chunk's observation is older than the last hold."""
        return self.plan is not None and self.plan.chunk is None and \
            chunk.stamp_ns < self.plan.start_ns


def _cause(reason: str) -> str:
    """Return the part of a reason that is the same every time, to count by."""
    return reason.split(":")[0]

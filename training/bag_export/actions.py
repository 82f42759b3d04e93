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

"""The actions of an arm, control step by control step, from the commands it got.

A frame at time t has k control steps of dt; step j lasts from t + j dt to t + (j + 1) dt. Chunks
are followed as the arm follows them (``ChunkFollower``): a new one counts from when it arrived.
Steps are looked up at their middle, so that stamps a little off the grid do not shift rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tinyvla_ros.arm.chunk_follower import ChunkFollower
from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.arm.contract_outputs import ChunkOutput
from tinyvla_ros.core.errors import InputError, MessageError
from tinyvla_ros.core.ros.messages import trajectory_to_chunk
from tinyvla_ros.core.types import ActionChunk
from training.bag_export.angles import unwrap_actions
from training.bag_export.commands import Arrivals, command_readers
from training.bag_export.streams import Recording

SOURCES = ("chunk", "trajectory", "state")
# In lock-step every time on the clock has its chunk, except for the last observation and for stray
# messages of the next episode.
TICKS_WITHOUT_CHUNK = 2


@dataclass(frozen=True)
class Actions:
    """Actions of frames.

    Attributes:
        source: one of ``SOURCES``.
        values: (frames, k, channels) float32; NaN where nothing was commanded.
        held: (frames, k) whether the arm held because no chunk covers the step.
        dt: control period, s.
    """

    source: str
    values: np.ndarray
    held: np.ndarray
    dt: float

    @property
    def span(self) -> tuple[int, int]:
        """First and one past the last frame that has its actions; frames at the end in which the
        arm only held are left out. Equal if there is none."""
        known = np.flatnonzero(np.isfinite(self.values).all((1, 2)) & ~self.held.all(1))
        return (int(known[0]), int(known[-1]) + 1) if len(known) else (0, 0)


def choose_source(recording: Recording, contract: RobotContract, wanted: str) -> str:
    """Return where actions come from; ``auto`` takes what was recorded, chunks first.

    Raises:
        InputError: what is wanted is not in the bag, or not in the contract.
    """
    chunks = any(isinstance(o, ChunkOutput) for o in contract.outputs)
    silent = [o.topic for o in contract.outputs if o.topic not in recording.commands]
    source = wanted
    if wanted == "auto":
        source = "state" if silent else "chunk" if chunks else "trajectory"
    if source == "state":
        without = [c for c, spec in contract.actions.items() if spec.state is None]
        if without:
            nothing = f" and nothing was recorded on {silent[0]}" if silent else ""
            raise InputError(
                f"{recording.path}: the robot contract names no measured 'state' for action "
                f"channel {without[0]!r}{nothing}; name it in a contract for --robot, or record "
                "the commands to the arm.")
        return source
    if chunks != (source == "chunk"):
        kinds = ", ".join(o.type for o in contract.outputs)
        raise InputError(f"--actions {source} does not fit robot contract {contract.name!r}, "
                         f"whose outputs are {kinds}; leave --actions out.")
    if silent:
        raise InputError(f"{recording.path}: nothing was recorded on {silent[0]}, where "
                         f"{contract.name!r} takes its commands; give --actions state to use "
                         "measured states in their place.")
    return source


def find_actions(recording: Recording, contract: RobotContract, source: str, times: np.ndarray,
                 fps: int, instruction: str | None, dt: float | None = None) -> Actions:
    """Return the actions of frames.

    Args:
        contract: of the robot; its channels in their order are the columns.
        source: one of ``SOURCES``.
        times: (frames,) int64 ns.
        fps: frames per second.
        instruction: the recorded one; chunks computed for another were not executed. None if it
            was not recorded.
        dt: control period for trajectories and states, s; None for that of the trajectories, or
            else of the frames.

    Raises:
        InputError: a frame is not a whole number of control steps, a message cannot be used, or
            the time at which commands arrived is unknown.
    """
    if source == "chunk":
        actions = _from_chunks(recording, contract, times, fps, instruction)
        starts = _starts(times, actions.values.shape[1], actions.dt)
        return replace(actions, values=_unwrapped(recording, contract, starts, actions.values))
    readers = command_readers(recording, contract) if source == "trajectory" else []
    dt = dt or next((r.dt for _, r in readers if r.dt), 1.0 / fps)
    k, dt_ns = control_steps(fps, dt), round(dt * 1e9)
    starts = _starts(times, k, dt)
    channels = list(contract.actions)
    values = np.full((len(starts), len(channels)), np.nan)
    for output, reader in readers:
        rows = np.array([reader(int(t), dt_ns) for t in starts]).reshape(len(starts), -1)
        for i, (channel, place) in enumerate(output.channels.items()):
            values[:, channels.index(channel)] = (rows[:, i] - place.offset) / place.scale
    if source == "state":
        for column, channel in enumerate(channels):
            # What was measured at the end of a step is used as its command.
            values[:, column] = _measured(recording, channel, contract.actions[channel].state,
                                          starts + dt_ns)
    shape = (len(times), k)
    values = _unwrapped(recording, contract, starts, values.reshape(*shape, -1))
    return Actions(source, values, np.zeros(shape, bool), dt)


def _unwrapped(recording: Recording, contract: RobotContract, starts: np.ndarray,
               values: np.ndarray) -> np.ndarray:
    """Return (frames, k, channels) float32 without the wraps of joints that turn without end."""
    flat = values.reshape(len(starts), -1)
    return unwrap_actions(recording.path, flat, starts, recording.states, contract).reshape(
        values.shape).astype(np.float32)


def control_steps(fps: int, dt: float) -> int:
    """Return how many control steps a frame has.

    Raises:
        InputError: not a whole number.
    """
    steps = 1.0 / (fps * dt)
    if round(steps) < 1 or abs(steps - round(steps)) > 1e-3:
        rate = 1.0 / dt
        rates = [n for n in range(1, round(rate) + 1) if abs(rate / n - round(rate / n)) < 1e-3]
        near = sorted(sorted(rates, key=lambda n: abs(n - fps))[:3])
        advice = f"; give --fps {' or '.join(map(str, near))}" if near else "; give another --fps"
        raise InputError(f"At --fps {fps} a frame lasts {1e3 / fps:.4g} ms, which is {steps:.3g} "
                         f"control steps of {1e3 * dt:.4g} ms{advice}.")
    return round(steps)


def _starts(times: np.ndarray, k: int, dt: float) -> np.ndarray:
    """Return (frames * k,) int64 ns at which control steps begin."""
    return (times[:, None] + np.rint(np.arange(k) * dt * 1e9).astype(np.int64)).reshape(-1)


def _measured(recording: Recording, channel: str, state: str, times: np.ndarray) -> np.ndarray:
    series = recording.states.get(state)
    if series is None:
        raise InputError(f"{recording.path}: state {state!r} of action channel {channel!r} was "
                         f"not recorded; known: {', '.join(recording.states)}.")
    return np.interp(times, series.stamps, series.values, right=np.nan)


def _from_chunks(recording: Recording, contract: RobotContract, times: np.ndarray, fps: int,
                 instruction: str | None) -> Actions:
    output = next(o for o in contract.outputs if isinstance(o, ChunkOutput))
    channels = tuple(contract.actions)
    chunks = _chunks(recording, output.topic, channels, instruction)
    dt, dt_ns = chunks[0][1].dt, chunks[0][1].dt_ns
    k = control_steps(fps, dt)
    starts = _starts(times, k, dt)
    values = np.full((len(starts), len(channels)), np.nan, np.float32)
    held = np.zeros(len(starts), bool)
    stays = np.array([contract.actions[c].hold == "last" for c in channels])
    follower, waiting, last = ChunkFollower(), chunks[::-1], None
    follower.reset(min(int(s.stamps[0]) for s in recording.cameras.values()))
    for i, start in enumerate(starts):
        now = int(start) + dt_ns // 2
        while waiting and waiting[-1][0] <= now:
            follower.accept(waiting.pop()[1])
        action = follower.action(now)
        if action is None and last is not None:
            # What the arm does then by `hold` of the contract.
            held[i], action = True, np.where(stays, last, np.float32(0.0))
        if action is not None:
            values[i] = last = action
    shape = (len(times), k)
    return Actions("chunk", values.reshape(*shape, -1), held.reshape(shape), dt)


def _chunks(recording: Recording, topic: str, channels: tuple[str, ...], instruction: str | None
            ) -> list[tuple[int, ActionChunk]]:
    """Return what the robot took, each chunk with the time from which it counts, in this order."""
    sent, holds = [], []
    has_instructions = any(c.message.header.frame_id for c in recording.commands[topic])
    for command in recording.commands[topic]:
        computed_for = command.message.header.frame_id
        if computed_for and instruction is not None and computed_for != instruction:
            continue  # computed for the episode before
        try:
            chunk = trajectory_to_chunk(command.message, channels)
        except MessageError as err:
            raise InputError(f"{recording.path}: {topic}: {err}") from None
        # A chunk without an instruction is a hold, of a policy that gives them with the others.
        (sent if computed_for or not has_instructions else holds).append((command.sent_ns,
                                                                           chunk))
    if not sent:
        raise InputError(f"{recording.path}: no chunk on {topic} is for the instruction "
                         f"{instruction!r}; leave this bag out.")
    if len({c.dt_ns for _, c in sent + holds}) > 1:
        raise InputError(f"{recording.path}: chunks on {topic} have different control periods; "
                         "leave this bag out.")
    arrivals = Arrivals(recording)
    begin = min(int(s.stamps[0]) for s in recording.cameras.values())
    alone = np.setdiff1d(arrivals.ticks[arrivals.ticks >= begin], [c.stamp_ns for _, c in sent])
    if len(arrivals.ticks) and len(alone) <= TICKS_WITHOUT_CHUNK:
        # Lock-step: time stood still until each observation had its chunk, and nobody held.
        lost = alone[alone < max(c.stamp_ns for _, c in sent)]
        if len(lost):
            raise InputError(f"{recording.path}: the chunk for {lost[0] / 1e9:.4f} s was not "
                             "recorded, so that the command of that time is unknown; leave this "
                             "bag out.")
        return sorted(((c.stamp_ns, c) for _, c in sent), key=lambda t: t[0])
    taken = [(max(arrivals.effective(at, c.stamp_ns), c.stamp_ns), c) for at, c in sent + holds]
    return sorted(taken, key=lambda t: t[0])

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

"""Whether a checkpoint fits a robot, checked before anything moves."""

from __future__ import annotations

from collections.abc import Iterator

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.arm.contract_inputs import EE_STATE
from tinyvla_ros.arm.contract_outputs import TwistOutput
from tinyvla_ros.arm.contract_states import JOINTS, StateSources
from tinyvla_ros.core.errors import InputError, unknown
from tinyvla_ros.policy.config import DriverConfig

# MoveIt Servo stops when no command came for this long (its incoming_command_timeout), s.
SERVO_TIMEOUT_S = 0.1


def check_contract(contract: RobotContract, config: DriverConfig) -> list[str]:
    """Check that the robot has the inputs and the outputs of the checkpoint.

    Returns:
        Sentences about what works and may surprise, for example limits narrower than the
        checkpoint's.

    Raises:
        InputError: the first thing that does not fit, with field, value and alternatives.
    """
    for problem in _problems(contract, config):
        raise InputError(f"Robot {contract.name!r} does not fit the checkpoint: {problem}")
    return list(_surprises(contract, config))


def _problems(contract: RobotContract, config: DriverConfig) -> Iterator[str]:
    for name in config.cameras:
        if name not in contract.all_cameras:
            yield "cameras: " + unknown("camera of the checkpoint", name, contract.all_cameras)
    yield from _state_problems(contract.sources, config)
    action = config.action
    for channel in action.channels:
        if channel not in contract.actions:
            yield "actions: " + unknown("channel of the checkpoint", channel, contract.actions)
    for channel, limits in contract.actions.items():
        if channel not in action.channels:
            yield "actions: " + unknown("channel", channel, action.channels)
        else:
            yield from _channel_problems(channel, limits, config)
    rows = round(contract.execution.max_duration * 1e9) // round(action.dt * 1e9)
    if rows < 1:
        yield (f"execution.max_duration is {contract.execution.max_duration} s, less than one row "
               f"of {action.dt} s; raise it.")
    rows = min(rows, action.horizon)
    if contract.execution.replan_every >= rows:
        yield (f"execution.replan_every is {contract.execution.replan_every} and {rows} rows of a "
               "chunk are sent; give less.")
    if contract.execution.join == "committed" and not config.most_committed:
        yield ("execution.join is 'committed', and the checkpoint was not trained to be given "
               "committed rows; give 'auto', 'replace', 'ensemble' or 'rtc'.")
    for output in contract.outputs:
        if isinstance(output, TwistOutput) and action.dt > SERVO_TIMEOUT_S:
            yield (f"outputs: {output.topic} gets a twist every {action.dt} s, and MoveIt Servo "
                   f"stops after {SERVO_TIMEOUT_S} s without one; use a checkpoint with more "
                   "actions per second.")


def _state_problems(sources: StateSources, config: DriverConfig) -> Iterator[str]:
    found = {state: sources.find(state) for state in config.state}
    poses = [n for n in config.state if n in EE_STATE]
    if poses and None in map(found.get, poses):
        yield f"ee_pose is missing, and the checkpoint's state has {', '.join(poses)}; add it."
    joints = [n for n, source in found.items() if n not in EE_STATE
              and (source is None or source.is_position)]
    unknown_ones = [n for n in joints if found[n] is None]
    if unknown_ones and not sources.joints:
        yield (f"joint_states is missing, and the checkpoint's state has "
               f"{', '.join(unknown_ones)}; add it.")
    for name in unknown_ones:
        yield (f"the checkpoint's state {name!r} is on no topic of {JOINTS}; name it in 'names' "
               "of one of them, or give that its 'prefix'.")
    for name, stream in sources.joints.items():
        path = name.replace("/", ".")
        derived = {*stream.velocities, *stream.efforts}
        for state in stream.names:
            if state not in joints and state not in derived:
                yield f"{path}.names: " + unknown("state of the checkpoint", state, joints)
        of_topic = {n: found[n].part for n in joints if found[n] and found[n].stream == name}
        for joint in of_topic.values():
            if len(both := [n for n, part in of_topic.items() if part == joint]) > 1:
                yield (f"{path}.names: joint {joint!r} would be read as {' and '.join(both)}; "
                       "name another.")


def _channel_problems(channel: str, limits, config: DriverConfig) -> Iterator[str]:
    action = config.action
    index = action.channels.index(channel)
    unit, low, high = action.units[index], action.low[index], action.high[index]
    if limits.unit != unit:
        yield (f"actions.{channel}.unit is {limits.unit!r}, and the checkpoint's is {unit!r}; "
               "limits must be in the checkpoint's unit.")
    if channel in action.continuous and not limits.continuous:
        yield (f"actions.{channel} is a joint that turns without end in the checkpoint's data; "
               "write continuous: true, or its wrap would be taken for motion.")
    if not limits.continuous and (limits.low >= high or limits.high <= low):
        yield (f"actions.{channel} allows {limits.low:g} to {limits.high:g}, and the checkpoint "
               f"gives {low:g} to {high:g}; nothing of that could be executed.")
    if limits.state is not None and limits.state not in config.state:
        yield (f"actions.{channel}.state: "
               + unknown("state of the checkpoint", limits.state, config.state))


def _surprises(contract: RobotContract, config: DriverConfig) -> Iterator[str]:
    action = config.action
    for index, channel in enumerate(action.channels):
        limits = contract.actions[channel]
        if limits.continuous and channel not in action.continuous:
            yield (f"actions.{channel} is continuous, and the checkpoint was trained without "
                   "knowing it: where its state wraps it may be wrong; export the data again with "
                   "this contract and train again.")
        elif not limits.continuous and (action.low[index] < limits.low
                                        or action.high[index] > limits.high):
            yield (f"actions.{channel} allows {limits.low:g} to {limits.high:g}, and the "
                   f"checkpoint gives {action.low[index]:g} to {action.high[index]:g}: what is "
                   "beyond counts as a violation of position.")
        if limits.velocity is None:
            yield f"actions.{channel} has no velocity limit."
    for name, camera in contract.all_cameras.items():
        if name in {*contract.cameras, *config.cameras} and camera.frozen_after is None:
            yield f"cameras.{name}.frozen_after is null: a frozen camera goes unnoticed."
    extra = [n for n in contract.cameras if n not in config.cameras]
    if extra:
        yield f"The checkpoint does not use camera {', '.join(extra)}."
    sources = contract.sources
    found = {state: sources.find(state) for state in config.state}
    used = {source.stream for source in found.values()}
    if unused := [n for n in sources.streams if n not in used]:
        yield f"The checkpoint does not use {', '.join(unused)}."
    for state, source in found.items():
        if source.is_position and state.endswith((".velocity", ".effort")):
            base, _, quantity = state.rpartition(".")
            field = {"velocity": "velocities", "effort": "efforts"}[quantity]
            yield (f"State {state!r} is read as the position of a joint of that name; if the "
                   f"{quantity} of {base!r} is meant, name that in '{field}' of joint_states.")
    duration = action.horizon * action.dt
    if contract.execution.max_duration > duration:
        yield (f"A chunk lasts {duration:g} s, less than execution.max_duration: that is what an "
               "arm still does after the policy died.")

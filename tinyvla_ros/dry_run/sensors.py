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

"""What the dry-run arm measures: the streams of states of a contract, and what is in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.arm.contract_inputs import Stream
from tinyvla_ros.arm.contract_states import fixed_states
from tinyvla_ros.policy.config import PolicyConfig


@dataclass(frozen=True)
class Sensor:
    """A topic of states.

    Attributes:
        settings: its part of the contract.
        joints: names in its joint states.
        fields: field of a joint state -> a state per joint; of other messages "" -> the states in
            their order. The field is left out if the checkpoint and the contract name none.
    """

    settings: Stream
    joints: tuple[str, ...] = ()
    fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def make_sensors(contract: RobotContract, config: PolicyConfig) -> list[Sensor]:
    """Return every stream of states of a contract; joint states have the checkpoint's joints."""
    sources, sensors = contract.sources, []
    found = {state: sources.find(state) for state in config.state} | sources.listed
    for name, settings in sources.streams.items():
        if fixed := fixed_states(name, settings):
            sensors.append(Sensor(settings, fields={"": fixed}))
            continue
        measured = {(s.field, s.part): state for state, s in found.items() if s.stream == name}
        joints = tuple(dict.fromkeys(joint for _, joint in measured))
        fields = {quantity: tuple(measured.get((quantity, j), "") for j in joints)
                  for quantity in dict.fromkeys(q for q, _ in measured)}
        sensors.append(Sensor(settings, joints, fields))
    return sensors

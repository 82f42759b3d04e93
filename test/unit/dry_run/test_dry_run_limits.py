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

"""What a controller makes of the plans: limits hold between the rows and across chunks, too."""

from __future__ import annotations

import numpy as np
import pytest

from harness.commands import MS, NOW, ROBOTS, message
from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.arm.supervisor import Supervisor
from tinyvla_ros.core.types import ActionChunk
from tinyvla_ros.dry_run.arm import rest_value
from tinyvla_ros.dry_run.trajectory import TrajectoryFollower
from tinyvla_ros.dry_run.untrained import untrained_config

STEP_NS = MS // 2


@pytest.mark.parametrize("spread", [0.001, 0.01, 0.05])
@pytest.mark.parametrize("smooth", [True, False])
def test_a_controller_never_moves_faster_than_the_contract_allows(smooth, spread):
    """Chunks that contradict each other replace each other in the middle of a row."""
    contract = RobotContract.load(ROBOTS / "ur5e.yaml")
    config = untrained_config(contract)
    names, dt_ns = config.action.channels, round(config.action.dt * 1e9)
    rest = np.array([rest_value(contract.actions[n]) for n in names])
    joints = list(contract.outputs[0].channels)
    assert list(names[:len(joints)]) == joints
    limits = np.array([contract.actions[n].velocity for n in joints])
    gripper = dict(zip(names[len(joints):], rest[len(joints):], strict=True))
    supervisor = Supervisor(contract, config)
    follower = TrajectoryFollower(joints, rest[:len(joints)])
    supervisor.activate(enabled=True)
    rng = np.random.default_rng(0)
    fastest, plans = np.zeros(len(joints)), 0
    for i in range(100):
        stamp_ns = NOW + i * dt_ns
        now_ns = stamp_ns + int(rng.uniform(0.005, 0.03) * 1e9)
        shape = (1 if smooth else config.action.horizon, len(names))
        noise = rng.normal(0.0, spread, shape)
        actions = rest + noise.repeat(config.action.horizon // shape[0], axis=0)
        chunk = ActionChunk(stamp_ns, names, actions.astype(np.float32), config.action.dt)
        position, _ = follower.sample(now_ns)
        supervisor.tick(now_ns, "")
        measured = dict(zip(joints, position, strict=True)) | gripper
        plan = supervisor.accept(chunk, "x", measured, now_ns)
        if plan is not None:
            plans += 1
            times, *values = plan.trajectory()
            values = (v[:, :len(joints)] for v in values)
            follower.accept(message(joints, times, *values), now_ns)
        before = follower.sample(now_ns)[0]
        assert before == pytest.approx(position, abs=1e-9), "it does not jump"
        for t in range(now_ns, now_ns + dt_ns, STEP_NS):
            fastest = np.maximum(fastest, np.abs(follower.sample(t)[1]))
    assert plans > 50
    assert (fastest <= limits * (1 + 1e-6)).all(), (fastest / limits).round(2)

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

"""The trajectories that are published, as a controller executes them: always within the limits."""

from __future__ import annotations

import numpy as np
import pytest
import rclpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.commands import MS, NOW, ROBOTS
from harness.controller import Controller
from harness.left_over import new_context
from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.arm.supervisor import Supervisor
from tinyvla_ros.core.types import ActionChunk
from tinyvla_ros.dry_run.arm import rest_value
from tinyvla_ros.dry_run.trajectory import TrajectoryFollower
from tinyvla_ros.dry_run.untrained import untrained_config
from tinyvla_ros.nodes.policy.outputs import JointTrajectoryPublisher

CONTRACT = RobotContract.load(ROBOTS / "ur5e.yaml")
CONFIG = untrained_config(CONTRACT)
OUTPUT = CONTRACT.outputs[0]
JOINTS = list(OUTPUT.channels)
LIMITS = [CONTRACT.actions[name] for name in JOINTS]
VELOCITY = np.array([c.velocity for c in LIMITS])
ACCELERATION = np.array([c.acceleration for c in LIMITS])
LEAD_NS, DT_NS = round(OUTPUT.lead * 1e9), round(CONFIG.action.dt * 1e9)
TOLERANCE = 1e-3  # of a limit: times are whole nanoseconds, positions float32

events = st.lists(st.tuples(
    st.sampled_from(["chunk"] * 8 + ["problem", "disable"]),
    st.integers(5 * MS, 60 * MS),                       # after the event before
    st.integers(0, 40 * MS),                            # age of the observation
    st.integers(0, LEAD_NS),                            # time to the controller
    st.sampled_from([0.0, 0.001, 0.01, 0.05]),          # noise from row to row
    st.floats(-0.05, 0.05)), min_size=1, max_size=8)    # drift a row


@pytest.fixture(scope="module")
def publish():
    """Return a function from a plan to the message that the node publishes."""
    context = new_context()
    node = rclpy.create_node("outputs", context=context)
    publisher = JointTrajectoryPublisher(node, OUTPUT, CONFIG.action.channels)
    node.destroy_publisher(publisher.publisher)
    messages = []
    publisher.publisher = type("Sink", (), {"publish": staticmethod(messages.append)})

    def send(plan):
        publisher.send(plan)
        return messages.pop()

    yield send
    node.destroy_node()
    rclpy.shutdown(context=context)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(script=events, far=st.sampled_from([0.0, 0.97]), seed=st.integers(0, 2**32 - 1))
def test_the_executed_curve_keeps_velocity_and_acceleration(publish, script, far, seed):
    """Chunks of any kind replace each other, and the policy may be killed after any of them."""
    rng = np.random.default_rng(seed)
    start = np.array([rest_value(CONTRACT.actions[n]) for n in CONFIG.action.channels])
    start += far * np.array([(c.high - c.low) / 2 for c in CONTRACT.actions.values()])
    supervisor, arm = Supervisor(CONTRACT, CONFIG), Controller(JOINTS, start[:-1])
    follower = TrajectoryFollower(JOINTS, start[:-1])
    supervisor.activate(enabled=True)
    now_ns = seen_ns = NOW
    for kind, wait_ns, age_ns, way_ns, noise, drift in script:
        now_ns = max(now_ns + wait_ns, seen_ns)
        where = np.append(arm.state(now_ns)[0], start[-1])
        supervisor.tick(now_ns, "")
        if kind == "chunk":
            walk = np.cumsum(rng.normal(drift, noise, (CONFIG.action.horizon, len(where))), 0)
            walk[:, -1] = 0.0
            chunk = ActionChunk(now_ns - age_ns, CONFIG.action.channels,
                                (where + walk).astype(np.float32), CONFIG.action.dt)
            measured = dict(zip(CONFIG.action.channels, where, strict=True))
            plan = supervisor.accept(chunk, "x", measured, now_ns)
        elif kind == "problem":
            plan = supervisor.tick(now_ns, "front is stale")
        else:
            plan = supervisor.enable(False, now_ns)
            supervisor.enable(True, now_ns)
        if plan is not None:
            taken_ns = now_ns + way_ns
            assert_within_limits(arm, follower, seen_ns, taken_ns)
            message, seen_ns = publish(plan), taken_ns
            arm.accept(message, taken_ns)
            follower.accept(message, taken_ns)
    assert_within_limits(arm, follower, seen_ns, arm.times[-1] + 100 * MS)
    assert (arm.state(arm.times[-1])[1] == 0.0).all(), "it ends at rest"


def assert_within_limits(arm, follower, begin_ns: int, end_ns: int) -> None:
    knots = {t + d for t in arm.times for d in (-1, 0)}  # where the acceleration changes
    for ns in sorted({*range(begin_ns, end_ns, MS), *knots}):
        if not begin_ns <= ns < end_ns:
            continue
        position, velocity, acceleration = arm.state(ns)
        assert (np.abs(velocity) <= VELOCITY * (1 + TOLERANCE)).all()
        assert (np.abs(acceleration) <= ACCELERATION * (1 + TOLERANCE)).all(), \
            (np.abs(acceleration) / ACCELERATION).round(3)
        for c, value in zip(LIMITS, position, strict=True):
            assert c.low - 1e-6 <= value <= c.high + 1e-6
        follows = follower.sample(ns)
        assert follows[0] == pytest.approx(position, abs=1e-9), "the dry-run arm is one too"
        assert follows[1] == pytest.approx(velocity, abs=1e-6)

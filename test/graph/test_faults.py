# SPDX-License-Identifier: Apache-2.0
"""Every fault of the fault matrix once, on a real node; times are not judged."""

from __future__ import annotations

import math

import pytest
from trajectory_msgs.msg import JointTrajectory

from harness.arm_rig import Faults, Rig
from harness.fault_outcomes import Outcome, repeat
from harness.faults import FAULTS

pytestmark = pytest.mark.alone

# On a machine that stands still for half a second a chunk ends before anybody could hold.
ATTEMPTS = 3


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    """An arm made of messages, driven by a policy node in its own process."""
    with Rig(tmp_path_factory.mktemp("rig")) as rig:
        rig.start()
        yield rig


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_commands_stay_within_limits_and_the_arm_moves_again(rig, fault):
    for _ in range(ATTEMPTS):
        outcome = Outcome()
        repeat(rig, fault, outcome)
        assert outcome.wrong == []
        assert outcome.recovered == 1
        if fault.expect != "hold" or math.isfinite(outcome.holds_ms[0]):
            return
    pytest.fail(f"no hold came in {ATTEMPTS} attempts; the states were {rig.statuses[-20:]}")


def test_an_arm_that_is_held_costs_no_inference(rig):
    chunks = []
    subscription = rig.node.create_subscription(
        JointTrajectory, "policy_node/chunk", chunks.append, 50)
    try:
        rig.wait(lambda: chunks, "a chunk")
        rig.unsubscribe()  # images go on, and there is nobody to act on them
        rig.wait(lambda: "running" not in rig.statuses[-1], "the hold")
        images = []
        rig.faults.image = lambda name, msg: (images.append(name), [msg])[1]
        rig.wait(lambda: len(images) > 10, "images")  # what was being inferred
        before = len(chunks)
        rig.wait(lambda: len(images) > 50, "images")
        assert len(chunks) == before
    finally:
        rig.faults = Faults()
        rig.subscribe()
        rig.node.destroy_subscription(subscription)
    rig.wait_running()

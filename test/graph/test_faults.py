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

"""Every fault of the fault matrix once, on a real node; times are not judged."""

from __future__ import annotations

import pytest
from trajectory_msgs.msg import JointTrajectory

from harness.arm_rig import MessageFilters, Rig
from harness.fault_outcomes import hold_or_pause
from harness.faults import FAULTS


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    """An arm made of messages, driven by a policy node in its own process."""
    with Rig(tmp_path_factory.mktemp("rig")) as rig:
        rig.start()
        yield rig


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_commands_stay_within_limits_and_the_arm_moves_again(rig, fault):
    hold_or_pause(rig, fault)


def test_an_arm_that_is_held_costs_no_inference(rig):
    chunks = []
    subscription = rig.node.create_subscription(
        JointTrajectory, "policy_node/chunk", chunks.append, 50)
    try:
        rig.wait(lambda: chunks, "a chunk")
        rig.unsubscribe()  # images go on, without a controller
        rig.wait(lambda: "no subscriber" in rig.status, "the hold")
        images = []
        rig.filters.image = lambda name, msg: (images.append(name), [msg])[1]
        rig.wait(lambda: len(images) > 10, "images")  # what was being inferred
        before = len(chunks)
        rig.wait(lambda: len(images) > 50, "images")
        assert len(chunks) == before
    finally:
        rig.filters = MessageFilters()
        rig.subscribe()
        rig.node.destroy_subscription(subscription)
    rig.wait_running()

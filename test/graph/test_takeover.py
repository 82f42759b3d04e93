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

"""A person takes the arm from a policy and gives it back, with real nodes."""

from __future__ import annotations

import numpy as np
import pytest
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory

from harness.processes import Output, start_node
from harness.teleop_moves import PAN
from harness.teleop_rig import DEAD_MAN, TeleopRig

DRIVES, LOST = "a person drives", "was lost"


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    """An arm that a policy drives, and a person with a gamepad."""
    with TeleopRig(tmp_path_factory.mktemp("takeover"), driver="policy_node", takeover="joy",
                   enabled=True) as rig:
        rig.proposals = []
        rig.node.create_subscription(JointTrajectory, "policy_node/chunk", rig.proposals.append,
                                     10)
        yield rig
        assert not rig.wrong
        assert "Traceback" not in rig.log()


def policy_drives(rig: TeleopRig) -> None:
    """The policy has the arm, whatever was before."""
    rig.let_go()
    if LOST in rig.status:
        assert rig.call("enable", SetBool.Request(data=True)).success
    rig.wait(lambda: rig.status == "running" and rig.commander == "policy", "the policy")


def take(rig: TeleopRig) -> None:
    """The person has the arm; after a pause of the machine they must press again."""
    while rig.status != DRIVES:
        rig.release(DEAD_MAN)
        rig.until_sent(5)
        rig.press(DEAD_MAN)
        rig.wait(lambda: rig.status == DRIVES or rig.must_release, "the person")
    rig.wait(lambda: rig.commander == "human", "the person's command")


def steer(rig: TeleopRig) -> np.ndarray:
    """The person takes the arm and moves its first joint; returns (channels,) where it began."""
    while True:
        take(rig)
        rig.wait_still()
        start = rig.position
        rig.push(PAN, -1.0 if start[0] > 0 else 1.0)
        rig.wait(lambda begun=start[0]: abs(rig.position[0] - begun) > 0.1
                 or rig.status != DRIVES, "motion")
        # Further away the contract's jump would forbid the policy to begin there after a hold.
        rig.push(PAN, 0.0)
        if rig.status == DRIVES:
            return start


def test_a_person_takes_the_arm_and_gives_it_back(rig):
    policy_drives(rig)
    start = steer(rig)
    assert np.abs((rig.position - start)[1:]).max() < 1e-3, "the policy does not move the others"
    assert rig.values["driver"] == "human"
    proposed = len(rig.proposals)
    rig.wait(lambda: len(rig.proposals) > proposed + 5, "what the policy would do")
    taken = int(rig.values["takeovers"])
    rig.release(DEAD_MAN)
    rig.wait(lambda: rig.status == "running" and rig.commander == "policy", "the policy")
    rig.wait(lambda: rig.values["driver"] == "policy", "the driver")
    assert taken >= 1
    # The untrained policy moves about the middle of every range.
    there = rig.position
    rig.wait(lambda: np.abs(rig.position - there).max() > 0.01, "the policy's motion")


def test_who_is_lost_while_they_drive_leaves_the_arm_to_nobody(rig):
    policy_drives(rig)
    take(rig)
    rig.joy = lambda msg: []
    rig.wait(lambda: LOST in rig.status and "is stale" in rig.status, "the loss")
    rig.wait_rest()
    assert rig.commander == ""
    # The device comes back, and says that nothing is pressed.
    rig.let_go()
    place = rig.position
    rig.until_sent(25)
    assert LOST in rig.status and np.abs(rig.position - place).max() < 1e-3
    take(rig)
    rig.release(DEAD_MAN)
    rig.wait(lambda: rig.status == "running", "the policy")


def test_somebody_else_gives_the_arm_of_a_lost_person_back(rig):
    policy_drives(rig)
    take(rig)
    rig.joy = lambda msg: [type(msg)(header=msg.header, axes=[np.nan] * 6, buttons=msg.buttons)]
    rig.wait(lambda: LOST in rig.status and "Axis 0 is nan" in rig.status, "the loss")
    rig.wait_rest()
    assert rig.call("enable", SetBool.Request(data=True)).success
    rig.wait(lambda: rig.status == "running", "the policy")


def test_a_person_moves_neither_a_disabled_nor_a_stopped_arm(rig):
    policy_drives(rig)
    for service, request in (("enable", SetBool.Request(data=False)),
                             ("stop", Trigger.Request())):
        assert rig.call(service, request).success
        rig.press(DEAD_MAN)
        rig.push(PAN, 1.0)
        rig.wait_rest()
        place = rig.position
        rig.until_sent(25)
        assert np.abs(rig.position - place).max() < 1e-3
    rig.let_go()
    assert rig.call("reset", Trigger.Request()).success
    assert rig.call("enable", SetBool.Request(data=True)).success
    policy_drives(rig)


def test_a_leader_arm_takes_over_and_leads(tmp_path):
    with TeleopRig(tmp_path, driver="policy_node", takeover="leader", enabled=True) as rig:
        rig.wait(lambda: rig.status == "running", "the policy")
        rig.leader = dict(rig.state)
        rig.leader["elbow_flex"] += 0.4 if rig.state["elbow_flex"] < 0 else -0.4
        take(rig)
        rig.wait(lambda: rig.values["person aligned"] == "true", "the arm at its leader")
        rig.wait(lambda: abs(rig.state["elbow_flex"] - rig.leader["elbow_flex"]) < 0.05,
                 "the leader's place")
        rig.leader = {}  # it falls silent
        rig.wait(lambda: LOST in rig.status and "leader/joint_states" in rig.status, "the loss")
        assert not rig.wrong
        assert "Traceback" not in rig.log()


@pytest.mark.parametrize(("parameters", "words"), [
    ({"takeover": "mouse"}, "'takeover' is mouse"),
    ({"takeover": "joy", "mapping": ""}, "'mapping' is empty"),
    ({"takeover": "joy", "mapping": "/nowhere.yaml"}, "/nowhere.yaml"),
    ({"takeover": "joy", "gripper": "hand"}, "'hand'"),
])
def test_a_bad_parameter_is_one_sentence(rig, parameters, words):
    output = Output(start_node("policy_node", robot=str(rig.path), checkpoint=str(rig.checkpoint),
                               **parameters))
    assert output.wait_end() == 2
    errors = [line for line in output.lines if line.startswith("error: ")]
    assert len(errors) == 1 and words in errors[0]
    assert "Traceback" not in output.text

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

"""``policy_node`` as a managed node, what it refuses, and ``tinyvla robot check --live``."""

from __future__ import annotations

import math
import re
import signal
import sys

import pytest
import yaml
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from safetensors.torch import load_file, save_file
from std_srvs.srv import SetBool, Trigger

from harness.arm_contract import TOPIC, robot
from harness.arm_rig import Rig
from harness.parameters import ParameterTool
from harness.processes import Output, start
from tinyvla_ros.cli.main import main


@pytest.fixture
def rig(tmp_path):
    with Rig(tmp_path, autostart=False) as rig:
        yield rig


def change(rig: Rig, name: str) -> bool:
    number = getattr(Transition, f"TRANSITION_{name.upper()}")
    request = ChangeState.Request(transition=Transition(id=number))
    return rig.service(ChangeState, "change_state", request).success


def state(rig: Rig) -> str:
    return rig.service(GetState, "get_state", GetState.Request()).current_state.label


def test_nothing_moves_before_activation_and_nothing_after(rig):
    rig.start()
    assert state(rig) == "unconfigured"
    assert not rig.call("enable", SetBool.Request(data=True)), "there is nothing to enable"
    assert change(rig, "configure")
    assert state(rig) == "inactive"
    assert rig.commands == []
    for _ in range(2):
        assert change(rig, "activate")
        rig.wait_running()
        assert change(rig, "deactivate")
        rig.wait(lambda: rig.commands[-1].is_hold, "the hold")
        rig.wait(lambda: not rig.moving(), "rest")
    assert change(rig, "cleanup")
    assert state(rig) == "unconfigured"
    assert all(not c.wrong for c in rig.commands)


def test_a_stop_needs_reset_and_enable(rig):
    rig.start()
    assert change(rig, "configure") and change(rig, "activate")
    rig.wait_running()
    assert rig.call("stop", Trigger.Request())
    rig.wait(lambda: rig.status == "stopped by the operator", "the state")
    refused = rig.service(SetBool, "enable", SetBool.Request(data=True))
    assert not refused.success
    assert "stopped by the operator" in refused.message and "~/reset" in refused.message
    assert rig.call("enable", SetBool.Request(data=False)), "it is not enabled"
    assert rig.call("reset", Trigger.Request())
    rig.wait(lambda: rig.status == "disabled by the operator", "the state")
    stopped = len(rig.commands)
    rig.statuses.clear()
    rig.wait(lambda: len(rig.statuses) > 1, "diagnostics")
    assert len(rig.commands) == stopped
    assert rig.call("enable", SetBool.Request(data=True))
    rig.wait_running()


def test_a_checkpoint_that_does_not_fit_leaves_the_node_unconfigured(tmp_path):
    contract = robot()
    with Rig(tmp_path, contract=contract, autostart=False) as rig:
        spoiled = robot()
        del spoiled["cameras"]["front"]
        (tmp_path / "robot.yaml").write_text(yaml.safe_dump(spoiled))
        rig.start()
        assert not change(rig, "configure")
        assert state(rig) == "unconfigured"
        assert re.search("camera.*'front'", (tmp_path / "node.log").read_text())
        (tmp_path / "robot.yaml").write_text(yaml.safe_dump(contract))
        assert change(rig, "configure"), "a corrected file is read again"


def test_an_exception_while_configuring_is_logged_and_another_try_succeeds(rig, tmp_path):
    rig.start()
    assert state(rig) == "unconfigured"
    rig.kill(signal.SIGUSR2)  # the next inference raises: the first one, to warm up
    assert not change(rig, "configure")
    assert state(rig) == "unconfigured"
    log = (tmp_path / "node.log").read_text()
    assert "on_configure failed" in log and "RuntimeError: broken by a signal" in log
    rig.wait(lambda: "broken by a signal" in rig.status, "the reason")
    assert not change(rig, "activate"), "there is nothing to activate"
    assert change(rig, "configure") and change(rig, "activate")
    rig.wait_running()
    assert change(rig, "deactivate") and change(rig, "cleanup")
    rig.wait(lambda: rig.status.startswith("inactive"), "the state")
    assert rig.status == "inactive: not configured", "the failure is over"


BROKEN = """
import sys
from tinyvla_ros.nodes import policy_node

def broken(*args):
    raise RuntimeError("it is broken")

policy_node.{name} = broken
sys.exit(policy_node.main())
"""


@pytest.mark.parametrize("name", ["make_outputs", "PolicyLoop.start"])
def test_a_node_that_starts_by_itself_ends_with_an_exception_of_its_transitions(name):
    output = Output(start(sys.executable, "-c", BROKEN.format(name=name)))
    assert output.wait_end() == 1, output.text
    assert "RuntimeError: it is broken" in output.text
    assert "not registered" not in output.text


def test_a_transition_that_the_state_does_not_have_is_refused_and_the_arm_runs_on(rig):
    rig.start()
    assert not change(rig, "activate")
    assert change(rig, "configure") and change(rig, "activate")
    rig.wait_running()
    for name in ("activate", "configure", "cleanup", "unconfigured_shutdown"):
        assert not change(rig, name)
    for transition in (Transition(id=99), Transition(label="fly")):
        request = ChangeState.Request(transition=transition)
        assert not rig.service(ChangeState, "change_state", request).success
    assert state(rig) == "active"
    rig.wait_running()


@pytest.mark.parametrize("before", ["unconfigured", "inactive", "active"])
def test_shutdown_is_answered_and_ends_the_process_well(rig, tmp_path, before):
    rig.start()
    assert state(rig) == "unconfigured"
    for transition in ("configure", "activate")[:("unconfigured", "inactive",
                                                  "active").index(before)]:
        assert change(rig, transition)
    assert change(rig, f"{before}_shutdown")
    assert rig.process.wait(60.0) == 0
    assert not rig.moving()
    log = (tmp_path / "node.log").read_text()
    assert "ERROR" not in log and "Traceback" not in log


def test_what_configuring_reads_can_be_set_before_it(rig):
    rig.start()
    tool = ParameterTool("/policy_node", context=rig.node.context)
    try:
        assert tool.set_atomically(seed=3, extra_latency=0.1, enabled=False).successful
        assert change(rig, "configure")
        assert not tool.set(seed=4)[0].successful and tool.get("seed") == [3]
        assert not tool.set_atomically(extra_latency=0.0, seed=4).successful
        assert tool.get("extra_latency") == [0.1]
        assert tool.set(enabled=True)[0].successful
        assert change(rig, "activate")
        assert not tool.set(enabled=False)[0].successful
        rig.wait_running()
        assert change(rig, "deactivate") and change(rig, "cleanup")
        assert tool.set(seed=4)[0].successful
    finally:
        tool.close()


def test_another_clock_holds_the_arm_until_it_ticks(rig):
    rig.start()
    tool = ParameterTool("/policy_node", context=rig.node.context)
    try:
        assert change(rig, "configure") and change(rig, "activate")
        rig.wait_running()
        assert tool.set(use_sim_time=True)[0].successful
        rig.wait(lambda: rig.status == "waiting for /clock", "the reason")
        assert rig.commands[-1].is_hold
        held = len(rig.commands)
        rig.wait(lambda: not rig.moving(), "rest")
        assert len(rig.commands) == held
        assert tool.set(use_sim_time=False)[0].successful
        rig.wait_running()
        assert [c.wrong for c in rig.commands if c.wrong] == []
    finally:
        tool.close()


@pytest.fixture
def check(rig, tmp_path, capsys):
    """Run ``tinyvla robot check --live`` against the rig, with a spoiled contract."""
    def run(**changes) -> tuple[int, str]:
        file = tmp_path / "spoiled.yaml"
        file.write_text(yaml.safe_dump(robot(**changes)))
        code = main(["robot", "check", str(file), "--checkpoint", str(tmp_path / "checkpoint"),
                     "--live", "--seconds", "2"])
        return code, capsys.readouterr().out
    return run


def test_live_check_of_a_graph_that_fits(check):
    code, text = check()
    assert code == 0, text
    assert "joint_trajectory, with a subscriber" in text
    assert "0 problem(s)" in text


def test_live_check_finds_what_does_not_fit(check):
    cameras = robot()["cameras"]
    cameras["front"]["topic"] = "camera/frnt/image_raw"
    cameras["wrist"] |= {"compressed": True}
    joints = {"topic": "joint_states", "rate": 10, "timeout": 1.0}
    output = {"type": "joint_trajectory", "topic": "nowhere",
              "channels": list(robot()["actions"])}
    code, text = check(cameras=cameras, joint_states=joints, outputs=[output])
    assert code == 1
    for words in ("Did you mean '/camera/front/image_raw'", "sensor_msgs/msg/CompressedImage",
                  "10 Hz", "/nowhere has no subscriber", "4 problem(s)"):
        assert words in text
    assert TOPIC not in text


def test_chunks_that_come_too_late_move_nothing(tmp_path):
    with Rig(tmp_path, extra_latency=0.7) as rig:  # a chunk lasts 0.5 s
        rig.start()
        rig.wait(lambda: any("the chunk was ready" in s or "inference is slow" in s
                             for s in rig.statuses), "the reason")
        assert all(c.is_hold for c in rig.commands)


@pytest.mark.parametrize(("value", "words"), [
    (math.nan, "'denoiser.head.weight' holds non-finite values"),
    (3e38, "produced non-finite actions"),
])
def test_a_network_that_gives_no_numbers_is_not_started(value, words, tmp_path):
    with Rig(tmp_path, network=True) as rig:
        weights = tmp_path / "checkpoint" / "model.safetensors"
        tensors = load_file(weights)
        tensors["denoiser.head.weight"][:] = value
        save_file(tensors, weights)
        rig.start()
        assert rig.process.wait(60.0) == 2
        assert rig.commands == []
    assert words in (tmp_path / "node.log").read_text()

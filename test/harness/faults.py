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

"""The faults that ``benchmarks/fault_matrix.py`` and the tests cause on an arm and its node."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from std_srvs.srv import SetBool, Trigger

from harness.arm_contract import CAMERA_HZ, JOINTS
from harness.arm_rig import Rig
from tinyvla_ros.core.ros.messages import set_stamp
from tinyvla_ros.dry_run.untrained import INSTRUCTION

# What the arm must do: be held by the node; go on; come to rest by itself, because the node cannot
# hold it; get no commands, because it has no controller.
HOLD, GO_ON, REST, NO_COMMANDS = "hold", "go on", "come to rest", "get no commands"


@dataclass(frozen=True)
class Fault:
    """Something that fails.

    Attributes:
        name: for the table.
        begin: breaks something; returns the steady time of the first bad or missing message.
        end: repairs it.
        expect: what the arm must do.
        lasts_s: shortest time until it is repaired.
    """

    name: str
    begin: Callable[[Rig], float]
    end: Callable[[Rig], None] = lambda rig: None
    expect: str = HOLD
    lasts_s: float = 0.0


def on_images(change, cameras=("front",)) -> Callable[[Rig], float]:
    """Change images of some cameras; ``change(msg, rig)`` returns what to publish."""
    def begin(rig: Rig) -> float:
        first: list[float] = []

        def image(name, msg):
            if name not in cameras:
                return [msg]
            first.append(time.monotonic())
            return change(msg, rig)
        rig.filters.image = image
        rig.wait(lambda: first, "an image")
        return first[0]
    return begin


def on_joints(change) -> Callable[[Rig], float]:
    """Change joint states; ``change(msg)`` returns what to publish."""
    def begin(rig: Rig) -> float:
        first: list[float] = []

        def joints(msg):
            first.append(time.monotonic())
            return change(msg)
        rig.filters.joints = joints
        rig.wait(lambda: first, "a joint state")
        return first[0]
    return begin


def edited(**fields):
    """Return a change that sets fields of a message."""
    def change(msg, rig=None):
        for name, value in fields.items():
            setattr(msg, name, value)
        return [msg]
    return change


def value(number: float):
    """Return a change that gives one joint a value."""
    def change(msg):
        msg.position[2] = number
        return [msg]
    return change


def shifted(seconds: float):
    """Return a change that shifts the stamp."""
    def change(msg, rig=None):
        ns = msg.header.stamp.sec * 10**9 + msg.header.stamp.nanosec + round(seconds * 1e9)
        set_stamp(msg.header.stamp, ns)
        return [msg]
    return change


def unstamped(msg, rig=None):
    """Remove the stamp."""
    set_stamp(msg.header.stamp, 0)
    return [msg]


def frozen() -> Callable[[Rig], float]:
    """The same image with new stamps."""
    def begin(rig: Rig) -> float:
        kept: list = []

        def change(msg, rig):
            kept.append(bytes(msg.data))
            msg.data = kept[0]
            return [msg]
        start = on_images(change)(rig)
        return start + 1 / CAMERA_HZ  # the first one was a new image
    return begin


def repeated() -> Callable[[Rig], float]:
    """The same message again and again, with its stamp."""
    def begin(rig: Rig) -> float:
        kept: list = []

        def change(msg, rig):
            kept.append(msg)
            return [kept[0]]
        return on_images(change)(rig) + 1 / CAMERA_HZ
    return begin


def burst(rig: Rig) -> float:
    """Thirty images at once, then nothing."""
    sent: list[float] = []

    def image(name, msg):
        if name != "front":
            return [msg]
        sent.append(time.monotonic())
        return [msg] * 30 if len(sent) == 1 else []
    rig.filters.image = image
    rig.wait(lambda: len(sent) >= 2, "an image")
    return sent[1]


def tenfold(rig: Rig) -> float:
    """Ten times the messages of every stream."""
    rig.filters.image = lambda name, msg: [rig.image(name) for _ in range(10)]
    rig.filters.joints = lambda msg: [rig.joint_state() for _ in range(10)]
    return time.monotonic()


def stamps_set_back(rig: Rig) -> float:
    """All stamps ten seconds earlier, as if the robot's clock was set back."""
    on_joints(shifted(-10.0))(rig)
    return on_images(shifted(-10.0), ("front", "wrist"))(rig)


def called(name: str, request) -> Callable[[Rig], float]:
    """Call a service."""
    def begin(rig: Rig) -> float:
        start = time.monotonic()
        rig.call(name, request)
        return start
    return begin


def instructed(text: str) -> Callable[[Rig], float]:
    """Publish another instruction."""
    def begin(rig: Rig) -> float:
        start = time.monotonic()
        rig.instruct(text)
        return start
    return begin


def transition(number: int) -> Callable[[Rig], float]:
    """Change the lifecycle state."""
    def begin(rig: Rig) -> float:
        start = time.monotonic()
        request = ChangeState.Request(transition=Transition(id=number))
        rig.service(ChangeState, "change_state", request)
        return start
    return begin


def change_parameter(rig: Rig) -> float:
    """Try to change a parameter while the arm moves."""
    start = time.monotonic()
    request = SetParameters.Request(
        parameters=[Parameter("threads", value=2).to_parameter_msg()])
    answer = rig.service(SetParameters, "set_parameters", request)
    assert not answer.results[0].successful
    return start


def signalled(number: int) -> Callable[[Rig], float]:
    """Send the node a signal."""
    def begin(rig: Rig) -> float:
        start = time.monotonic()
        rig.kill(number)
        return start
    return begin


def inference_raises(rig: Rig) -> float:
    """An unexpected exception; it ends the node."""
    start = signalled(signal.SIGUSR2)(rig)
    assert rig.process.wait(30.0) == 1, "the node must end with an error"
    return start


def encoder_glitch(rig: Rig) -> float:
    """A joint is suddenly measured elsewhere."""
    rig.glitch = np.array([0.0, 0.5, 0.0, 0.0, 0.0, 0.0])
    return time.monotonic()


def no_controller(rig: Rig) -> float:
    """The controller goes away."""
    start = time.monotonic()
    rig.unsubscribe()
    return start


def end_glitch(rig: Rig) -> None:
    """The joint is measured correctly again."""
    rig.glitch = np.zeros(len(JOINTS))


FAULTS = [
    Fault("camera dies", on_images(lambda msg, rig: [])),
    Fault("both cameras die", on_images(lambda msg, rig: [], ("front", "wrist"))),
    Fault("camera freezes, keeps stamping", frozen()),
    Fault("camera repeats its last message", repeated()),
    Fault("image: buffer too short", on_images(edited(data=b"123"))),
    Fault("image: unknown encoding", on_images(edited(encoding="32FC1"))),
    Fault("image: zero height", on_images(edited(height=0))),
    Fault("image: unstamped", on_images(unstamped)),
    Fault("image: stamp 5 s in the future", on_images(shifted(5.0))),
    Fault("image: stamp 0.5 s old", on_images(shifted(-0.5), ("front", "wrist"))),
    Fault("joint stamps 0.1 s behind the images", on_joints(shifted(-0.1)), expect=GO_ON),
    Fault("burst of 30 images, then silence", burst),
    Fault("joint_states die", on_joints(lambda msg: [])),
    Fault("joint: NaN", on_joints(value(math.nan))),
    Fault("joint: infinite", on_joints(value(math.inf))),
    Fault("joint named twice", on_joints(lambda msg: edited(
        name=[*msg.name[:-1], msg.name[0]])(msg))),
    Fault("joint missing", on_joints(lambda msg: edited(
        name=msg.name[:-1], position=msg.position[:-1])(msg))),
    Fault("joint: wrong size", on_joints(lambda msg: edited(position=msg.position[:3])(msg))),
    Fault("joint states unstamped", on_joints(unstamped)),
    Fault("joint jumps by 0.5 rad", encoder_glitch, end_glitch),
    Fault("all stamps go back 10 s", stamps_set_back),
    Fault("unknown instruction", instructed("fly"), lambda rig: rig.instruct(INSTRUCTION)),
    Fault("controller goes away", no_controller, lambda rig: rig.subscribe(), NO_COMMANDS),
    Fault("disabled by the operator", called("enable", SetBool.Request(data=False)),
          lambda rig: rig.call("enable", SetBool.Request(data=True))),
    Fault("stopped by the operator", called("stop", Trigger.Request()),
          lambda rig: (rig.call("reset", Trigger.Request()),
                       rig.call("enable", SetBool.Request(data=True)))),
    Fault("deactivated mid-chunk", transition(Transition.TRANSITION_DEACTIVATE),
          lambda rig: transition(Transition.TRANSITION_ACTIVATE)(rig)),
    Fault("inference takes 2 s", signalled(signal.SIGUSR1), expect=REST),
    Fault("inference raises", inference_raises, lambda rig: rig.start()),
    Fault("SIGTERM", signalled(signal.SIGTERM), lambda rig: rig.start()),
    Fault("SIGSTOP, SIGCONT after 1 s", signalled(signal.SIGSTOP),
          lambda rig: rig.kill(signal.SIGCONT), REST, lasts_s=1.0),
    Fault("SIGKILL and respawn", signalled(signal.SIGKILL), lambda rig: rig.start(), REST),
    Fault("joints reordered", on_joints(lambda msg: edited(
        name=msg.name[::-1], position=msg.position[::-1])(msg)), expect=GO_ON),
    Fault("joints in two messages", on_joints(lambda msg: [
        *edited(name=msg.name[:3], position=msg.position[:3])(_copy(msg)),
        *edited(name=msg.name[3:], position=msg.position[3:])(_copy(msg))]), expect=GO_ON),
    Fault("ten times the rate", tenfold, expect=GO_ON),
    Fault("parameter changed at run time", change_parameter, expect=GO_ON),
]


def _copy(msg):
    copy = type(msg)(name=list(msg.name), position=list(msg.position))
    copy.header.stamp = msg.header.stamp
    return copy

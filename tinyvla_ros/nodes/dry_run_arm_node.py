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

"""The dry-run arm as a ROS 2 node: controllers, joint states, cameras, the instruction."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import cv2
from geometry_msgs.msg import PoseStamped, WrenchStamped
from pydantic import Field
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import Float64MultiArray, String

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.arm.contract_check import check_contract
from tinyvla_ros.arm.contract_inputs import (
    EE_STATE,
    JointStream,
    PoseStream,
    VectorStream,
    WrenchStream,
)
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.options import Settable
from tinyvla_ros.core.ros.messages import fill_image, fill_pose, set_stamp
from tinyvla_ros.core.ros.run_claims import RunMember
from tinyvla_ros.dry_run.arm import DryRunArm, Moment
from tinyvla_ros.dry_run.sensors import Sensor, make_sensors
from tinyvla_ros.dry_run.sketch import Sketch
from tinyvla_ros.dry_run.trajectory import Refused
from tinyvla_ros.dry_run.untrained import start_state
from tinyvla_ros.nodes.policy.outputs import PUBLISHERS
from tinyvla_ros.nodes.shared.declare_parameters import declare_parameters
from tinyvla_ros.nodes.shared.run_guard import RunGuard
from tinyvla_ros.nodes.shared.runner import LATCHED, OK, SENSOR_QOS, WARN, Diagnostics, run_node
from tinyvla_ros.policy.config import PolicyConfig

CAMERA_RATE, LARGEST_RATE = 30.0, 100.0
FRAME = "base_link"
JPEG = [cv2.IMWRITE_JPEG_QUALITY, 95]


class DryRunArmParameters(RunMember):
    """Parameters of ``dry_run_arm_node``."""

    robot: str = Field("", description="Robot contract, a file as in config/robots.")
    checkpoint: str = Field("", description="Checkpoint directory: names the states to measure.")
    instruction: Annotated[str, Settable("at any time; it is published then")] = Field(
        "", description="Instruction for the policy; empty for the checkpoint's first one.")
    follow: Annotated[bool, Settable("at any time; the next command is ignored or followed")] = \
        Field(True, description="Whether commands are followed; false stands for deactivated "
              "controllers, which keep their subscriptions and ignore what comes.")
    rate: float = Field(0.0, ge=0.0, le=1000.0, description="Joint states per second; 0 for the "
                        "contract's rate, but at most 100.")
    width: int = Field(320, ge=64, le=4096, description="Width of camera images.")
    height: int = Field(240, ge=64, le=4096, description="Height of camera images.")


class DryRunArmNode(Node):
    """Subscribes to all outputs of a contract and publishes all its inputs."""

    def __init__(self):
        super().__init__("dry_run_arm_node")
        self.exit_code: int | None = None
        parameters = declare_parameters(self, DryRunArmParameters, self._on_parameters)
        for name in ("robot", "checkpoint"):
            if not getattr(parameters, name):
                raise InputError(f"Parameter '{name}' is empty; "
                                 f"{DryRunArmParameters.model_fields[name].description}")
        contract = self._contract = RobotContract.load(parameters.robot)
        checkpoint = Path(parameters.checkpoint)
        config = self._config = PolicyConfig.load(checkpoint)
        check_contract(contract, config)
        self._arm = DryRunArm(contract, config, start_state(contract, config, checkpoint),
                              self.get_clock().now().nanoseconds)
        self._sketch = Sketch(contract.actions, parameters.width, parameters.height)
        self._frames = 0
        self._rate, self._text = parameters.rate, self._checked_instruction(parameters)
        self._follow = parameters.follow
        self._instruction = self.create_publisher(String, contract.instruction, LATCHED)
        topics = self._create_sensors()
        self._guard = RunGuard(self, parameters.run, topics[0], topics, on_settled=self._begin)
        for index, output in enumerate(contract.outputs):
            self.create_subscription(PUBLISHERS[output.type].message, output.topic,
                                     lambda m, i=index: self._on_command(i, m), SENSOR_QOS)
        self._diagnostics = Diagnostics(self, "arm", contract.name, self._describe)

    def close(self) -> None:
        """Release what this run had for itself."""
        self._guard.release()

    def _on_parameters(self, parameters: DryRunArmParameters, changed: set[str]
                       ) -> Callable[[], None]:
        text = self._checked_instruction(parameters)

        def apply() -> None:
            self._follow = parameters.follow
            if "instruction" in changed:
                self._text = text
                self._publish_instruction()
            self._diagnostics.publish_if_changed()

        return apply

    def _checked_instruction(self, parameters: DryRunArmParameters) -> str:
        text = parameters.instruction or self._config.instructions[0]
        self._config.check_instruction(text)
        return text

    def _publish_instruction(self) -> None:
        if self._guard.settled:
            self._instruction.publish(String(data=self._text))

    def _create_sensors(self) -> list[str]:
        """Create the publishers of all inputs and return their topics."""
        contract = self._contract
        self._sensors = make_sensors(contract, self._config)
        self._states = [self.create_publisher(_MESSAGES[type(s.settings)], s.settings.topic,
                                              SENSOR_QOS) for s in self._sensors]
        self._cameras = {
            name: self.create_publisher(CompressedImage if camera.compressed else Image,
                                        camera.topic, SENSOR_QOS)
            for name, camera in contract.cameras.items()}
        return [p.topic_name for p in (*self._states, *self._cameras.values())]

    def _begin(self) -> None:
        """Publish: nobody else publishes these topics."""
        contract = self._contract
        together: dict[float, list] = {}
        for sensor, publisher in zip(self._sensors, self._states, strict=True):
            rate = self._rate or min(sensor.settings.rate or LARGEST_RATE, LARGEST_RATE)
            together.setdefault(rate, []).append((sensor, publisher))
        for rate, sensors in together.items():
            self.create_timer(1.0 / rate, lambda sensors=sensors: self._publish_states(sensors))
        groups: dict[float, list] = {}
        for name, camera in contract.cameras.items():
            groups.setdefault(camera.rate or CAMERA_RATE, []).append((name, self._cameras[name]))
        for rate, cameras in groups.items():
            self.create_timer(1.0 / rate, lambda cameras=cameras: self._publish_images(cameras))
        self._publish_instruction()
        self.get_logger().info(f"{contract.name} is ready; instruction: {self._text!r}")

    def _publish_states(self, sensors: list) -> None:
        now_ns = self.get_clock().now().nanoseconds
        moment = self._arm.update(now_ns)
        for sensor, publisher in sensors:
            msg = publisher.msg_type()
            _FILL[type(msg)](msg, sensor, moment)
            if not isinstance(msg, Float64MultiArray):
                set_stamp(msg.header.stamp, now_ns)
            publisher.publish(msg)

    def _publish_images(self, cameras: list) -> None:
        now_ns = self.get_clock().now().nanoseconds
        moment = self._arm.observe(now_ns)
        self._frames += 1
        for name, publisher in cameras:
            image = self._sketch.draw(name, self._frames, moment)
            msg = publisher.msg_type()
            msg.header.frame_id = f"{name}_optical_frame"
            set_stamp(msg.header.stamp, now_ns)
            if isinstance(msg, Image):
                fill_image(msg, image)
            else:
                msg.format = "jpeg"
                msg.data.frombytes(cv2.imencode(".jpg", image[:, :, ::-1], JPEG)[1].tobytes())
            publisher.publish(msg)

    def _on_command(self, index: int, msg) -> None:
        if not self._follow:
            return
        try:
            self._arm.command(index, msg, self.get_clock().now().nanoseconds)
        except Refused as err:
            self.get_logger().error(f"REFUSED ({err.cause}): {err}", throttle_duration_sec=1.0)
        self._diagnostics.publish_if_changed()

    def _describe(self):
        arm = self._arm
        values = {"accepted": sum(arm.accepted.values()), "refused": sum(arm.refused.values()),
                  "last_refusal": arm.last_refusal}
        values |= {f"accepted {topic}": n for topic, n in arm.accepted.items()}
        values |= {f"refused {cause}": n for cause, n in arm.refused.items()}
        fastest = arm.fastest()
        values["largest_velocity"] = f"{fastest} {arm.speed(fastest)}"
        values |= {f"largest_velocity {name}": arm.speed(name) for name in arm.speeds}
        if not self._follow:
            return WARN, "commands are ignored, because the parameter follow is false", values
        if arm.refused:
            return WARN, f"commands were refused: {', '.join(arm.refused)}", values
        if not any(arm.accepted.values()):
            return OK, "no command yet", values
        return OK, "commands are followed", values


def _fill_joints(msg: JointState, sensor: Sensor, moment: Moment) -> None:
    msg.name = list(sensor.joints)
    for field, states in sensor.fields.items():
        setattr(msg, field, [moment.state.get(state, 0.0) for state in states])


def _fill_pose(msg: PoseStamped, sensor: Sensor, moment: Moment) -> None:
    fill_pose(msg, 0, FRAME, (moment.state.get(n, 0.0) for n in EE_STATE),
              moment.orientation.tolist())


def _fill_wrench(msg: WrenchStamped, sensor: Sensor, moment: Moment) -> None:
    msg.header.frame_id = FRAME
    values = [moment.state[n] for n in sensor.fields[""]]
    for vector, numbers in ((msg.wrench.force, values[:3]), (msg.wrench.torque, values[3:])):
        vector.x, vector.y, vector.z = numbers


def _fill_vector(msg: Float64MultiArray, sensor: Sensor, moment: Moment) -> None:
    msg.data = [moment.state[n] for n in sensor.fields[""]]


_MESSAGES = {JointStream: JointState, PoseStream: PoseStamped, WrenchStream: WrenchStamped,
             VectorStream: Float64MultiArray}
_FILL = {JointState: _fill_joints, PoseStamped: _fill_pose, WrenchStamped: _fill_wrench,
         Float64MultiArray: _fill_vector}


def main() -> int:
    """Run the node; see ``ros2 run tinyvla_ros dry_run_arm_node``."""
    return run_node(DryRunArmNode)

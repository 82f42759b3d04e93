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

"""Publish plans: one publisher per output of the robot contract."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from geometry_msgs.msg import TwistStamped
from rclpy.duration import Duration
from rclpy.node import Node
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from tinyvla_ros.arm.contract_outputs import AnyOutput
from tinyvla_ros.arm.plan import Plan
from tinyvla_ros.core.ros.messages import fill_trajectory, set_stamp
from tinyvla_ros.core.types import ActionChunk
from tinyvla_ros.nodes.shared.run_guard import other_publishers

DEPTH = 10
# A controller still accepts a hold that arrives this much after its last row, s.
HOLD_VALID_S = 0.2
# A node that ends waits at most so long for its last command to arrive, s.
FLUSH_S = 0.1


class OutputPublisher:
    """Publishes the channels of one output.

    Attributes:
        message: class of the commands.
        is_streamed: whether a plan is published row by row, not as one message.
        publisher: of the commands.
    """

    message: ClassVar[type]
    is_streamed: ClassVar[bool] = False

    def __init__(self, node: Node, output: AnyOutput, channels: tuple[str, ...]):
        self._output = output
        self._columns = [channels.index(name) for name in output.channels]
        self._scale = np.array([c.scale for c in output.channels.values()])
        self._offset = np.array([c.offset for c in output.channels.values()])
        self.publisher = node.create_publisher(self.message, output.topic, DEPTH)
        self._node = node

    def close(self) -> None:
        """Destroy the publisher."""
        self._node.destroy_publisher(self.publisher)

    def problem(self) -> str:
        """Return why commands would get lost or mix with others', empty if they would not."""
        if not self.publisher.get_subscription_count():
            return f"{self.publisher.topic_name} has no subscriber"
        return self.rival()

    def rival(self) -> str:
        """Return who else may command the same controller, empty if nobody may."""
        topic = self.publisher.topic_name
        names = other_publishers(self._node, topic)
        return f"{' and '.join(names)} may command {topic} too" if names else ""

    def flush(self) -> None:
        """Wait until subscribers have acknowledged all messages, at most ``FLUSH_S``."""
        self.publisher.wait_for_all_acked(Duration(seconds=FLUSH_S))

    def send(self, plan: Plan) -> None:
        """Publish a new plan, or nothing; called once per plan."""

    def tick(self, plan: Plan, now_ns: int) -> None:
        """Publish the row for now, or nothing; called every control period."""

    def _values(self, commands: np.ndarray) -> np.ndarray:
        return commands[..., self._columns] * self._scale + self._offset


class JointTrajectoryPublisher(OutputPublisher):
    """The whole plan as one message, for joint_trajectory_controller.

    A new trajectory replaces the old one at once. It holds what remains of the old one until the
    plan departs from it, ``lead`` seconds from now: however long the message takes until then, and
    whatever the controller measures, the arm goes on along the same curve. One that is delayed
    beyond its last point is refused by the controller; the trajectory before it ends at rest.

    With velocities the controller interpolates by cubics, which are exactly the curve of the plan.
    """

    message = JointTrajectory

    def send(self, plan: Plan) -> None:
        """Publish the plan."""
        times, positions, velocities = plan.trajectory()
        positions, velocities = self._values(positions), velocities[:, self._columns] * self._scale
        msg = JointTrajectory(joint_names=self._output.targets)
        set_stamp(msg.header.stamp, int(times[0]))
        after = (times - times[0]).tolist()
        if plan.chunk is None:
            # One more point at the same position: a late hold is not refused, and an arm that
            # moved on in the meantime has time to come back.
            after.append(after[-1] + round(HOLD_VALID_S * 1e9))
            positions = np.concatenate([positions, positions[-1:]])
            velocities = np.concatenate([velocities, np.zeros_like(velocities[-1:])])
        for after_ns, position, velocity in zip(after, positions, velocities, strict=True):
            point = JointTrajectoryPoint(positions=position.tolist(),
                                         velocities=velocity.tolist())
            set_stamp(point.time_from_start, after_ns)
            msg.points.append(point)
        self.publisher.publish(msg)


class ChunkPublisher(OutputPublisher):
    """The chunk as one message, in the form of the policy's chunks and within the limits."""

    message = JointTrajectory

    def send(self, plan: Plan) -> None:
        """Publish the chunk; a hold is one without an instruction."""
        chunk = plan.chunk or ActionChunk(plan.start_ns, plan.channels,
                                          (plan.commands - plan.offset).astype(np.float32),
                                          plan.dt_ns / 1e9)
        msg = JointTrajectory()
        fill_trajectory(msg, chunk, plan.instruction, JointTrajectoryPoint)
        self.publisher.publish(msg)


class TwistPublisher(OutputPublisher):
    """A twist every control period of a plan, for MoveIt Servo.

    Servo's own time-out (0.1 s) stops the arm when they end.
    """

    message, is_streamed = TwistStamped, True

    def tick(self, plan: Plan, now_ns: int) -> None:
        """Publish the row for now."""
        commands = plan.values(now_ns)
        if commands is None:
            return
        msg = TwistStamped()
        msg.header.frame_id = self._output.frame
        set_stamp(msg.header.stamp, now_ns)
        for target, value in zip(self._output.targets, self._values(commands), strict=True):
            part, axis = target.split(".")
            setattr(getattr(msg.twist, part), axis, float(value))
        self.publisher.publish(msg)


class PositionsPublisher(OutputPublisher):
    """Positions every control period of a plan, for a forward_command_controller."""

    message, is_streamed = Float64MultiArray, True

    def tick(self, plan: Plan, now_ns: int) -> None:
        """Publish the row for now."""
        commands = plan.values(now_ns)
        if commands is not None:
            self.publisher.publish(Float64MultiArray(data=self._values(commands).tolist()))


PUBLISHERS = {"joint_trajectory": JointTrajectoryPublisher, "chunk": ChunkPublisher,
              "twist": TwistPublisher, "positions": PositionsPublisher}


def make_outputs(node: Node, outputs: tuple[AnyOutput, ...],
                 channels: tuple[str, ...]) -> list[OutputPublisher]:
    """Create the publishers of a contract; ``channels`` name the columns of its plans."""
    made: list[OutputPublisher] = []
    try:
        for output in outputs:
            made.append(PUBLISHERS[output.type](node, output, channels))
    except Exception:
        for publisher in made:
            publisher.close()
        raise
    return made

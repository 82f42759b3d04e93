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

"""``sim_robot_node`` in a scene in which one task follows another."""

from __future__ import annotations

import numpy as np
import pytest
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image
from std_msgs.msg import Bool
from std_srvs.srv import Trigger

from harness.processes import Listener, Output, start_node, stop
from tinyvla_ros.cli.main import main

pytestmark = pytest.mark.simulator
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def test_it_tells_which_task_is_done_and_moves_the_goal():
    process = start_node("sim_robot_node", task="reach-v3", seed=3, scenes="chained")
    output, probe = Output(process), Listener()
    done, images = {}, []
    for task in ("reach_v3", "pick_place_v3"):
        probe.node.create_subscription(Bool, f"simulation/success/{task}",
                                       lambda msg, task=task: done.update({task: msg.data}),
                                       LATCHED)
    probe.node.create_subscription(Image, "camera/front/image_raw", images.append, 10)
    try:
        output.wait_for("is there")
        probe.until(lambda: len(done) == 2 and images, "both topics and an image")
        assert done == {"reach_v3": False, "pick_place_v3": False}
        before = np.frombuffer(images[-1].data, np.uint8)
        answer = probe.call(Trigger, "sim_robot_node/move_goal", Trigger.Request())
        assert answer.success
        probe.until(lambda: np.abs(np.frombuffer(images[-1].data, np.uint8).astype(int)
                                   - before).max() > 50, "an image with the goal elsewhere")
        assert probe.call(Trigger, "sim_robot_node/reset", Trigger.Request()).success
    finally:
        assert stop(process) == 0
        probe.close()
    assert "Traceback" not in output.text


@pytest.mark.parametrize(("task", "words"), [
    ("so101-pick-place", "so101"), ("push-v3", "'push-v3'")])
def test_an_arm_or_a_task_without_such_scenes_is_refused(task, words, capsys):
    assert main(["sim-robot", "--task", task, "--scenes", "chained"]) == 2
    assert words in capsys.readouterr().err

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

"""What the nodes of a robot import, and so what must be installed there."""

from __future__ import annotations

import subprocess
import sys

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.core.resources import share_directory
from tinyvla_ros.dry_run.untrained import write_untrained_checkpoint

NOT_ON_A_ROBOT = {
    "torch", "diffusers", "transformers", "mujoco", "metaworld", "gymnasium", "scipy",
    "matplotlib", "pyarrow", "av", "tensorboard", "onnx", "onnxscript", "openvino", "training",
    "sim_bridge"}
# policy_node infers once while it is configured.
NODES = """
import sys
import rclpy
from tinyvla_ros.nodes.dry_run_arm_node import DryRunArmNode
from tinyvla_ros.nodes.dry_run_report_node import DryRunReportNode
from tinyvla_ros.nodes.episode_recorder_node import EpisodeRecorderNode
from tinyvla_ros.nodes.policy_node import PolicyNode
rclpy.init(args=["--ros-args", *sys.argv[1:]])
policy, arm, recorder = PolicyNode(), DryRunArmNode(), EpisodeRecorderNode()
assert policy.failure is None, policy.failure
for node in (policy, recorder):
    node.close()
print(*sorted({name.split(".")[0] for name in sys.modules}))
"""


def test_the_nodes_of_a_robot_import_nothing_heavy(tmp_path):
    robot, checkpoint = share_directory() / "config" / "robots" / "ur5e.yaml", tmp_path / "c"
    write_untrained_checkpoint(RobotContract.load(robot), checkpoint)
    parameters = {"policy_node:robot": robot, "policy_node:checkpoint": checkpoint,
                  "dry_run_arm_node:robot": robot, "dry_run_arm_node:checkpoint": checkpoint,
                  "episode_recorder_node:checkpoint": checkpoint,
                  "episode_recorder_node:out": tmp_path / "episodes"}
    arguments = [a for name, value in parameters.items() for a in ("-p", f"{name}:={value}")]
    run = subprocess.run([sys.executable, "-c", NODES, *arguments], text=True,
                         capture_output=True, check=False)
    assert run.returncode == 0, run.stderr
    imported = set(run.stdout.splitlines()[-1].split())
    assert {"onnxruntime", "rclpy", "tinyvla_ros"} <= imported
    assert not imported & NOT_ON_A_ROBOT

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

"""The parameter model of every node."""

from __future__ import annotations

from sim_bridge.nodes.bridge_parameters import (
    BridgeParameters,
    OperatorParameters,
    SimRobotParameters,
)
from sim_bridge.nodes.eval_node import EvaluationParameters
from tinyvla_ros.nodes.dry_run_arm_node import DryRunArmParameters
from tinyvla_ros.nodes.dry_run_report_node import DryRunReportParameters
from tinyvla_ros.nodes.episode_recorder_node import RecorderParameters
from tinyvla_ros.nodes.panel.panel_parameters import PanelParameters
from tinyvla_ros.nodes.policy.policy_parameters import PolicyNodeParameters
from tinyvla_ros.nodes.sequence.sequence_parameters import SequenceParameters
from tinyvla_ros.nodes.teleop.teleop_parameters import TeleopParameters

MODELS = {"policy_node": PolicyNodeParameters, "dry_run_arm_node": DryRunArmParameters,
          "dry_run_report_node": DryRunReportParameters,
          "episode_recorder_node": RecorderParameters, "sim_bridge_node": BridgeParameters,
          "sim_robot_node": SimRobotParameters,
          "scripted_operator_node": OperatorParameters,
          "eval_node": EvaluationParameters, "teleop_node": TeleopParameters,
          "panel_node": PanelParameters, "sequence_node": SequenceParameters}
OF_RCLPY = ("use_sim_time", "start_type_description_service")

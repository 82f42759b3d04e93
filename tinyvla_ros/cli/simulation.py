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

"""``tinyvla sim-eval``, ``tinyvla evaluate`` and ``tinyvla sim-robot``: simulated arms."""

from __future__ import annotations

from pathlib import Path

from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.resources import default_checkpoint
from tinyvla_ros.start.graph import SimEvalOptions, sim_eval_graph
from tinyvla_ros.start.node_description import NodeDescription
from tinyvla_ros.start.operator_graphs import SimRobotOptions, sim_robot_graph
from training.experiments.options import EvaluationOptions


def sim_eval(options: SimEvalOptions) -> int:
    """Run the evaluation over ROS 2 topics."""
    from tinyvla_ros.start.local_launch import run_graph

    return run_graph(sim_eval_nodes(options))


def sim_eval_nodes(options: SimEvalOptions) -> list[NodeDescription]:
    """Return the nodes of an evaluation; everything that can be checked is checked first.

    Raises:
        InputError: an option, the checkpoint or the output directory cannot be used, or this
            machine cannot draw.
    """
    from sim_bridge.episodes import plan_episodes
    from sim_bridge.opengl import require_opengl
    from sim_bridge.protocol import check_scenes, protocol_names, trained_with, under_protocol
    from sim_bridge.simulated_robot import SimulatedRobotConfig, check_camera_rate
    from tinyvla_ros.policy.config import PolicyConfig
    from tinyvla_ros.start.local_launch import require_rclpy

    require_rclpy()
    check_scenes(options.protocol, options.scenes)
    options, protocol = under_protocol(options)
    plan_episodes(list(options.tasks), options.episodes, options.seed)
    robot = SimulatedRobotConfig.of(options.tasks, options.scenes)
    check_camera_rate(options.camera_rate, options.mode, robot.arm)
    checkpoint = options.checkpoint or default_checkpoint()
    config = PolicyConfig.load(checkpoint)
    for task in options.tasks:
        config.check_instruction(robot.instruction(task))
    robot.with_cameras(config.cameras)
    if protocol is not None:
        protocol.check_policy(config, trained_with(checkpoint))
        if options.protocol not in protocol_names() and Path(options.protocol).is_file():
            # Wherever the nodes run.
            options = options.model_copy(
                update={"protocol": str(Path(options.protocol).resolve())})
    require_opengl()
    return sim_eval_graph(options, robot.arm.contract(options.mode))


def sim_robot(options: SimRobotOptions) -> int:
    """Let a simulated arm stand there until Ctrl-C, or until all demonstrations are shown."""
    from tinyvla_ros.start.local_launch import run_graph

    return run_graph(sim_robot_nodes(options))


def sim_robot_nodes(options: SimRobotOptions) -> list[NodeDescription]:
    """Return the nodes of a simulated arm; everything that can be checked is checked first.

    Raises:
        InputError: there is no such task, nobody can show it, or this machine cannot draw.
    """
    from sim_bridge.arms import SO101
    from sim_bridge.opengl import require_opengl
    from sim_bridge.simulated_robot import SimulatedRobotConfig
    from tinyvla_ros.start.local_launch import require_rclpy

    require_rclpy()
    robot = SimulatedRobotConfig.for_tasks([options.task], options.config, options.scenes)
    robot.instruction(options.task)
    if options.demonstrate and robot.arm is not SO101:
        raise InputError(f"The task is {options.task}, and demonstrations are shown on the SO-101 "
                         "alone; leave --demonstrate out, or give a task such as "
                         "so101-pick-place.")
    require_opengl()
    return sim_robot_graph(options)


def evaluate(options: EvaluationOptions) -> int:
    """Run the evaluation in this process and its workers."""
    from sim_bridge.results.writing import table
    from training.experiments.evaluate import evaluate as evaluate_checkpoint

    results = evaluate_checkpoint(options)
    print(f"\n{table(results)}\nresults and images: {options.out}")
    return 0

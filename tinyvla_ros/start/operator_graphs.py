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

"""The graphs of a person at an arm: teleoperation, and a simulated arm to try it on."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.scenes import ROBOT_SCENES, ScenesOption
from tinyvla_ros.start.device_options import DeviceOptions, device_parameters
from tinyvla_ros.start.node_description import (
    NodeDescription,
    NodeSettings,
    describe_nodes,
    directory_of_now,
    given_options,
)
from tinyvla_ros.start.panel_graph import PageOptions, page_device, page_node
from tinyvla_ros.teleop.leader import Leader, LeaderMapping
from tinyvla_ros.teleop.mapping import Mapping
from tinyvla_ros.teleop.operator import Operator


class TeleopOptions(NodeSettings, DeviceOptions, PageOptions):
    """Arguments of ``teleop.launch.py`` and ``tinyvla teleop``."""

    robot: str = Field(description="Robot contract, a file like those in config/robots.")
    input: Literal["keyboard", "joy", "leader", "panel"] = Field(
        "joy", description="What moves the arm: keyboard, the keys of 'tinyvla teleop'; joy, a "
        "gamepad or space mouse on topic joy; leader, an arm on topic leader/joint_states; panel, "
        "the page of panel_node, which is started, too.")
    instruction: str = Field("", description="What is demonstrated, in words.")
    task: str = Field("", description="Name of the task in episode events; empty for the "
                                      "instruction.")
    episodes: int = Field(0, ge=0, le=1000000, description="Demonstrations that are wanted; 0 for "
                          "as many as come.")
    reset_s: float = Field(2.0, ge=0.0, le=3600.0, description="Shortest pause between two "
                           "demonstrations, s.")
    reset_service: str = Field("", description="Service (std_srvs/Trigger) that makes a new scene "
                               "in each pause; empty where the person does.")
    use_sim_time: bool = Field(False, description="Take the time from /clock.")
    record: bool = Field(False, description="Start episode_recorder_node as well, which records "
                                            "every demonstration.")
    out: str = Field("", description="Directory for recorded demonstrations; empty for "
                                     "results/demonstrations-TIME.")

    @property
    def uses_keys(self) -> bool:
        """Whether the keys of 'tinyvla teleop' are the device, whatever they mean."""
        return self.input == "keyboard" or (self.input == "leader" and self.mapping == "keyboard")


# Topic of the keys of `tinyvla teleop`: a gamepad's driver may run beside it.
KEYS_TOPIC = "teleop_keys"


def teleop_graph(options: TeleopOptions) -> list[NodeDescription]:
    """Return what lets a person drive a robot that runs already, and the recorder if it is wanted.

    Raises:
        InputError: contract, mapping or leader cannot be read or do not fit each other.
    """
    contract = RobotContract.load(options.robot)
    is_leader = options.input == "leader"
    if options.mapping == "none" and not is_leader:
        raise InputError(f"mapping none leaves input {options.input} without a dead man; give "
                         "game_controller, xbox, spacenav, keyboard or a file.")
    if not options.mapping and options.input == "keyboard":
        options = options.model_copy(update={"mapping": "keyboard"})
    remappings = {"joy": KEYS_TOPIC} if options.uses_keys else {}
    if options.input == "panel":
        options = options.model_copy(update={"panel": True})
        devices, remappings = page_device(options)
    else:
        devices = device_parameters(options)
    mapping = devices["mapping"]
    # The checks of the node, before anything starts.
    leader = Leader(contract, LeaderMapping.load(options.leader), "leader/joint_states",
                    1.0) if is_leader else None
    Operator(contract, Mapping.load(mapping) if mapping else None, leader=leader)
    robot = str(Path(options.robot).resolve())
    recorder = [NodeDescription("episode_recorder_node", {
        "robot": robot, "out": str(Path(options.out or directory_of_now("demonstrations"))
                                   .resolve())})] if options.record else []
    return describe_nodes(
        options, *recorder,
        *page_node(options, "teleop_node", robot, use_sim_time=options.use_sim_time),
        NodeDescription("teleop_node", {
            "robot": robot, "input": "leader" if is_leader else "joy", **devices,
            **given_options(options, "instruction", "task", "episodes", "reset_s",
                            "reset_service", "use_sim_time")},
        remappings=remappings))


class SimRobotOptions(NodeSettings):
    """Arguments of ``sim_robot.launch.py`` and ``tinyvla sim-robot``."""

    task: str = Field("so101-pick-place", description="Task: it decides the arm and what is on "
                      "the table.")
    seed: int = Field(0, ge=0, le=999999999, description="Seed of the first scene; every "
                      "/sim_robot_node/reset takes the next one.")
    config: str = Field("", description="Configuration of the simulated robot, a file like "
                        "config/so101.yaml, for other cameras or another table; empty for that of "
                        "the task's arm.")
    scenes: ScenesOption = Field("", description=ROBOT_SCENES)
    demonstrate: int = Field(0, ge=0, le=100000, description="Let a scripted operator show so "
                             "many demonstrations, as a person with a leader arm and a gamepad "
                             "would; the run ends with the last one. 0 for none.")
    takeover_after: float = Field(
        0.0, ge=0.0, le=600.0, description="With demonstrate: let it watch a policy, which runs "
        "with takeover leader, in so many scenes, and take over where that has not succeeded by "
        "then, s. 0 for demonstrations without a policy.")

    @model_validator(mode="after")
    def _somebody_takes_over(self):
        if self.takeover_after and not self.demonstrate:
            raise ValueError(f"takeover_after is {self.takeover_after:g} s, and demonstrate is 0: "
                             "nobody takes over; give demonstrate as well")
        return self


def sim_robot_graph(options: SimRobotOptions) -> list[NodeDescription]:
    """Return a simulated arm that stands there like a real one."""
    config = options.config and str(Path(options.config).resolve())
    operator = [NodeDescription("scripted_operator_node", {
        "task": options.task, "episodes": options.demonstrate, "seed": options.seed,
        "takeover_after": options.takeover_after, "config": config},
        ends_run=True)] if options.demonstrate else []
    return describe_nodes(options, *operator, NodeDescription(
        "sim_robot_node", {
            "task": options.task, "seed": options.seed,
            "config": config, "scenes": options.scenes}), one_run=False)

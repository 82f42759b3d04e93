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

"""The operator's page beside other graphs: who listens to it, and to what else."""

from __future__ import annotations

import pytest

from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.resources import robot_file
from tinyvla_ros.panel.joy_layout import TOPIC
from tinyvla_ros.start.graph import (
    DryRunOptions,
    PolicyOptions,
    SimEvalOptions,
    dry_run_graph,
    policy_graph,
    sim_eval_graph,
)
from tinyvla_ros.start.operator_graphs import TeleopOptions, teleop_graph
from tinyvla_ros.start.panel_graph import PanelOptions, panel_graph

METAWORLD, SO101 = str(robot_file("metaworld")), str(robot_file("so101"))


def by_name(nodes) -> dict:
    return {node.executable: node for node in nodes}


def policy(tiny_checkpoint, **options):
    return by_name(policy_graph(PolicyOptions(robot=METAWORLD, checkpoint=str(tiny_checkpoint),
                                              **options)))


def test_without_it_nothing_is_served_and_nobody_takes_over(tiny_checkpoint):
    nodes = policy(tiny_checkpoint)
    assert set(nodes) == {"policy_node"}
    assert not nodes["policy_node"].parameters["takeover"]
    assert not nodes["policy_node"].remappings


@pytest.mark.parametrize("options", [{"panel": True}, {"takeover": "panel"},
                                     {"panel": True, "takeover": "panel"}])
def test_the_page_may_take_over_from_the_policy(tiny_checkpoint, options):
    nodes = policy(tiny_checkpoint, **options)
    assert ("panel_node" in nodes) == options.get("panel", False)
    node = nodes["policy_node"]
    assert (node.parameters["takeover"], node.parameters["mapping"]) == ("joy", "panel")
    assert node.remappings == {"joy": TOPIC}


def test_another_device_may_take_over_beside_a_page_that_watches(tiny_checkpoint):
    nodes = policy(tiny_checkpoint, panel=True, takeover="joy", panel_port=0,
                   panel_host="0.0.0.0", page_timeout=0.2)
    assert nodes["policy_node"].parameters["mapping"] == "game_controller"
    assert not nodes["policy_node"].remappings
    page = nodes["panel_node"].parameters
    assert (page["host"], page["port"], page["page_timeout"]) == ("0.0.0.0", 0, 0.2)
    assert page["checkpoint"] == str(tiny_checkpoint)


def test_the_page_has_its_own_mapping(tiny_checkpoint):
    with pytest.raises(InputError, match="mapping xbox"):
        policy(tiny_checkpoint, panel=True, mapping="xbox")


def test_a_person_drives_by_the_page_alone():
    nodes = by_name(teleop_graph(TeleopOptions(robot=SO101, input="panel")))
    assert nodes["panel_node"].parameters["driver"] == "teleop_node"
    assert nodes["teleop_node"].parameters["mapping"] == "panel"
    assert nodes["teleop_node"].remappings == {"joy": TOPIC}


def test_a_page_in_simulation_has_the_clock_of_the_run(tiny_checkpoint, tmp_path):
    nodes = by_name(sim_eval_graph(SimEvalOptions(
        checkpoint=str(tiny_checkpoint), out=str(tmp_path / "out"), panel=True)))
    assert nodes["panel_node"].parameters["use_sim_time"]
    assert nodes["panel_node"].remappings == {"/clock": "clock"}
    assert not nodes["policy_node"].parameters.get("takeover")
    nodes = by_name(dry_run_graph(DryRunOptions(panel=True)))
    assert not nodes["panel_node"].parameters["use_sim_time"]
    assert nodes["policy_node"].parameters["takeover"] == "joy"


def test_all_nodes_of_a_graph_with_a_page_are_one_run_and_a_page_alone_is_nobodys(
        tiny_checkpoint):
    nodes = policy(tiny_checkpoint, panel=True)
    assert len({node.parameters["run"] for node in nodes.values()}) == 1
    (page,) = panel_graph(PanelOptions(robot=SO101))
    assert "run" not in page.parameters
    with pytest.raises(InputError, match="/nowhere"):
        panel_graph(PanelOptions(robot=SO101, checkpoint="/nowhere"))

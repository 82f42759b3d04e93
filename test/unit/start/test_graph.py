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

"""Graphs from their options: namespace, parameter file, recorder, the default of ``out``."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.resources import share_directory
from tinyvla_ros.start import local_launch
from tinyvla_ros.start.graph import PolicyOptions, SimEvalOptions, policy_graph, sim_eval_graph
from tinyvla_ros.start.node_description import NodeDescription, NodeSettings
from tinyvla_ros.start.parameter_file import check_parameter_file
from training.experiments.options import EvaluationOptions

ROBOT = str(share_directory() / "config" / "robots" / "metaworld.yaml")
NODES = ["/arm_1/eval_node", "/arm_1/policy_node"]


def policy(tiny_checkpoint, **options) -> list[NodeDescription]:
    return policy_graph(PolicyOptions(robot=ROBOT, checkpoint=str(tiny_checkpoint), **options))


def test_settings_reach_every_node(tiny_checkpoint, tmp_path):
    nodes = sim_eval_graph(SimEvalOptions(
        checkpoint=str(tiny_checkpoint), out=str(tmp_path / "out"), namespace="arm_1",
        enclave="/arm_1", log_level="debug", record=True))
    assert len(nodes) == 4
    for node in nodes:
        command = local_launch.node_command(node)
        for pair in (("-r", "__ns:=/arm_1"), ("--enclave", "/arm_1"), ("--log-level", "debug")):
            assert command[command.index(pair[1]) - 1] == pair[0]


@pytest.mark.parametrize("value", ["arm-1", "1arm", "arm//a", "arm/", "/"])
def test_a_namespace_that_ros_refuses_is_refused_first(value):
    with pytest.raises(ValueError, match="letters, digits"):
        NodeSettings(namespace=value)


def test_the_default_directory_has_the_time_and_is_not_made(
        tiny_checkpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    evaluation = sim_eval_graph(SimEvalOptions(checkpoint=str(tiny_checkpoint)))[0]
    out = Path(evaluation.parameters["out"])
    assert re.fullmatch(r"sim_eval-\d{8}-\d{6}", out.name)
    assert out.parent == tmp_path / "results"
    assert not out.parent.exists()


def test_the_default_directory_of_evaluate_has_the_time_as_well():
    assert re.fullmatch(r"results/evaluate-\d{8}-\d{6}", str(EvaluationOptions().out))


def test_a_directory_with_results_is_refused_before_anything_starts(tiny_checkpoint, tmp_path):
    (tmp_path / "episodes.jsonl").write_text("{}\n")
    with pytest.raises(InputError, match="holds results"):
        sim_eval_graph(SimEvalOptions(checkpoint=str(tiny_checkpoint), out=str(tmp_path)))


def test_the_policy_can_be_recorded_and_its_blending_chosen(tiny_checkpoint, tmp_path):
    recorder, node = policy(tiny_checkpoint, record=True, out=str(tmp_path), join="ensemble")
    assert recorder.parameters["policy_join"] == node.parameters["join"] == "ensemble"
    assert recorder.parameters["out"] == str(tmp_path)
    recorder, node = policy(tiny_checkpoint, record=True)
    assert recorder.parameters["policy_join"] == "replace"  # the contract's


def test_what_will_run_the_network_is_recorded_and_checked(tiny_checkpoint, tmp_path):
    recorder, node = policy(tiny_checkpoint, record=True, sample_steps=3)
    assert node.parameters["backend"] == "auto"
    assert recorder.parameters["policy_backend"].startswith("torch ")
    assert recorder.parameters["policy_sample_steps"] == node.parameters["sample_steps"] == 3
    evaluation = next(n for n in sim_eval_graph(SimEvalOptions(
        checkpoint=str(tiny_checkpoint), out=str(tmp_path / "out"))) if n.ends_run)
    assert evaluation.parameters["policy_backend"].startswith("torch ")
    assert evaluation.parameters["policy_sample_steps"] == 2
    with pytest.raises(InputError, match=r"has no policy\.onnx"):
        policy(tiny_checkpoint, backend="onnxruntime")


def test_an_argument_that_is_given_wins_over_the_parameter_file(
        tiny_checkpoint, tmp_path):
    file = tmp_path / "parameters.yaml"
    file.write_text("/**:\n  ros__parameters: {threads: 3, sample_steps: 2}\n")
    node, = policy(tiny_checkpoint, params_file=str(file), threads=2)
    assert node.parameters["threads"] == 2
    assert "sample_steps" not in node.parameters
    arguments = node.ros_arguments()
    assert arguments[:2] == ["--params-file", str(file)]  # what follows wins
    assert "threads:=2" in arguments[2:]


def test_an_arm_is_not_enabled_by_a_file_against_an_argument(tiny_checkpoint, tmp_path):
    file = tmp_path / "parameters.yaml"
    file.write_text("policy_node:\n  ros__parameters: {enabled: true}\n")
    node, = policy(tiny_checkpoint, params_file=str(file), enabled=False)
    assert "enabled:=false" in node.ros_arguments()


@pytest.mark.parametrize("name", [
    "/arm_1/policy_node", "/**", "/*/policy_node", "/**/policy_node", "arm_1/policy_node",
    "/arm_1/*"])
def test_a_parameter_file_for_a_node_of_the_graph_is_taken(name, tmp_path):
    file = tmp_path / "parameters.yaml"
    file.write_text(f"'{name}':\n  ros__parameters: {{threads: 3}}\n")
    check_parameter_file(file, NODES)
    file.write_text("arm_1:\n  policy_node:\n    ros__parameters: {threads: 3}\n")
    check_parameter_file(file, NODES)


@pytest.mark.parametrize(("text", "words"), [
    ("policy_node:\n  ros__parameters: {threads: 3}\n", "/arm_1/policy_node"),
    ("/*/*/policy_node:\n  ros__parameters: {threads: 3}\n", "/arm_1/policy_node"),
    ("threads: 3\n", "ros__parameters"),
    ("[1, 2]\n", "ros__parameters"),
    ("a: [\n", "YAML"),
    ("\0\xff", "YAML"),
    (None, "No such file"),
])
def test_a_parameter_file_that_ros_would_ignore_is_refused(text, words, tmp_path):
    file = tmp_path / "parameters.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(InputError, match=words) as caught:
        check_parameter_file(file, NODES)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize(("ends_run", "code"), [(False, 0), (True, 1)])
def test_a_node_that_is_shut_down_ends_the_others_and_fails_only_an_unfinished_run(
        ends_run, code, monkeypatch, capsys):
    commands = {"policy_node": "pass", "eval_node": "import time; time.sleep(1000)"}
    monkeypatch.setattr(local_launch, "node_command",
                        lambda node: [sys.executable, "-c", commands[node.executable]])
    assert local_launch.run_graph([NodeDescription("policy_node"), NodeDescription(
        "eval_node", ends_run=ends_run)]) == code
    assert "policy_node was shut down" in capsys.readouterr().err

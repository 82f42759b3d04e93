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

"""What the launch files ask for: the nodes of a graph, from a Python that has our dependencies.

``ros2 launch`` may run in a Python without them. ``launch/environment_python.py`` therefore runs
``main`` in ours, writes the launch arguments as one line of JSON and reads the nodes as another.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import get_args, get_origin

from tinyvla_ros.cli.simulation import sim_eval_nodes, sim_robot_nodes
from tinyvla_ros.core.configuration import Config
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.options import validate, value_type
from tinyvla_ros.core.output import not_encodable
from tinyvla_ros.start.graph import (
    DryRunOptions,
    PolicyOptions,
    SimEvalOptions,
    dry_run_graph,
    policy_graph,
)
from tinyvla_ros.start.node_description import NodeDescription
from tinyvla_ros.start.operator_graphs import SimRobotOptions, TeleopOptions, teleop_graph
from tinyvla_ros.start.sequence_graph import SequenceOptions, sequence_graph

# Name of the launch file without its ending -> its arguments, and what makes nodes of them.
GRAPHS: dict[str, tuple[type[Config], Callable[[Config], Sequence[NodeDescription]]]] = {
    "dry_run": (DryRunOptions, dry_run_graph),
    "policy": (PolicyOptions, policy_graph),
    "sequence": (SequenceOptions, sequence_graph),
    "sim_eval": (SimEvalOptions, sim_eval_nodes),
    "sim_robot": (SimRobotOptions, sim_robot_nodes),
    "teleop": (TeleopOptions, teleop_graph),
}


def arguments() -> dict[str, list[dict[str, object]]]:
    """Return what ``launch/arguments.json`` holds: the arguments of every launch file.

    Each has ``name``, ``description``, ``choices`` (empty: any text) and ``default`` (null: the
    argument is required).
    """
    return {name: [_argument(*item) for item in options.model_fields.items()]
            for name, (options, _) in GRAPHS.items()}


def _argument(name: str, field) -> dict[str, object]:
    kind, several = value_type(field)
    default = None if field.is_required() else \
        " ".join(field.default) if several else str(field.default)
    return {"name": name, "default": default,
            "description": f"{field.description} Separated by blanks." if several
            else field.description,
            "choices": list(get_args(kind)) if get_origin(kind) is not None else []}


def nodes(name: str, values: Mapping[str, str]) -> dict[str, object]:
    """Return the nodes of a graph as plain data.

    Args:
        name: key of ``GRAPHS``.
        values: argument -> text, of those that were given.

    Raises:
        InputError: an argument, or something that it names, cannot be used.
    """
    model, graph = GRAPHS[name]
    several = {n for n, field in model.model_fields.items() if value_type(field)[1]}
    options = validate(model, {n: v.split() if n in several else v for n, v in values.items()},
                       lambda argument: f"{name}.launch.py: {argument}")
    return {"on_exit": getattr(options, "on_exit", "shutdown"), "nodes": [
        {"executable": node.executable, "namespace": node.settings.namespace,
         "ros_arguments": node.ros_arguments(), "ends_run": node.ends_run}
        for node in graph(options)]}


def main() -> int:
    """Answer one question."""
    name, values = sys.argv[1], json.loads(sys.stdin.readline())
    # What libraries print must not be taken for the answer.
    with os.fdopen(os.dup(1), "w") as answer:
        os.dup2(2, 1)
        try:
            print(json.dumps(nodes(name, values)), file=answer)
        except InputError as err:
            print(json.dumps({"error": str(err)}), file=answer)
            return 0
        except UnicodeEncodeError as err:
            print(json.dumps({"error": not_encodable(err)}), file=answer)
            return 0
    if name == "dry_run" and not values.get("checkpoint"):
        sys.stdin.read()  # the checkpoint that was made lasts as long as this process
    return 0


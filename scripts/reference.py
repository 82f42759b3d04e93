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

"""Write docs/reference.md and launch/arguments.json from the models that validate values."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from sim_bridge.nodes.bridge_parameters import (
    BridgeParameters,
    OperatorParameters,
    SimRobotParameters,
)
from sim_bridge.nodes.eval_node import EvaluationParameters
from sim_bridge.protocol import Protocol
from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.cli.launch_files import GRAPHS, arguments
from tinyvla_ros.cli.main import COMMANDS, load_command
from tinyvla_ros.core.configuration import models_in
from tinyvla_ros.core.options import (
    default_text,
    flag_of,
    settable,
    valid_values,
    value_type,
)
from tinyvla_ros.nodes.dry_run_arm_node import DryRunArmParameters
from tinyvla_ros.nodes.dry_run_report_node import DryRunReportParameters
from tinyvla_ros.nodes.panel.panel_parameters import PanelParameters
from tinyvla_ros.nodes.policy.policy_parameters import PolicyNodeParameters
from tinyvla_ros.nodes.recorder.recorder_parameters import RecorderParameters
from tinyvla_ros.nodes.sequence.sequence_parameters import SequenceParameters
from tinyvla_ros.nodes.teleop.teleop_parameters import TeleopParameters
from tinyvla_ros.policy.config import PolicyConfig
from tinyvla_ros.sequence.steps import Sequence
from tinyvla_ros.teleop.leader import LeaderMapping
from tinyvla_ros.teleop.mapping import Mapping
from training.learning.recipe import Recipe

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reference.md"
ARGUMENTS = ROOT / "launch" / "arguments.json"
NODES = {"policy_node": PolicyNodeParameters, "episode_recorder_node": RecorderParameters,
         "sim_bridge_node": BridgeParameters, "sim_robot_node": SimRobotParameters,
         "scripted_operator_node": OperatorParameters,
         "eval_node": EvaluationParameters,
         "dry_run_arm_node": DryRunArmParameters, "dry_run_report_node": DryRunReportParameters,
         "teleop_node": TeleopParameters, "panel_node": PanelParameters,
         "sequence_node": SequenceParameters}
FILES = {
    "Recipe": (Recipe, "`config/train/*.yaml`, see [training.md](training.md)."),
    "Robot contract": (RobotContract, "`config/robots/*.yaml`, see [arm.md](arm.md)."),
    "Protocol": (Protocol, "`config/protocols/*.yaml`, see [protocols.md](protocols.md)."),
    "Sequence": (Sequence,
                 "The file of `tinyvla run-sequence`, see [sequences.md](sequences.md)."),
    "Teleoperation mapping": (Mapping, "`config/teleop/*.yaml`, see [teleop.md](teleop.md)."),
    "Leader": (LeaderMapping, "The file of `--leader`, see [teleop.md](teleop.md#leader-arm)."),
    "Checkpoint": (PolicyConfig, "`config.json` of a checkpoint directory.")}


def page() -> str:
    """Return the text of the page."""
    parts = ["# Reference", "Every option, parameter and field, with what is valid. `make "
             "reference` writes this page from the models that validate the values; do not edit "
             "it.", "## Commands"]
    for name, (_, text) in COMMANDS.items():
        parts += [f"### tinyvla {name}", text, _table(load_command(name)[1], "option",
                                            lambda name, field: flag_of(name, field).name)]
    parts += ["## ROS parameters", "Set one with `--ros-args -p name:=value` or in a launch "
              "file. `ros2 param set` can set those that say so while the node runs; the others "
              "are read-only then."]
    for name, model in NODES.items():
        parts += [f"### {name}", _table(model, "parameter")]
    parts += ["## Launch arguments", "`ros2 launch tinyvla_ros FILE argument:=value`; several "
              "values are separated by blanks."]
    for name, (model, _) in GRAPHS.items():
        parts += [f"### {name}.launch.py", _table(model, "argument")]
    described: set[type] = set()
    for title, (model, text) in FILES.items():
        parts += [f"## {title}", f"{text} {_summary(model)}", _table(model, "field")]
        for nested in _nested(model):
            if nested not in described and nested not in (m for m, _ in FILES.values()):
                described.add(nested)
                parts += [f"### {nested.__name__}", _summary(nested), _table(nested, "field")]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(model: type[BaseModel], kind: str, label=lambda name, field: name) -> str:
    if not model.model_fields:
        return ""
    lines = [f"| {kind} | valid | default | |", "|---|---|---|---|"]
    for name, field in model.model_fields.items():
        text = field.description or _attribute(model, name)
        if marker := settable(field):
            text += f" Can be set {marker.when}."
        cells = (f"`{label(name, field)}`", _valid(field), _default(field), text)
        lines.append("| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |")
    return "\n".join(lines)


def _valid(field: FieldInfo) -> str:
    kind, several = value_type(field)
    models = list(dict.fromkeys(models_in(field.annotation)))
    text = " or ".join(f"[{m.__name__}](#{m.__name__.lower()})" for m in models)
    if get_origin(kind) is dict:
        value = get_args(kind)[1]
        if not text and get_origin(value) is Annotated:
            text = valid_values(FieldInfo.from_annotation(value))
        return f"by name: {text or ('texts' if get_origin(value) is tuple else 'text')}"
    return ("several: " if several else "") + (text or valid_values(field))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if isinstance(field.default, BaseModel):
        return "its defaults" if type(field.default)() == field.default else f"`{field.default}`"
    if value_type(field)[0] is bool:
        return "`true`" if field.default else "`false`"
    text = default_text(field)
    return f"`{text}`" if text else ""


def _summary(model: type[BaseModel]) -> str:
    """Return the docstring up to its attributes; what is drawn in it stays as it is."""
    text = inspect.getdoc(model).partition("\n\nAttributes:")[0]
    return text.replace("``", "`").replace("::\n\n", "")


def _attribute(model: type[BaseModel], name: str) -> str:
    """Return what the docstring of a model, or of what it is derived from, has about a field."""
    for base in model.__mro__:
        text = (inspect.getdoc(base) or "") if issubclass(base, BaseModel) else ""
        for match in re.finditer(r"^    (\w[\w, ]*): (.*(?:\n        .*)*)",
                                 text.partition("Attributes:\n")[2], re.M):
            if name in match[1].split(", "):
                return " ".join(match[2].split()).replace("``", "`")
    return ""


def _nested(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """Yield the models below one, each before those below it."""
    for field in model.model_fields.values():
        for inner in models_in(field.annotation):
            yield inner
            yield from _nested(inner)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    ARGUMENTS.write_text(json.dumps(arguments(), indent=1) + "\n", encoding="utf-8")
    print(PAGE, ARGUMENTS)

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

"""How a process of a node graph is described, for ``ros2 launch`` and for ``tinyvla``."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field, field_validator

from tinyvla_ros.core.configuration import Config
from tinyvla_ros.core.ros.run_claims import new_run_id
from tinyvla_ros.start.parameter_file import check_parameter_file

_NAMESPACE = re.compile(r"/?[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*")
_ENCLAVE = re.compile(r"(/[A-Za-z0-9_]+)+")


class NodeSettings(Config):
    """What every graph takes for all of its nodes."""

    namespace: str = Field("", description="Namespace of the nodes, for example arm_1.")
    params_file: str = Field("", description="ROS parameter file for the nodes; an argument that "
                                             "is given wins over it.")
    enclave: str = Field("", description="Security enclave of the nodes, for example /arm_1.")
    log_level: Literal["debug", "info", "warn", "error", "fatal"] = Field(
        "info", description="Least severe messages that are logged.")

    @field_validator("namespace")
    @classmethod
    def _is_namespace(cls, namespace: str) -> str:
        if namespace and not _NAMESPACE.fullmatch(namespace):
            raise ValueError("give names of letters, digits and _, separated by /, for example "
                             "arm_1")
        return namespace

    @field_validator("enclave")
    @classmethod
    def _is_enclave(cls, enclave: str) -> str:
        if enclave and not _ENCLAVE.fullmatch(enclave):
            raise ValueError("give a path of letters, digits and _ that begins with /, for "
                             "example /arm_1")
        return enclave

    @property
    def absolute_namespace(self) -> str:
        """The namespace with a leading slash; empty without one."""
        return f"/{self.namespace.lstrip('/')}" if self.namespace else ""


@dataclass(frozen=True, eq=False)
class NodeDescription:
    """One process of the graph.

    Attributes:
        executable: name under ``lib/tinyvla_ros`` and in ``tinyvla_ros.start.executables``.
        parameters: ROS parameters.
        settings: what all nodes of the graph have in common.
        remappings: topic of the node -> topic in its place.
        ends_run: whether the run ends when this node exits with 0.
    """

    executable: str
    parameters: Mapping[str, object] = field(default_factory=dict)
    settings: NodeSettings = field(default_factory=NodeSettings)
    remappings: Mapping[str, str] = field(default_factory=dict)
    ends_run: bool = False

    def ros_arguments(self) -> list[str]:
        """Return what follows ``--ros-args``, without name and namespace.

        Raises:
            UnicodeEncodeError: the parser of ROS takes UTF-8 alone.
        """
        settings = self.settings
        arguments = ["--params-file", settings.params_file] if settings.params_file else []
        for name, other in self.remappings.items():
            arguments += ["-r", f"{name}:={other}"]
        # What is given last wins, so a parameter here wins over the file.
        for name, value in self.parameters.items():
            str(value).encode()
            text = yaml.safe_dump(value, default_flow_style=True, width=float("inf")).strip()
            arguments += ["-p", f"{name}:={text.removesuffix('...').strip()}"]
        if settings.enclave:
            arguments += ["--enclave", settings.enclave]
        if settings.log_level != "info":
            arguments += ["--log-level", settings.log_level]
        return arguments


def as_one_run(nodes: Sequence[NodeDescription], run: str = "") -> list[NodeDescription]:
    """Return the nodes with the id of one run, a new one by default."""
    run = run or new_run_id()
    return [replace(n, parameters={**n.parameters, "run": run}) for n in nodes]


def describe_nodes(settings: NodeSettings, *nodes: NodeDescription, one_run: bool = True
                   ) -> list[NodeDescription]:
    """Return nodes with the settings of their graph.

    Args:
        settings: of the graph.
        nodes: of it.
        one_run: they are one run, which has its namespace for itself; a robot, real or simulated,
            is there for the runs of others.

    Raises:
        InputError: the parameter file cannot be read or holds nothing for any of the nodes.
    """
    plain = NodeSettings(**{n: getattr(settings, n) for n in NodeSettings.model_fields})
    if plain.params_file:
        path = Path(plain.params_file).resolve()
        check_parameter_file(path, [f"{plain.absolute_namespace}/{n.executable}" for n in nodes])
        plain = plain.model_copy(update={"params_file": str(path)})
    described = [replace(node, settings=plain) for node in nodes]
    return as_one_run(described) if one_run else described


def given_options(options: NodeSettings, *names: str) -> dict[str, object]:
    """Return options by name; with a parameter file, only those that were given."""
    return {name: getattr(options, name) for name in names
            if not options.params_file or name in options.model_fields_set}


def directory_of_now(name: str) -> str:
    """Return a directory below ``results`` with the present time in its name."""
    return f"results/{name}-{time.strftime('%Y%m%d-%H%M%S')}"

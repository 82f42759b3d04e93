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

"""The graph of a policy that is taken through a sequence."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.options import Flag
from tinyvla_ros.sequence.check import check_sequence
from tinyvla_ros.sequence.steps import Sequence
from tinyvla_ros.start.graph import PolicyOptions, PolicySettings, policy_graph
from tinyvla_ros.start.node_description import NodeDescription, NodeSettings, describe_nodes

# The arm holds when sequence_node has told nothing for so long, s.
INSTRUCTION_TIMEOUT_S = 1.0


class SequenceOptions(PolicySettings):
    """Arguments of ``sequence.launch.py`` and ``tinyvla run-sequence``."""

    file: Annotated[str, Flag(metavar="FILE", positional=True)] = Field(
        description="Sequence, a YAML file (docs/sequences.md).")
    robot: str = Field(description="Robot contract, a file like those in config/robots.")
    checkpoint: str = Field("", description="Checkpoint directory; empty for a policy_node that "
                                            "runs already.")


def sequence_graph(options: SequenceOptions) -> list[NodeDescription]:
    """Return the policy, unless it runs already, and what takes it through the sequence.

    Raises:
        InputError: a file cannot be read, they do not fit each other, or the policy cannot take
            an instruction of the sequence.
    """
    sequence = Sequence.load(options.file)
    RobotContract.load(options.robot)
    files = {name: str(Path(value).resolve()) for name in ("file", "robot", "checkpoint")
             if (value := getattr(options, name))}
    node = NodeDescription("sequence_node", {**files, "start": True, "episodes": options.record},
                           ends_run=True)
    of_policy = PolicySettings.model_fields.keys() - NodeSettings.model_fields.keys()
    if not options.checkpoint:
        # The policy that runs already is another run, and this node joins it.
        if given := (of_policy - {"record"}) & options.model_fields_set:
            raise InputError(f"{', '.join(sorted(given))} is for the policy that is started with "
                             "the sequence, and there is no checkpoint; give one, or leave this "
                             "to the policy that runs already.")
        return describe_nodes(options, node, one_run=False)
    check_sequence(sequence, options.checkpoint, options.monitor)
    return policy_graph(PolicyOptions(
        robot=options.robot, checkpoint=options.checkpoint, enabled=False,
        instruction_timeout=INSTRUCTION_TIMEOUT_S,
        **{n: getattr(options, n) for n in PolicySettings.model_fields
           if n in options.model_fields_set}), node)

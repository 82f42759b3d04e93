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

"""``tinyvla robot``, ``dry-run``, ``run``, ``panel``: before an arm moves, and while it does."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.arm.contract_check import check_contract
from tinyvla_ros.core.commented_yaml import PLACEHOLDER, open_lines
from tinyvla_ros.core.configuration import Config
from tinyvla_ros.core.files import check_new_file, write_new_file
from tinyvla_ros.core.options import Flag
from tinyvla_ros.core.resources import default_checkpoint
from tinyvla_ros.policy.config import PolicyConfig
from tinyvla_ros.start.graph import DryRunOptions, PolicyOptions, dry_run_graph, policy_graph
from tinyvla_ros.start.local_launch import require_rclpy, run_graph
from tinyvla_ros.start.node_description import NodeDescription, as_one_run
from tinyvla_ros.start.panel_graph import PanelOptions, panel_graph


class RobotInitArguments(Config):
    """Options of ``tinyvla robot init``."""

    out: Path = Field(Path("robot.yaml"), description="new file")
    seconds: float = Field(10.0, ge=1.0, le=600, description="how long to listen")
    namespace: str = Field("", description="look only at topics in it, where there are several "
                           "robots")
    joint_states: Annotated[str, Flag(metavar="TOPIC")] = Field(
        "", description="topic of the measured joints, where there are several; default: the "
        "likeliest")


def init(options: RobotInitArguments) -> int:
    """Write a contract from the running graph; what is uncertain is marked in it."""
    check_new_file(options.out)
    require_rclpy()
    from tinyvla_ros.nodes.survey.graph_survey import survey
    from tinyvla_ros.robot_draft.draft import draft_contract

    found = survey(options.seconds, options.namespace, options.joint_states,
                   lambda text: print(text, flush=True))
    if found.other_joints:
        others = ", ".join(found.other_joints)
        print(f"note: {found.joints.topic} was taken for the measured joints; there is also "
              f"{others}: for another robot give --namespace or --joint-states.")
    draft = draft_contract(found)
    for note in draft.notes:
        print(f"note: {note}")
    write_new_file(options.out, draft.text)
    marked = open_lines(draft.text)
    empty = sum(bool(line.key) for line in marked)
    print(f"{options.out}: {empty} value(s) to fill in ({PLACEHOLDER}), {len(marked) - empty} "
          f"other line(s) to look at (TODO); then\n"
          f"  tinyvla dry-run --robot {options.out}\n"
          f"  tinyvla robot check {options.out} --checkpoint CHECKPOINT --live")
    return 0


class RobotCheckArguments(Config):
    """Options of ``tinyvla robot check``."""

    contract: Annotated[Path, Flag(metavar="FILE", positional=True)] = Field(
        description="robot contract, like those in config/robots")
    checkpoint: Path | None = Field(
        None, description="checkpoint directory; default: the shipped one")
    live: bool = Field(False, description="also check the running graph: topics, types, QoS, "
                       "rates, joints")
    seconds: float = Field(5.0, ge=0.5, le=600,
                           description="how long to listen to the running graph")


def check(options: RobotCheckArguments) -> int:
    """Check a contract; 0 if everything fits, 1 if the graph does not."""
    contract = RobotContract.load(options.contract)
    path = options.checkpoint or default_checkpoint()
    config = PolicyConfig.load(path)
    notes = check_contract(contract, config)
    print(f"{options.contract}: {contract.name} fits {path}")
    for note in notes:
        print(f"  note: {note}")
    for line in open_lines(options.contract.read_text(encoding="utf-8-sig")):
        print(f"  note: line {line.number} is still marked: {line.question}")
    if not options.live:
        return 0
    require_rclpy()
    from tinyvla_ros.nodes.survey.live_check import check_graph
    rows = check_graph(contract, config, options.seconds)
    width = max(len(row.topic) for row in rows)
    for row in rows:
        print(f"  {'ok     ' if not row.problem else 'PROBLEM'} {row.topic:<{width}}  {row.seen}")
        if row.problem:
            print(f"          {row.problem}")
    problems = sum(bool(row.problem) for row in rows)
    print(f"{problems} problem(s)")
    return 1 if problems else 0


class DryRunArguments(DryRunOptions):
    """Options of ``tinyvla dry-run``."""

    seconds: float = Field(0.0, ge=0,
                           description="end after this time; 0: go on until interrupted")


def run(options: PolicyOptions) -> int:
    """Run the policy, and the recorder if it is wanted, until Ctrl-C."""
    return run_graph(policy_graph(options))


def panel(options: PanelOptions) -> int:
    """Serve the page until Ctrl-C."""
    return run_graph(panel_graph(options))


def dry_run(options: DryRunArguments) -> int:
    """Run until the time is over or Ctrl-C.

    Returns:
        0 if the arm followed the policy, 1 if it refused something or was never commanded.
    """
    nodes = dry_run_graph(options)
    report = NodeDescription("dry_run_report_node", {"seconds": options.seconds},
                             nodes[0].settings, ends_run=True)
    return run_graph(as_one_run([*nodes, report]))

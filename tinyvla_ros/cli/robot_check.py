# SPDX-License-Identifier: Apache-2.0
"""``tinyvla robot check``: is a robot contract good, does a checkpoint fit, does the graph?"""

from __future__ import annotations

from pathlib import Path

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.arm.contract_check import check_contract
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.resources import default_checkpoint
from tinyvla_ros.policy.config import PolicyConfig


def add_arguments(parser) -> None:
    """Add the options of ``tinyvla robot check``."""
    parser.add_argument("contract", type=Path, metavar="FILE",
                        help="robot contract, like those in config/robots")
    parser.add_argument("--checkpoint", type=Path, default=None,
                        help="checkpoint directory; default: the shipped one")
    parser.add_argument("--live", action="store_true",
                        help="also look at the running graph: topics, types, QoS, rates, joints")
    parser.add_argument("--seconds", type=float, default=5.0,
                        help="how long to listen to the running graph")


def run(options) -> int:
    """Run ``tinyvla robot check``; 0 if everything fits, 1 if the graph does not."""
    contract = RobotContract.load(options.contract)
    path = options.checkpoint or default_checkpoint()
    config = PolicyConfig.load(path)
    surprises = check_contract(contract, config)
    print(f"{options.contract}: {contract.name} fits {path}")
    for sentence in surprises:
        print(f"  note: {sentence}")
    if not options.live:
        return 0
    if not 0.5 <= options.seconds <= 600:
        raise InputError(f"Seconds is {options.seconds:g}; give a number from 0.5 to 600.")
    from tinyvla_ros.start.local_launch import require_rclpy
    require_rclpy()
    from tinyvla_ros.nodes.live_check import check_graph
    rows = check_graph(contract, config, options.seconds)
    width = max(len(row.topic) for row in rows)
    for row in rows:
        print(f"  {'ok     ' if not row.problem else 'PROBLEM'} {row.topic:<{width}}  {row.seen}")
        if row.problem:
            print(f"          {row.problem}")
    problems = sum(bool(row.problem) for row in rows)
    print(f"{problems} problem(s)")
    return 1 if problems else 0

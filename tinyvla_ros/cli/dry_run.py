# SPDX-License-Identifier: Apache-2.0
"""``tinyvla dry-run``: policy and kinematic arm together, with a report."""

from __future__ import annotations

from tinyvla_ros.start.graph import DryRunOptions, NodeDescription, dry_run_graph
from tinyvla_ros.start.local_launch import run_graph


def add_arguments(command) -> None:
    """Add the options of ``dry_run_graph`` and ``--seconds``."""
    for name, field in DryRunOptions.model_fields.items():
        command.add_argument(f"--{name}", default=field.default, help=field.description)
    command.add_argument("--seconds", type=float, default=0.0,
                         help="end after this time; 0: go on until interrupted")


def run(options) -> int:
    """Run until the time is over or Ctrl-C.

    Returns:
        0 if the arm followed the policy, 1 if it refused something or was never commanded.
    """
    chosen = DryRunOptions(**{n: getattr(options, n) for n in DryRunOptions.model_fields})
    report = NodeDescription("dry_run_report_node", {"seconds": options.seconds}, ends_run=True)
    return run_graph([*dry_run_graph(chosen), report])

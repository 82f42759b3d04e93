# SPDX-License-Identifier: Apache-2.0
"""Entry points of the nodes: quiet when interrupted while the heavy libraries load."""

from __future__ import annotations

import importlib
import os
import signal
import sys

from tinyvla_ros.core.resources import use_middleware_profile


def run(module: str) -> int:
    """Import a node's module and run its ``main``."""
    use_middleware_profile()
    # Importing torch takes seconds; Ctrl-C then must not print a traceback from inside it.
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))
    return importlib.import_module(module).main()


def policy_node() -> int:
    """Run ``tinyvla_ros.nodes.policy_node``."""
    return run("tinyvla_ros.nodes.policy_node")


def sim_bridge_node() -> int:
    """Run ``sim_bridge.nodes.sim_bridge_node``."""
    return run("sim_bridge.nodes.sim_bridge_node")


def eval_node() -> int:
    """Run ``sim_bridge.nodes.eval_node``."""
    return run("sim_bridge.nodes.eval_node")


def episode_recorder_node() -> int:
    """Run ``tinyvla_ros.nodes.episode_recorder_node``."""
    return run("tinyvla_ros.nodes.episode_recorder_node")


def dry_run_arm_node() -> int:
    """Run ``tinyvla_ros.nodes.dry_run_arm_node``."""
    return run("tinyvla_ros.nodes.dry_run_arm_node")


def dry_run_report_node() -> int:
    """Run ``tinyvla_ros.nodes.dry_run_report_node``."""
    return run("tinyvla_ros.nodes.dry_run_report_node")


if __name__ == "__main__":
    sys.exit(globals()[sys.argv.pop(1)]())

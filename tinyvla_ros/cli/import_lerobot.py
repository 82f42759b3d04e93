# SPDX-License-Identifier: Apache-2.0
"""``tinyvla import``: run a policy that was trained with LeRobot."""

from __future__ import annotations

from tinyvla_ros.lerobot_import.options import ImportOptions


def import_policy(options: ImportOptions) -> int:
    """Make a checkpoint."""
    from tinyvla_ros.lerobot_import.importer import import_checkpoint

    digest = import_checkpoint(options)
    print(f"{options.out}: checkpoint {digest}; its README.md describes inputs and outputs")
    return 0

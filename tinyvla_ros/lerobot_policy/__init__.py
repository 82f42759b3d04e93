# SPDX-License-Identifier: Apache-2.0
"""Policies trained with LeRobot: DiffusionPolicy in plain torch, and ``tinyvla import``."""

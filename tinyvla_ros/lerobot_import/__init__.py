# SPDX-License-Identifier: Apache-2.0
"""``tinyvla import``: make a checkpoint of a policy that was trained with LeRobot."""

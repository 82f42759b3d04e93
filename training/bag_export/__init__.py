# SPDX-License-Identifier: Apache-2.0
"""``tinyvla bag export``: recorded episodes become a LeRobotDataset."""

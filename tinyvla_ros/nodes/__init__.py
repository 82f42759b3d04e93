# SPDX-License-Identifier: Apache-2.0
"""Everything in this package that imports rclpy: nodes, subscriptions, publishers."""

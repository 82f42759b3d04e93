# SPDX-License-Identifier: Apache-2.0
"""Offline tools: collect demonstrations, train a policy, evaluate it without ROS."""

# SPDX-License-Identifier: Apache-2.0
"""The node graph, described once, and the ways to start it."""

# SPDX-License-Identifier: Apache-2.0
"""``tinyvla diagnose``: find what is wrong with a recipe or a checkpoint before a long run."""

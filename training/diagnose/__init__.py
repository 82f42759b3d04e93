# SPDX-License-Identifier: Apache-2.0
"""``tinyvla diagnose``: what is wrong with a recipe or a checkpoint, before hours are spent."""

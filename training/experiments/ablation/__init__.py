# SPDX-License-Identifier: Apache-2.0
"""``tinyvla ablate``: what each part of a recipe does."""

# SPDX-License-Identifier: Apache-2.0
"""``tinyvla data check``: check a dataset before training on it."""

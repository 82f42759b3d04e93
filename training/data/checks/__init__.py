# SPDX-License-Identifier: Apache-2.0
"""What decides whether a dataset is taken: ``tinyvla data check`` and training ask the same."""

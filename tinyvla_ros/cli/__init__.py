# SPDX-License-Identifier: Apache-2.0
"""The ``tinyvla`` command."""

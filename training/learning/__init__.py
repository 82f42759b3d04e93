# SPDX-License-Identifier: Apache-2.0
"""From a recipe and datasets to checkpoints: batches, losses, the loop, saves."""

# SPDX-License-Identifier: Apache-2.0
"""LeRobotDataset v3.0 directories: written, read, decoded, cached; demonstrations collected."""

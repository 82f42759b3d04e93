# SPDX-License-Identifier: Apache-2.0
"""LeRobot's DiffusionPolicy at inference, in plain torch."""

# SPDX-License-Identifier: Apache-2.0
"""The network: observation encoder, conditional 1-D U-Net, initialization, noise schedule."""

from tinyvla_ros.policy.model.network import PolicyNetwork

__all__ = ["PolicyNetwork"]

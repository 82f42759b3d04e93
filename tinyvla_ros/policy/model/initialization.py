# SPDX-License-Identifier: Apache-2.0
"""Initialization that gives the action head unit-scale output from the first step.

The policy this project grew out of diverged (loss above 1,400, output std about 40) with its
head left at ad-hoc initial weights; this is what replaced them.
"""

from __future__ import annotations

from torch import nn

LINEAR_GAIN = 0.5


def initialize_head(module: nn.Module) -> None:
    """Initialize a denoiser in place.

    Linear layers: Xavier uniform with gain 0.5 (Glorot & Bengio 2010). 1-D convolutions: Kaiming
    normal, fan-out (He et al. 2015). All biases zero; normalization layers keep scale 1, shift 0.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight, gain=LINEAR_GAIN)
        elif isinstance(layer, (nn.Conv1d, nn.ConvTranspose1d)):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="linear")
        else:
            continue
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def initialize_as_torch(module: nn.Module) -> None:
    """Initialize a denoiser in place as torch does by itself (Kaiming uniform, a = sqrt 5)."""
    for layer in module.modules():
        if isinstance(layer, (nn.Linear, nn.Conv1d, nn.ConvTranspose1d)):
            layer.reset_parameters()

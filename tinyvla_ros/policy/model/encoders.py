# SPDX-License-Identifier: Apache-2.0
"""The table of encoders: from images, state and instruction to a condition."""

from __future__ import annotations

import importlib

from torch import nn

from tinyvla_ros.policy.config import PolicyConfig
from tinyvla_ros.policy.pretrained import BaseModelSource

# kind in the configuration -> module and class; those of pretrained encoders load their
# libraries only when they are used.
ENCODERS = {"tiny": ("tiny_encoder", "TinyEncoder"), "vision": ("vision_encoder", "VisionEncoder"),
            "vlm": ("vlm_encoder", "VlmEncoder")}


def make_encoder(config: PolicyConfig, source: BaseModelSource) -> nn.Module:
    """Return the encoder that a configuration names.

    Raises:
        InputError: its base model is unavailable or does not fit.
    """
    module, name = ENCODERS[config.model.encoder.kind]
    encoder = getattr(importlib.import_module(f"tinyvla_ros.policy.model.{module}"), name)
    return encoder(config, source)

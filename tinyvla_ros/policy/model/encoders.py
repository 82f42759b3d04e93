# Copyright 2026 tinyvla_ros contributors
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

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

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

"""Low-rank adapters by peft: attached, written apart from the base model, merged into it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from tinyvla_ros.core.configuration import read_json
from tinyvla_ros.core.errors import CheckpointError, InputError
from tinyvla_ros.core.extras import require
from tinyvla_ros.core.files import ADAPTER, replace_file, write_json
from tinyvla_ros.policy.config import PolicyConfig
from tinyvla_ros.policy.model_config import PretrainedConfig

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
# Where the adapted model is among a policy network's tensors.
OURS = "encoder.backbone.model."
# Parts of image-text-to-text models, as transformers names them.
LANGUAGE = "text_model|language_model"


def are_in(config: PolicyConfig) -> bool:
    """Whether a checkpoint with this configuration has an adapter directory."""
    return getattr(getattr(config.model, "encoder", None), "adapt", None) == "lora"


def adapter_config(encoder: PretrainedConfig):
    """Return peft's configuration of an encoder's adapters.

    Raises:
        InputError: peft is not installed.
    """
    require(f"The checkpoint with adapters of {encoder.model}", "vlm")
    from peft import LoraConfig

    lora, part = encoder.lora, ""
    if encoder.kind == "vlm" and not encoder.train_vision:
        part = rf"({LANGUAGE})\.(.*\.)?"
    names = "|".join(map(re.escape, lora.targets))
    return LoraConfig(r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout,
                      target_modules=rf"(.*\.)?{part}({names})",
                      base_model_name_or_path=encoder.model)


def attach(model: nn.Module, encoder: PretrainedConfig) -> nn.Module:
    """Return the model with untrained adapters, which do nothing yet.

    Args:
        model: the base model.
        encoder: its configuration.

    Raises:
        InputError: peft is not installed, or no layer has one of the target names.
    """
    config = adapter_config(encoder)
    config.base_model_name_or_path = None  # peft takes the model's own
    from peft import get_peft_model

    try:
        return get_peft_model(model, config)
    except ValueError:
        names = sorted({n.rpartition(".")[2] for n, m in model.named_modules()
                        if isinstance(m, nn.Linear)})
        raise InputError(f"No linear layer of {encoder.model} that may be adapted is named "
                         f"{' or '.join(encoder.lora.targets)}; set encoder.lora.targets to some "
                         f"of {', '.join(names)}.") from None


def adapter_names(names: Mapping[str, object]) -> dict[str, str]:
    """Return the adapters among a policy network's tensors, by the names in peft's files."""
    return {name.removeprefix(OURS).replace(".default.", "."): name for name in names
            if name.startswith(OURS) and ".lora_" in name}


def save(path: Path, encoder: PretrainedConfig,
         weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Write the adapter directory of a checkpoint in peft's format.

    Args:
        path: the checkpoint.
        encoder: its configuration.
        weights: contiguous, on the CPU.

    Returns:
        The weights of everything but the adapters.
    """
    place = path / ADAPTER
    place.mkdir(exist_ok=True)
    names = adapter_names(weights)
    tensors = {theirs: weights[ours] for theirs, ours in names.items()}
    replace_file(place / WEIGHTS, lambda part: save_file(tensors, part, {"format": "pt"}))
    data = adapter_config(encoder).to_dict() | {"inference_mode": True}
    write_json(place / CONFIG, {k: sorted(v) if isinstance(v, set) else v
                                for k, v in data.items()})
    return {name: tensor for name, tensor in weights.items() if name not in names.values()}


def check(path: Path, encoder: PretrainedConfig) -> None:
    """Check that a checkpoint's adapter directory is there and the one ``config.json`` describes.

    Raises:
        CheckpointError: a file is missing, or it is of other adapters.
    """
    for name in (CONFIG, WEIGHTS):
        if not (path / ADAPTER / name).is_file():
            raise CheckpointError(f"Checkpoint {path} has no {ADAPTER}/{name}; it is incomplete, "
                                  "copy or train it again.")
    stored, wanted = read_json(path / ADAPTER / CONFIG), adapter_config(encoder).to_dict()
    for key in ("peft_type", "r", "lora_alpha", "target_modules"):
        found = stored.get(key) if isinstance(stored, dict) else None
        if found != wanted[key]:
            raise CheckpointError(f"{path / ADAPTER / CONFIG} has {key} {found!r}, config.json "
                                  f"asks for {wanted[key]!r}; the files do not belong together.")

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

"""Read and write checkpoint directories: JSON and safetensors only, checked before use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

import safetensors
import torch
from safetensors.torch import load_file, save_file

from tinyvla_ros.core.errors import CheckpointError
from tinyvla_ros.core.files import (
    ADAPTER,
    BACKBONE,
    CONFIG,
    NORMALIZER,
    WEIGHTS,
    replace_file,
    write_json,
)
from tinyvla_ros.policy.config import PolicyConfig
from tinyvla_ros.policy.lerobot.network import LeRobotDiffusionNetwork
from tinyvla_ros.policy.model import PolicyNetwork, adapters
from tinyvla_ros.policy.model_config import needs_base
from tinyvla_ros.policy.normalizer import Normalizer
from tinyvla_ros.policy.pretrained import BaseModelSource, copy_description
from tinyvla_ros.policy.saved_checkpoint import SavedCheckpoint


@dataclass(frozen=True)
class Checkpoint(SavedCheckpoint):
    """A checkpoint in memory.

    Attributes:
        network: weights loaded, in evaluation mode, on the CPU.
        normalizer: the content of ``normalizer.safetensors``.
    """

    network: PolicyNetwork | LeRobotDiffusionNetwork
    normalizer: Normalizer


def load_checkpoint(path: str | Path, merge: bool = True) -> Checkpoint:
    """Load a checkpoint directory.

    Args:
        path: the directory.
        merge: add the adapters of a pretrained encoder to its weights, for speed; without, the
            network has the tensors that training saved.

    Raises:
        CheckpointError: a file is missing, damaged, tampered with, or does not fit this version.
    """
    saved = SavedCheckpoint.read(path)
    config, path = saved.config, saved.path
    network = build_network(config, path)
    shapes = {k: v.shape for k, v in network.state_dict().items()}
    adapted = {}
    if adapters.are_in(config):
        adapters.check(path, config.model.encoder)
        names = adapters.adapter_names(shapes)
        stored = load_tensors(path / ADAPTER / adapters.WEIGHTS,
                              {theirs: shapes.pop(ours) for theirs, ours in names.items()})
        adapted = {names[k]: v for k, v in stored.items()}
    network.load_state_dict(load_tensors(path / WEIGHTS, shapes) | adapted)
    network.eval().requires_grad_(False)
    if adapted and merge:
        network.encoder.backbone.merge()
    return Checkpoint(config, saved.digest, path, network,
                      _load_normalizer(path / NORMALIZER, config))


def _load_normalizer(path: Path, config: PolicyConfig) -> Normalizer:
    action = config.action
    ranges = (len(action.channels),)
    if action.relative:
        ranges = (action.horizon, *ranges)
    normalizer = Normalizer(**load_tensors(path, {
        f.name: ranges if f.name.startswith("action") else (len(config.state),)
        for f in fields(Normalizer)}))
    if not (normalizer.state_std > 0).all():
        raise CheckpointError(f"{path} has a state_std that is not positive; "
                              "copy or train the checkpoint again.")
    return normalizer


def build_network(config: PolicyConfig, path: Path | None = None
                  ) -> PolicyNetwork | LeRobotDiffusionNetwork:
    """Return the network that a configuration describes, untrained.

    Args:
        config: what it is.
        path: checkpoint; if the whole of a base model was trained, that is described there.
    """
    if config.model.kind == "lerobot_diffusion":
        return LeRobotDiffusionNetwork(config)
    if path is None or needs_base(config.model.encoder):
        return PolicyNetwork(config)
    encoder = config.model.encoder
    if encoder.kind != "tiny" and not (path / BACKBONE / CONFIG).is_file():
        raise CheckpointError(f"Checkpoint {path} has no {BACKBONE}/{CONFIG}, which describes its "
                              f"{encoder.kind} model; it is incomplete, copy or train it again.")
    return PolicyNetwork(config, BaseModelSource(path / BACKBONE, weights=False))


def save_checkpoint(path: str | Path, config: PolicyConfig,
                    weights: Mapping[str, torch.Tensor], normalizer: Normalizer,
                    training: dict) -> None:
    """Write a checkpoint directory; every file appears whole or not at all.

    Args:
        path: directory, created if needed.
        config: content of ``config.json``.
        weights: state dict of the network.
        normalizer: fitted normalizer.
        training: content of ``training.json``.
    """
    path = Path(path)
    path.mkdir(parents=True, exist_ok=True)
    weights = {k: v.detach().cpu().contiguous() for k, v in weights.items()}
    weights = {k: v.float() if v.is_floating_point() else v for k, v in weights.items()}
    if adapters.are_in(config):
        weights = adapters.save(path, config.model.encoder, weights)
    elif config.model.kind == "tinyvla" and config.model.encoder.kind != "tiny" and \
            not needs_base(config.model.encoder):
        copy_description(config.model.encoder.model, path / BACKBONE)
    replace_file(path / WEIGHTS, lambda tmp: save_file(weights, tmp))
    replace_file(path / NORMALIZER, lambda tmp: save_file(normalizer.tensors(), tmp))
    write_json(path / CONFIG, config.model_dump(mode="json"))
    write_json(path / "training.json", training)


def load_tensors(path: Path, shapes: Mapping[str, tuple],
                 old_names: Mapping[str, str] | None = None) -> dict[str, torch.Tensor]:
    """Load a safetensors file and check names, shapes and finiteness.

    Args:
        path: the file.
        shapes: names and shapes that the tensors must have.
        old_names: names that earlier releases gave them, to today's names.

    Raises:
        CheckpointError: the file is damaged, or its tensors are others.
    """
    try:
        tensors = {(old_names or {}).get(k, k): v for k, v in load_file(path).items()}
    except (safetensors.SafetensorError, OSError, ValueError) as err:
        raise CheckpointError(f"{path} is damaged or no safetensors file ({err}); copy or train "
                              "the checkpoint again.") from None
    missing, extra = shapes.keys() - tensors.keys(), tensors.keys() - shapes.keys()
    if missing or extra:
        what = f"lacks {sorted(missing)[0]!r}" if missing else f"has unknown {sorted(extra)[0]!r}"
        raise CheckpointError(f"{path} {what} ({len(missing)} missing, {len(extra)} unknown "
                              f"tensors); it does not belong to the {CONFIG} beside it.")
    for name, shape in shapes.items():
        tensor = tensors[name]
        if tuple(tensor.shape) != tuple(shape):
            raise CheckpointError(f"{path}: {name!r} has shape {tuple(tensor.shape)}, {CONFIG} "
                                  f"asks for {tuple(shape)}; the files do not belong together.")
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f"{path}: {name!r} holds non-finite values; copy or train the "
                                  "checkpoint again.")
    return tensors

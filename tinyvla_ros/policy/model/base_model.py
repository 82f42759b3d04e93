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

"""Load base models through their own libraries: safetensors only, no code of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from tinyvla_ros.core.configuration import read_json
from tinyvla_ros.core.errors import CheckpointError, InputError
from tinyvla_ros.core.extras import require
from tinyvla_ros.policy.config import PolicyConfig
from tinyvla_ros.policy.model_config import PretrainedConfig, needs_base
from tinyvla_ros.policy.pretrained import BaseModelSource, fingerprint

# Weights that many checkpoints leave out, and no feature depends on.
OPTIONAL = ("pooler", "head.")


def find(settings: PretrainedConfig, source: BaseModelSource) -> Path:
    """Return the directory of a base model, checked against the fingerprint in the configuration.

    Raises:
        InputError: it is unavailable; the message names the files to place and where.
        CheckpointError: it is another model than the one trained with.
    """
    needed = ("config.json", "tokenizer*") if settings.kind == "vlm" else ("config.json",)
    path = source.find(settings.model, f"{settings.kind} model", needed)
    if source.weights and settings.base is not None:
        found = fingerprint(path)
        if found != settings.base:
            raise CheckpointError(f"The {settings.kind} model {path} has the fingerprint {found}, "
                                  f"and the checkpoint was trained on another base model with "
                                  f"{settings.base} ({settings.model}); place that one there, or "
                                  "name its directory in the environment variable "
                                  "TINYVLA_BASE_MODELS.")
    return path


def with_fingerprint(config: PolicyConfig, source: BaseModelSource) -> PolicyConfig:
    """Return a configuration with the fingerprint of the base model that holds the other weights.

    Raises:
        InputError: the base model is unavailable, or its fingerprint is not the configured one.
    """
    settings = config.model.encoder
    if not needs_base(settings):
        return config
    encoder = settings.model_copy(update={"base": fingerprint(find(settings, source))})
    return config.model_copy(
        update={"model": config.model.model_copy(update={"encoder": encoder})})


def load_transformers(settings: PretrainedConfig, path: Path, weights: bool) -> nn.Module:
    """Load a model of transformers without its language modeling head.

    Args:
        settings: of the encoder.
        path: directory of the model.
        weights: whether to load them; else they are left uninitialized.

    Raises:
        InputError: transformers is not installed, or cannot load it.
    """
    transformers = import_transformers(settings.model)
    config = read_config(path, settings)
    dtype = getattr(torch, settings.dtype)
    try:
        with _quiet(transformers):
            if not weights:
                from transformers.initialization import no_init_weights
                with no_init_weights():
                    return transformers.AutoModel.from_config(config, dtype=dtype)
            model, info = transformers.AutoModel.from_pretrained(
                path, config=config, use_safetensors=True, trust_remote_code=False, dtype=dtype,
                local_files_only=True, output_loading_info=True)
    except Exception as err:  # its own, safetensors' and the operating system's types
        raise _unloadable(settings, path, err) from None
    missing = sorted(k for k in info["missing_keys"] if not any(o in k for o in OPTIONAL))
    if missing or info["mismatched_keys"]:
        what = f"lacks weights ({missing[0]} and {len(missing) - 1} more)" if missing else \
            "has weights of other sizes than in its config.json"
        raise InputError(f"The {settings.kind} model {path} {what}; copy it again, complete.")
    return model


def import_transformers(model: str):
    """Import transformers, or raise ``InputError``."""
    require(f"The model {model}", "vlm")
    import transformers

    return transformers


def read_config(path: Path, settings: PretrainedConfig):
    """Return transformers' configuration of a model.

    Raises:
        InputError: transformers is not installed, or this version cannot read it.
    """
    auto = import_transformers(settings.model).AutoConfig
    try:
        return auto.from_pretrained(path, trust_remote_code=False, local_files_only=True)
    except Exception as err:
        raise _unloadable(settings, path, err) from None


def load_timm(settings: PretrainedConfig, path: Path, weights: bool) -> nn.Module:
    """Load a backbone of timm without its classifier.

    Raises:
        InputError: timm is not installed, or cannot load it.
    """
    try:
        import timm
    except Exception as err:  # a torchvision of another torch fails with RuntimeError
        raise InputError(f"The model {settings.model} needs timm, which cannot be imported here "
                         f"({' '.join(str(err).split())[:120]}); type: pip install timm, with the "
                         "torchvision that belongs to the installed torch.") from None
    # Transformers of timm take one size only, and only they know the argument.
    sized = {} if settings.image_size is None else {"img_size": settings.image_size}
    try:
        try:
            model = timm.create_model(f"local-dir:{path}", pretrained=weights, num_classes=0,
                                      **sized)
        except TypeError:
            model = timm.create_model(f"local-dir:{path}", pretrained=weights, num_classes=0)
    except Exception as err:
        raise _unloadable(settings, path, err) from None
    return model.to(getattr(torch, settings.dtype)).eval()


def image_statistics(path: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of the images a model was trained with, per channel."""
    for name in ("preprocessor_config.json", "processor_config.json"):
        data = read_json(path / name) if (path / name).is_file() else {}
        data = data.get("image_processor", data) if isinstance(data, dict) else {}
        mean, std = data.get("image_mean"), data.get("image_std")
        if mean and std and len(mean) == len(std) == 3:
            return tuple(mean), tuple(std)
    return (0.5,) * 3, (0.5,) * 3


def _unloadable(settings: PretrainedConfig, path: Path, err: Exception) -> InputError:
    reason = " ".join(str(err).split())[:200]
    return InputError(f"The {settings.kind} model {path} cannot be loaded ({type(err).__name__}: "
                      f"{reason}); give the directory of a model that this version of its library "
                      "knows.")


@contextmanager
def _quiet(transformers) -> Iterator[None]:
    """No progress bars and reports: what matters is in the exception."""
    log = transformers.utils.logging
    level, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(level)
        if bars:
            log.enable_progress_bar()

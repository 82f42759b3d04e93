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

"""Read a directory that LeRobot's ``save_pretrained`` wrote: settings, weights, statistics."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pydantic
import safetensors
import torch
from pydantic import Field, model_validator
from safetensors.torch import load_file

from tinyvla_ros.core.configuration import Config, parse, read_json
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.files import CONFIG, WEIGHTS
from tinyvla_ros.lerobot_import.normalization import EPS, LinearMap, linear
from tinyvla_ros.policy.lerobot_config import LeRobotDiffusionConfig

STATE, ACTION = "observation.state", "action"
PREPROCESSOR, POSTPROCESSOR = "policy_preprocessor.json", "policy_postprocessor.json"
# Settings that not every release of LeRobot writes; ``kind`` is ours.
OPTIONAL = ("kind", "resize_shape", "crop_shape", "use_separate_rgb_encoder_per_camera",
            "clip_sample_range")
# Steps of a processor that do not change any number, by their registry name.
NEUTRAL = ("rename_observations_processor", "to_batch_processor", "device_processor")
# Prefixes in model.safetensors up to LeRobot 0.3; that of the targets is for training.
OLD_INPUTS, OLD_OUTPUTS, OLD_TARGETS = ("normalize_inputs.buffer_", "unnormalize_outputs.buffer_",
                                        "normalize_targets.buffer_")


class Feature(Config):
    """One entry of ``input_features`` or ``output_features``."""

    type: str
    shape: tuple[int, ...]


class LeRobotConfig(LeRobotDiffusionConfig):
    """What is used of LeRobot's ``config.json``, by LeRobot's names; other fields are ignored."""

    model_config = pydantic.ConfigDict(extra="ignore", frozen=True, protected_namespaces=())

    type: str
    input_features: dict[str, Feature]
    output_features: dict[str, Feature]
    normalization_mapping: dict[str, str] = {}
    n_action_steps: int
    num_train_timesteps: int
    beta_schedule: str
    prediction_type: str
    num_inference_steps: int | None = None
    use_peft: bool = False

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, data: dict) -> dict:
        """Refuse a file without a setting that LeRobot always writes, in place of a default."""
        missing = [name for name in LeRobotDiffusionConfig.model_fields
                   if name not in (*OPTIONAL, *data)]
        if missing:
            raise ValueError(f"field {missing[0]!r} is missing; add it")
        return data

    @property
    def images(self) -> dict[str, Feature]:
        """Image features, in the order of the network."""
        return {n: f for n, f in self.input_features.items() if f.type == "VISUAL"}


class _Step(Config):
    model_config = pydantic.ConfigDict(extra="ignore")

    registry_name: str = ""
    config: dict = {}
    state_file: str | None = None


class _Processor(Config):
    model_config = pydantic.ConfigDict(extra="ignore")

    steps: tuple[_Step, ...] = Field(min_length=1)


@dataclass(frozen=True)
class LeRobotSource:
    """A LeRobot checkpoint in memory.

    Attributes:
        path: the directory.
        config: its settings.
        weights: of the network, without the leading ``diffusion.``.
        maps: feature -> normalization; inputs and the action.
        stats: feature -> statistic -> values.
        layout: ``processors`` or ``buffers``: where the statistics were.
    """

    path: Path
    config: LeRobotConfig
    weights: dict[str, torch.Tensor]
    maps: dict[str, LinearMap]
    stats: dict[str, dict[str, torch.Tensor]]
    layout: str


def read_source(path: str | Path) -> LeRobotSource:
    """Read a LeRobot checkpoint directory.

    Raises:
        InputError: it is not one, is of another policy, or has parts that cannot be imported.
    """
    path = Path(path)
    config = _read_config(path)
    tensors = _load(path / WEIGHTS)
    if (path / PREPROCESSOR).is_file() or (path / POSTPROCESSOR).is_file():
        maps, stats = _from_processors(path, config)
        layout = "processors"
    else:
        maps, stats = _from_buffers(path, config, tensors)
        layout = "buffers"
    old = (OLD_INPUTS, OLD_OUTPUTS, OLD_TARGETS)
    weights = {}
    for name, tensor in tensors.items():
        if name.startswith("diffusion."):
            weights[name.removeprefix("diffusion.")] = tensor
        elif not name.startswith(old):
            raise InputError(f"{path / WEIGHTS} holds {name!r}, which no DiffusionPolicy of "
                             "LeRobot has; give a directory that its save_pretrained wrote.")
    return LeRobotSource(path, config, weights, maps, stats, layout)


def _read_config(path: Path) -> LeRobotConfig:
    if not path.is_dir():
        raise InputError(f"{path} is not a directory; give LeRobot's pretrained_model directory, "
                         "with config.json and model.safetensors.")
    if not (path / CONFIG).is_file():
        below = next(iter(sorted(path.glob("**/pretrained_model"))), None)
        hint = f"give {below}" if below else "give LeRobot's pretrained_model directory"
        raise InputError(f"{path} has no {CONFIG}, so it is no LeRobot checkpoint; {hint}.")
    data = read_json(path / CONFIG)
    if not isinstance(data, dict) or "type" not in data:
        why = ("is of LeRobot's format of 2024, without a policy type"
               if isinstance(data, dict) and "input_shapes" in data else "names no policy type")
        raise InputError(f"{path / CONFIG} {why}; load and save the policy with LeRobot 0.2 or "
                         "newer, then import that.")
    if data["type"] != "diffusion":
        raise InputError(f"{path} is a policy of type {data['type']!r}; only LeRobot's "
                         "'diffusion' can be imported, run others with LeRobot itself.")
    config = parse(LeRobotConfig, data, str(path / CONFIG))
    if config.use_peft or (path / "adapter_config.json").exists():
        raise InputError(f"{path} holds an adapter (PEFT) and not a whole network; merge it into "
                         "its base model with LeRobot, then import that.")
    if not (path / WEIGHTS).is_file():
        raise InputError(f"{path} has no {WEIGHTS}; weights in other formats are not read, save "
                         "the policy with LeRobot's save_pretrained.")
    _check_features(path, config)
    return config


def _check_features(path: Path, config: LeRobotConfig) -> None:
    extra = [n for n, f in config.input_features.items()
             if f.type != "VISUAL" and n != STATE]
    if extra:
        raise InputError(f"{path} takes the input {extra[0]!r}, which no sensor of a robot gives; "
                         f"only images and {STATE} can be imported, train without it.")
    if not config.images:
        raise InputError(f"{path} takes no image; only policies with cameras can be imported.")
    if STATE not in config.input_features:
        raise InputError(f"{path} takes no {STATE}; only policies with a state can be imported.")
    if set(config.output_features) != {ACTION}:
        raise InputError(f"{path} has the outputs {', '.join(config.output_features) or 'none'}; "
                         f"only {ACTION!r} alone can be imported.")
    shapes = {f.shape for f in config.images.values()}
    if len(shapes) > 1 or len(next(iter(shapes))) != 3 or next(iter(shapes))[0] != 3:
        raise InputError(f"{path} takes images of shape "
                         f"{', '.join(str(list(s)) for s in sorted(shapes))}; they must be one "
                         "[3, rows, columns].")


def _load(path: Path) -> dict[str, torch.Tensor]:
    try:
        # torch.compile and DistributedDataParallel add levels to the names.
        return {name.replace("_orig_mod.", "").removeprefix("module."): tensor
                for name, tensor in load_file(path).items()}
    except (safetensors.SafetensorError, OSError, ValueError) as err:
        raise InputError(f"{path} is missing, damaged or no safetensors file ({err}); copy it "
                         "again.") from None


def _from_processors(path: Path, config: LeRobotConfig):
    maps: dict[str, LinearMap] = {}
    stats: dict[str, dict[str, torch.Tensor]] = {}
    wanted = ((PREPROCESSOR, "normalizer_processor", config.input_features),
              (POSTPROCESSOR, "unnormalizer_processor", config.output_features))
    for file, kind, features in wanted:
        processor = parse(_Processor, read_json(path / file), str(path / file))
        for step in processor.steps:
            if step.registry_name not in (*NEUTRAL, kind):
                what = repr(step.registry_name) if step.registry_name else "without a name"
                raise InputError(f"{path / file} has a step {what}, which cannot be imported; "
                                 f"only {', '.join(NEUTRAL)} and {kind} can, train without it.")
        steps = [s for s in processor.steps if s.registry_name == kind]
        if len(steps) != 1:
            raise InputError(f"{path / file} has {len(steps)} steps {kind}; it must have one.")
        held: dict[str, dict[str, torch.Tensor]] = {}
        if steps[0].state_file is not None:
            for name, tensor in _load(path / steps[0].state_file).items():
                feature, _, statistic = name.rpartition(".")
                held.setdefault(feature, {})[statistic] = tensor.float()
        settings = steps[0].config
        only = settings.get("normalize_observation_keys")
        for name, feature in features.items():
            mode = settings.get("norm_map", {}).get(feature.type, "IDENTITY")
            if feature.type != "VISUAL" and mode != "IDENTITY" and name not in held:
                # LeRobot does not normalize it then, silently.
                raise InputError(f"{path / file} normalizes {name!r} by {mode} and has statistics "
                                 f"of {', '.join(held) or 'nothing'} only; correct the names in "
                                 f"{steps[0].state_file or 'it'}, or copy the checkpoint again.")
            if name not in held or (only is not None and name != ACTION and name not in only):
                mode = "IDENTITY"
            maps[name] = linear(mode, held.get(name, {}), feature.shape[0],
                                f"{path / file}: {name}", settings.get("eps", EPS), False)
        stats |= held
    return maps, stats


def _from_buffers(path: Path, config: LeRobotConfig, tensors: dict[str, torch.Tensor]):
    maps, stats = {}, {}
    for prefix, features in ((OLD_INPUTS, config.input_features),
                             (OLD_OUTPUTS, config.output_features)):
        for name, feature in features.items():
            start = f"{prefix}{name.replace('.', '_')}."
            held = {key.removeprefix(start): tensor.float() for key, tensor in tensors.items()
                    if key.startswith(start)}
            mode = config.normalization_mapping.get(feature.type, "IDENTITY")
            if not held and mode != "IDENTITY":
                raise InputError(f"{path} has neither {PREPROCESSOR} nor statistics of {name!r} "
                                 f"in {WEIGHTS}; copy the whole pretrained_model directory.")
            maps[name] = linear(mode, held, feature.shape[0], f"{path / WEIGHTS}: {name}", EPS,
                                True)
            stats[name] = held
    return maps, stats

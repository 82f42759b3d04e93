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

"""Make a checkpoint directory from a LeRobot checkpoint; the weights stay as they are."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path

import torch

from tinyvla_ros import __version__
from tinyvla_ros.core.configuration import parse
from tinyvla_ros.core.errors import InputError, unknown
from tinyvla_ros.core.files import refuse_to_overwrite, replace_file
from tinyvla_ros.lerobot_import.card import model_card
from tinyvla_ros.lerobot_import.naming import DatasetFacts, choose_names, read_dataset
from tinyvla_ros.lerobot_import.options import ImportOptions
from tinyvla_ros.lerobot_import.source import ACTION, STATE, LeRobotSource, read_source
from tinyvla_ros.policy.checkpoint import build_network, load_checkpoint, save_checkpoint
from tinyvla_ros.policy.config import PolicyConfig
from tinyvla_ros.policy.lerobot_config import LeRobotDiffusionConfig
from tinyvla_ros.policy.normalizer import Normalizer

# Limits of a normalized action that nothing else bounds: five deviations of the demonstrations.
UNBOUNDED = 5.0


def import_checkpoint(options: ImportOptions) -> str:
    """Write a checkpoint directory and load it once.

    Returns:
        The digest of the new checkpoint.

    Raises:
        InputError: the source cannot be imported, or a name, the rate or the task is unknown.
    """
    out = options.out
    refuse_to_overwrite(out)
    source = read_source(options.source)
    facts = DatasetFacts() if options.dataset is None else read_dataset(options.dataset)
    config = _config(source, facts, options)
    training = {"imported_from": {
        "name": source.path.resolve().name, "library": "lerobot", "type": source.config.type,
        "layout": source.layout, "digest": _source_digest(source.path),
        "sampler_as_trained": options.sampler is None and options.sample_steps is None,
        "dataset": None if options.dataset is None else options.dataset.resolve().name},
        "tinyvla_ros": __version__}
    weights = _weights(source, config)
    try:
        save_checkpoint(out, config, weights, _normalizer(source, config, options), training)
        card = model_card(out.resolve().name, source, config)
        replace_file(out / "README.md", lambda part: part.write_text(card, encoding="utf-8"))
    except OSError as err:
        raise InputError(f"Cannot write {out}: {err.strerror or err}; choose a writable directory "
                         "with space for the weights.") from None
    return load_checkpoint(out).digest


def _config(source: LeRobotSource, facts: DatasetFacts, options: ImportOptions) -> PolicyConfig:
    lerobot = source.config
    fps = facts.fps if options.fps is None else options.fps
    if fps is None:
        raise InputError("LeRobot's config.json does not contain the control rate; give "
                         "--dataset DIR, or --fps HZ.")
    if not 0.1 <= fps <= 1000:
        raise InputError(f"The dataset's rate is {fps:g} Hz; give --fps from 0.1 to 1000.")
    instructions = options.instructions or facts.tasks
    if not instructions:
        raise InputError("The task is unknown; give --instruction TEXT, and publish the same "
                         "on the instruction topic.")
    actions = lerobot.output_features[ACTION].shape[0]
    channels = choose_names("action", options.action_names, facts, ACTION, actions)
    state = choose_names("state", options.state_names, facts, STATE,
                         lerobot.input_features[STATE].shape[0])
    for name in options.degrees:
        if name not in (*state, *channels):
            raise InputError(unknown("entry in --degrees", name, dict.fromkeys(
                (*state, *channels))))
    _, height, width = next(iter(lerobot.images.values())).shape
    model = lerobot.model_dump(include=set(LeRobotDiffusionConfig.model_fields))
    if options.sampler is not None:
        model["noise_scheduler_type"] = options.sampler.upper()
    where = f"{source.path / 'config.json'}"
    model = parse(LeRobotDiffusionConfig, model, where)
    _check_crop(model, height, width, where)
    scale = _scale_to_robot(channels, options)
    low, high = ((bound * scale).tolist() for bound in _limits(source, facts, model))
    steps = options.sample_steps or lerobot.num_inference_steps or lerobot.num_train_timesteps
    data = {
        "cameras": {camera_name(n): {"height": height, "width": width} for n in lerobot.images},
        "state": state, "instructions": instructions, "model": model,
        "action": {"channels": channels, "low": low, "high": high,
                   "units": ["rad" if n in options.degrees else options.unit for n in channels],
                   "dt": 1.0 / fps, "horizon": model.rows,
                   "n_action_steps": lerobot.n_action_steps},
        "diffusion": {"prediction": lerobot.prediction_type, "schedule": lerobot.beta_schedule,
                      "train_steps": lerobot.num_train_timesteps, "sample_steps": steps}}
    if len(data["cameras"]) < len(lerobot.images):
        raise InputError(f"{where} has cameras of the same name: {', '.join(lerobot.images)}; "
                         "rename one and its entries in the weights' statistics.")
    return parse(PolicyConfig, data, where)


def camera_name(feature: str) -> str:
    """Return our name of a camera: ``observation.images.front`` is ``front``."""
    return feature.removeprefix("observation.").removeprefix("images.").replace(".", "_")


def _check_crop(model: LeRobotDiffusionConfig, height: int, width: int, where: str) -> None:
    rows, columns = model.resize_shape or (height, width)
    if model.crop_shape is not None and (model.crop_shape[0] > rows
                                         or model.crop_shape[1] > columns):
        raise InputError(f"{where}: crop_shape {list(model.crop_shape)} does not fit into images "
                         f"of [{rows}, {columns}]; the files do not belong together.")


def _limits(source: LeRobotSource, facts: DatasetFacts,
            model: LeRobotDiffusionConfig) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the limits of the actions: those demonstrated, else those of the network."""
    action = source.maps[ACTION]
    stats = source.stats.get(ACTION, {})
    if {"min", "max"} <= stats.keys():
        low, high = stats["min"].flatten(), stats["max"].flatten()
    elif ACTION in (facts.limits or {}):
        low, high = (torch.tensor(v).flatten() for v in facts.limits[ACTION])
    else:
        reach = model.clip_sample_range if model.clip_sample else UNBOUNDED
        middle, half = (action.high + action.low) / 2, (action.high - action.low) / 2
        low, high = middle - reach * half, middle + reach * half
    if low.shape != action.low.shape:
        raise InputError(f"The dataset's action has {len(low)} entries, the policy's "
                         f"{len(action.low)}; give the dataset it was trained on.")
    # Entries that never changed: the same narrow range as their map.
    flat = low >= high
    return torch.where(flat, action.low, low), torch.where(flat, action.high, high)


def _scale_to_robot(names: Sequence[str], options: ImportOptions) -> torch.Tensor:
    """Return the factors from the dataset's units to the robot's."""
    return torch.tensor([math.pi / 180 if n in options.degrees else 1.0 for n in names])


def _normalizer(source: LeRobotSource, config: PolicyConfig,
                options: ImportOptions) -> Normalizer:
    state, action = source.maps[STATE], source.maps[ACTION]
    of_state, of_actions = (_scale_to_robot(names, options)
                            for names in (config.state, config.action.channels))
    return Normalizer(state.origin * of_state, state.spread * of_state, action.low * of_actions,
                      action.high * of_actions)


def _weights(source: LeRobotSource, config: PolicyConfig) -> dict[str, torch.Tensor]:
    """Check names and shapes of the weights, and add the constants of the normalization."""
    with torch.device("meta"):
        wanted = {name: tuple(tensor.shape)
                  for name, tensor in build_network(config).state_dict().items()}
    maps = [source.maps[name] for name in source.config.images]
    weights = dict(source.weights)
    for field in ("origin", "spread", "offset"):
        weights[f"image_{field}"] = torch.stack([getattr(m, field) for m in maps])[..., None, None]
    weights["state_offset"] = source.maps[STATE].offset
    _check_names(source.path, wanted.keys(), weights.keys())
    for name, shape in wanted.items():
        if tuple(weights[name].shape) != shape:
            raise InputError(f"{source.path / 'model.safetensors'}: {name!r} has shape "
                             f"{list(weights[name].shape)}, config.json asks for {list(shape)}; "
                             "the files do not belong together.")
        if not torch.isfinite(weights[name]).all():
            raise InputError(f"{source.path / 'model.safetensors'}: {name!r} holds non-finite "
                             "values; the training went wrong or the file is damaged.")
    return weights


def _check_names(path: Path, wanted: Sequence[str], found: Sequence[str]) -> None:
    missing, extra = sorted(set(wanted) - set(found)), sorted(set(found) - set(wanted))
    if missing or extra:
        what = f"lacks {missing[0]!r}" if missing else f"has unknown {extra[0]!r}"
        raise InputError(f"{path / 'model.safetensors'} {what} ({len(missing)} missing, "
                         f"{len(extra)} unknown tensors); it does not belong to the config.json "
                         "beside it.")


def _source_digest(path: Path) -> str:
    """Return 16 digits of the SHA-256 over the files that were read, by name."""
    digest = hashlib.sha256()
    for file in sorted(path.iterdir()):
        if file.suffix in (".json", ".safetensors"):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]

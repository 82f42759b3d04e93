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

"""LeRobot checkpoints made up for tests: real files in LeRobot's format, weights by formula.

LeRobot itself loads the same directories in ``benchmarks/lerobot_equality.py``, which recorded
what it answered (``test/data/lerobot_actions.json``). Uniform numbers straight from PCG64 only, so
that every numpy makes the same ones.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

STATE, ACTION = "observation.state", "action"
JOINTS, CHANNELS = ("shoulder", "elbow", "wrist"), ("shoulder", "elbow")
FPS, SEED, EXECUTE, FRAMES = 10, 5, 4, 10
# Small U-Nets: what is compared does not depend on their size. One case per layout and option.
CASES = {
    "processors": {"layout": "processors", "cameras": ("front", "wrist"), "config": {
        "crop_shape": [56, 48]}},
    "buffers": {"layout": "buffers", "cameras": ("front",), "config": {
        "use_group_norm": False, "noise_scheduler_type": "DDIM", "num_inference_steps": 5,
        "prediction_type": "sample", "use_film_scale_modulation": False,
        "normalization_mapping": {"VISUAL": "MIN_MAX", "STATE": "MEAN_STD",
                                  "ACTION": "MIN_MAX"}}},
    # LeRobot has no limits of its own: here they come from what can come out.
    "mean_std": {"layout": "processors", "cameras": ("front", "wrist"),
                 "without": ("action.min", "action.max"), "config": {
        "use_separate_rgb_encoder_per_camera": True, "clip_sample_range": 2.0, "n_obs_steps": 3,
        "normalization_mapping": {"VISUAL": "IDENTITY", "STATE": "MIN_MAX",
                                  "ACTION": "MEAN_STD"}}},
    "resize": {"layout": "processors", "cameras": ("front",), "config": {
        "resize_shape": [48, 40], "crop_shape": [36, 30], "crop_ratio": 0.75,
        "noise_scheduler_type": "DDIM", "use_group_norm": False, "num_train_timesteps": 100,
        "num_inference_steps": 10}},
}
# Only benchmarks/lerobot_equality.py runs these: hundreds of megabytes.
LARGE_CASES = {
    "resnet34": {"layout": "buffers", "cameras": ("front",), "config": {
        "vision_backbone": "resnet34"}},
    "resnet50": {"layout": "processors", "cameras": ("front",), "config": {
        "vision_backbone": "resnet50", "use_group_norm": False}},
    "defaults": {"layout": "processors", "cameras": ("front", "wrist"), "size": (96, 96),
                 "config": {"down_dims": [512, 1024, 2048], "horizon": 16, "kernel_size": 5,
                            "diffusion_step_embed_dim": 128, "num_train_timesteps": 100,
                            "num_inference_steps": 4, "crop_shape": [84, 84],
                            "spatial_softmax_num_keypoints": 32}},
}


def uniform(name: str, shape, low: float = -1.0, high: float = 1.0) -> np.ndarray:
    """Return float32 numbers that depend on the name and the shape alone."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    raw = np.random.PCG64(seed).random_raw(math.prod(shape)) >> np.uint64(11)
    return (low + (high - low) * (raw * 2.0 ** -53)).astype(np.float32).reshape(shape)


def lerobot_config(case: dict) -> dict:
    """Return a config.json in LeRobot's words."""
    height, width = case.get("size", (64, 56))
    visual = {f"observation.images.{n}": {"type": "VISUAL", "shape": [3, height, width]}
              for n in case["cameras"]}
    return {
        "type": "diffusion", "n_obs_steps": 2, "horizon": 16, "n_action_steps": EXECUTE,
        "input_features": {STATE: {"type": "STATE", "shape": [len(JOINTS)]}, **visual},
        "output_features": {ACTION: {"type": "ACTION", "shape": [len(CHANNELS)]}},
        "normalization_mapping": {"VISUAL": "MEAN_STD", "STATE": "MIN_MAX", "ACTION": "MIN_MAX"},
        "device": "cpu", "use_amp": False, "drop_n_last_frames": 7,
        "vision_backbone": "resnet18", "crop_shape": None, "crop_is_random": True,
        "pretrained_backbone_weights": None, "use_group_norm": True,
        "spatial_softmax_num_keypoints": 8, "use_separate_rgb_encoder_per_camera": False,
        "down_dims": [16, 32], "kernel_size": 3, "n_groups": 8, "diffusion_step_embed_dim": 16,
        "use_film_scale_modulation": True, "noise_scheduler_type": "DDPM",
        "num_train_timesteps": 10, "beta_schedule": "squaredcos_cap_v2", "beta_start": 0.0001,
        "beta_end": 0.02, "prediction_type": "epsilon", "clip_sample": True,
        "clip_sample_range": 1.0, "num_inference_steps": None,
        "do_mask_loss_for_padding": False} | case["config"]


def write_lerobot_checkpoint(path: Path, case: dict, **changes) -> Path:
    """Write a checkpoint directory as LeRobot does; ``changes`` go into its config.json."""
    path.mkdir(parents=True, exist_ok=True)
    config = lerobot_config(case) | changes
    (path / "config.json").write_text(json.dumps(config, indent=4))
    weights = {f"diffusion.{name}": _weight(name, shape)
               for name, shape in _shapes(config).items() if not name.endswith("pos_grid")}
    for name in _shapes(config):
        if name.endswith("pos_grid"):
            weights[f"diffusion.{name}"] = _grid(config)
    stats = {k: v for k, v in _stats(config).items() if k not in case.get("without", ())}
    modes = config["normalization_mapping"]
    if case["layout"] == "buffers":
        for part, features in (("normalize_inputs", config["input_features"]),
                               ("normalize_targets", config["output_features"]),
                               ("unnormalize_outputs", config["output_features"])):
            for name, feature in features.items():
                kept = {"MEAN_STD": ("mean", "std"), "MIN_MAX": ("min", "max")}.get(
                    modes[feature["type"]], ())
                for statistic in kept:
                    key = f"{part}.buffer_{name.replace('.', '_')}.{statistic}"
                    weights[key] = stats[f"{name}.{statistic}"]
    else:
        _write_processors(path, config, stats)
    save_file(weights, path / "model.safetensors")
    return path


def frames(case: dict, count: int = FRAMES) -> list[dict]:
    """Return observations: ``images`` by camera, (H, W, 3) uint8, and ``state``."""
    height, width = case.get("size", (64, 56))
    return [{"images": {n: uniform(f"{n} {i}", (height, width, 3), 0, 255.99).astype(np.uint8)
                        for n in case["cameras"]},
             "state": uniform(f"state {i}", (len(JOINTS),), -0.4, 0.9)} for i in range(count)]


def stamp(frame: int) -> int:
    """Return the stamp of a frame in nanoseconds."""
    return 1_000_000_000 + frame * (1_000_000_000 // FPS)


def _shapes(config: dict) -> dict[str, tuple[int, ...]]:
    import torch

    from tinyvla_ros.policy.config import PolicyConfig
    from tinyvla_ros.policy.lerobot.network import LeRobotDiffusionNetwork
    from tinyvla_ros.policy.lerobot_config import LeRobotDiffusionConfig

    known = LeRobotDiffusionConfig.model_fields
    model = {"kind": "lerobot_diffusion"} | {k: v for k, v in config.items() if k in known}
    visual = [f for f in config["input_features"].values() if f["type"] == "VISUAL"]
    rows = config["horizon"] - config["n_obs_steps"] + 1
    channels = [str(i) for i in range(config["output_features"][ACTION]["shape"][0])]
    states = config["input_features"].get(STATE, {"shape": [1]})["shape"][0]
    policy = PolicyConfig.model_validate({
        "cameras": {str(i): {"height": f["shape"][1], "width": f["shape"][2]}
                    for i, f in enumerate(visual)},
        "state": [str(i) for i in range(states)],
        "instructions": ["x"], "model": model, "diffusion": {
            "prediction": config["prediction_type"], "sample_steps": 1},
        "action": {"channels": channels, "units": channels, "low": [0] * len(channels),
                   "high": [1] * len(channels), "dt": 0.1, "horizon": rows, "n_action_steps": 1}})
    with torch.device("meta"):
        state = LeRobotDiffusionNetwork(policy).state_dict()
    return {k: tuple(v.shape) for k, v in state.items() if k.startswith(("rgb_encoder", "unet"))}


def _weight(name: str, shape: tuple[int, ...]) -> np.ndarray:
    if name.endswith("num_batches_tracked"):
        return np.array(7, np.int64)
    if name.endswith("running_var"):
        return uniform(name, shape, 0.5, 1.5)
    if name.endswith(("bias", "running_mean")):
        return uniform(name, shape, -0.1, 0.1)
    if len(shape) == 1:  # blocks of a ResNet add up; trained ones stay of one size
        return uniform(name, shape, 0.3, 0.5) if "bn" in name else uniform(name, shape, 0.8, 1.2)
    # Keeps the size of what passes through; keypoints need some contrast to differ.
    gain = 2.0 if name.endswith("pool.nets.weight") else 1.0
    reach = gain * math.sqrt(6.0 / (shape[1] * math.prod(shape[2:])))
    return uniform(name, shape, -reach, reach)


def _grid(config: dict) -> np.ndarray:
    """Coordinates of the backbone's last feature map, a 32nd of the image."""
    shape = config["crop_shape"] or config.get("resize_shape") or next(
        f["shape"][1:] for f in config["input_features"].values() if f["type"] == "VISUAL")
    rows, columns = (-(-n // 32) for n in shape)
    xs, ys = np.meshgrid(np.linspace(-1.0, 1.0, columns), np.linspace(-1.0, 1.0, rows))
    return np.stack([xs.ravel(), ys.ravel()], 1).astype(np.float32)


def _stats(config: dict) -> dict[str, np.ndarray]:
    stats = {}
    for name, feature in (config["input_features"] | config["output_features"]).items():
        shape = (3, 1, 1) if feature["type"] == "VISUAL" else tuple(feature["shape"])
        reach = (0, 1) if feature["type"] == "VISUAL" else (-1, 1)
        stats |= {f"{name}.min": uniform(f"{name} min", shape, reach[0], reach[0] + 0.2),
                  f"{name}.max": uniform(f"{name} max", shape, reach[1] - 0.2, reach[1]),
                  f"{name}.mean": uniform(f"{name} mean", shape, 0.2, 0.6),
                  f"{name}.std": uniform(f"{name} std", shape, 0.2, 0.5)}
    return stats


def _write_processors(path: Path, config: dict, stats: dict[str, np.ndarray]) -> None:
    """As LeRobot 0.4 and newer write them: a list of steps, the statistics beside it."""
    settings = {"eps": 1e-8, "norm_map": config["normalization_mapping"]}
    inputs, outputs = config["input_features"], config["output_features"]
    device = {"registry_name": "device_processor", "config": {"device": "cpu",
                                                              "float_dtype": None}}
    pipelines = {
        "policy_preprocessor": [
            {"registry_name": "rename_observations_processor", "config": {"rename_map": {}}},
            {"registry_name": "to_batch_processor", "config": {}}, device,
            {"registry_name": "normalizer_processor",
             "config": settings | {"features": inputs | outputs}}],
        "policy_postprocessor": [
            {"registry_name": "unnormalizer_processor",
             "config": settings | {"features": outputs}}, device]}
    for name, steps in pipelines.items():
        for index, step in enumerate(steps):
            if "norm_map" in step["config"]:
                step["state_file"] = f"{name}_step_{index}_{step['registry_name']}.safetensors"
                save_file(stats, path / step["state_file"])
        (path / f"{name}.json").write_text(json.dumps({"name": name, "steps": steps}, indent=2))


def import_case(folder: Path, case: dict) -> Path:
    """Import ``folder/source`` with the command line, once; return the checkpoint."""
    from tinyvla_ros.cli.main import main

    out = folder / "imported"
    if not out.exists():
        code = main(["import", str(folder / "source"), "--out", str(out), "--fps", str(FPS),
                     "--state-names", ",".join(JOINTS), "--action-names", ",".join(CHANNELS),
                     "--instruction", "go"])
        assert code == 0
    return out


def drive(checkpoint: Path, case: dict, exact: bool = False) -> np.ndarray:
    """Return our action for every frame: chunks of ``EXECUTE``, each with the frames before.

    Args:
        checkpoint: an imported checkpoint.
        case: one of ``CASES``.
        exact: compute in float64. The rounding of float32, which depends on the processor, is
            then below 1e-12.
    """
    import torch

    from tinyvla_ros.policy.checkpoint import load_checkpoint
    from tinyvla_ros.policy.policy import Policy

    if not exact:
        return _actions(Policy(checkpoint, seed=SEED), case)
    loaded = load_checkpoint(checkpoint)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # of the constants that the network makes
    try:
        policy = Policy(replace(loaded, network=_Float64(loaded.network)), seed=SEED)
        return _actions(policy, case)
    finally:
        torch.set_default_dtype(before)


class _Float64:
    """A network that computes in float64, whatever it is given."""

    def __init__(self, network):
        self._network, self.noise_shape = network.double(), network.noise_shape

    def to(self, device) -> _Float64:
        return self

    def set_sample_steps(self, steps: int) -> None:
        self._network.set_sample_steps(steps)

    def encode(self, images, state, instruction):
        return self._network.encode([i.double() for i in images], state.double(), instruction)

    def sample(self, condition, noise):
        return self._network.sample(condition, noise.double())


def _actions(policy, case: dict) -> np.ndarray:
    seen = [observation(frame, i) for i, frame in enumerate(frames(case))]
    actions = []
    for start in range(0, len(seen), EXECUTE):
        chunk = policy.infer(seen[start], past=seen[max(0, start - 5):start])
        actions.append(chunk.actions[:min(EXECUTE, len(seen) - start)])
    return np.concatenate(actions)


def observation(frame: dict, index: int):
    """Return a frame as an observation."""
    from tinyvla_ros.core.types import Observation

    return Observation(stamp(index), frame["images"],
                       dict(zip(JOINTS, frame["state"].tolist(), strict=True)), "go")


def noise(checkpoint: Path, case: dict) -> np.ndarray:
    """Return the noise ``Policy`` uses for every chunk, (chunks, draws, horizon, channels)."""
    from tinyvla_ros.policy.policy import Policy

    policy = Policy(checkpoint, seed=SEED)
    drawn = [policy.noise(stamp(start))[0] for start in range(0, FRAMES, EXECUTE)]
    if lerobot_config(case)["noise_scheduler_type"] == "DDIM":
        return np.stack(drawn)
    return np.stack(drawn)[:, :-1]  # LeRobot draws none for the last step of DDPM

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

"""Small real things for tests: a policy configuration, a checkpoint, an observation."""

from __future__ import annotations

from pathlib import Path

import numpy as np

TASKS = ("reach-v3", "button-press-v3", "pick-place-v3")


def tiny_policy_config(**changes):
    """Return a policy configuration small enough to infer in milliseconds."""
    from sim_bridge.arms import METAWORLD
    from sim_bridge.simulated_robot import SimulatedRobotConfig
    from tinyvla_ros.policy.config import PolicyConfig

    robot = SimulatedRobotConfig.load()
    data = {
        "cameras": {name: {"height": 48, "width": 48} for name in robot.cameras},
        "state": list(METAWORLD.state_names),
        "action": {"channels": list(METAWORLD.channels),
                   "units": ["cm per control step"] * 3 + ["effort (1 closes)"],
                   "low": [-1.0] * 4, "high": [1.0] * 4, "dt": 0.0125, "horizon": 16,
                   "n_action_steps": 8},
        "instructions": [robot.instructions[task] for task in TASKS],
        "model": {"image_channels": 8, "keypoints": 4, "instruction_dim": 4, "condition_dim": 16,
                  "denoiser_channels": [8, 16, 16]},
        "diffusion": {"sample_steps": 2}}
    return PolicyConfig.model_validate(data | changes)


def write_random_checkpoint(path: Path, config, seed: int = 0) -> None:
    """Write a checkpoint with random weights."""
    import torch

    from tinyvla_ros.policy.checkpoint import save_checkpoint
    from tinyvla_ros.policy.model import PolicyNetwork
    from tinyvla_ros.policy.normalizer import Normalizer

    torch.manual_seed(seed)
    states, channels = len(config.state), len(config.action.channels)
    ranges = torch.ones((config.action.horizon, channels) if config.action.relative else channels)
    normalizer = Normalizer(torch.zeros(states), torch.ones(states), -ranges, ranges)
    save_checkpoint(path, config, PolicyNetwork(config).state_dict(), normalizer, {})


def random_observation(config, seed: int = 0, stamp_ns: int = 1_000_000_000):
    """Return an observation with random pixels and states."""
    from tinyvla_ros.core.types import Observation

    rng = np.random.default_rng(seed)
    images = {name: rng.integers(0, 256, (192, 192, 3), dtype=np.uint8)
              for name in config.cameras}
    state = {name: float(rng.normal()) for name in config.state}
    return Observation(stamp_ns, images, state, config.instructions[0])


def write_robot(path: Path, **changes) -> Path:
    """Write the MetaWorld contract for tests that send observations one by one."""
    import yaml

    from tinyvla_ros.core.resources import default_robot

    data = yaml.safe_load(default_robot().read_text())
    for stream in (*data["cameras"].values(), data["joint_states"], data["ee_pose"]):
        stream["timeout"] = 60.0
    path.write_text(yaml.safe_dump(data | changes, sort_keys=False))
    return path


def give_random_weights(checkpoint: Path, contract) -> None:
    """Put weights for torch into an untrained checkpoint, whose policy.onnx stays what acts."""
    import torch
    from safetensors.torch import save_file

    from tinyvla_ros.core.files import COMPILED, checkpoint_digest
    from tinyvla_ros.core.files import WEIGHTS as FILE
    from tinyvla_ros.dry_run.noise_policy import write_noise_policy
    from tinyvla_ros.dry_run.untrained import action_range
    from tinyvla_ros.policy.config import PolicyConfig
    from tinyvla_ros.policy.model import PolicyNetwork

    torch.manual_seed(0)
    config = PolicyConfig.load(checkpoint)
    save_file(PolicyNetwork(config).state_dict(), checkpoint / FILE)
    low, high = action_range(contract)
    write_noise_policy(checkpoint / COMPILED, config, checkpoint_digest(checkpoint),
                       (low + high) / 2, (high - low) / 2)

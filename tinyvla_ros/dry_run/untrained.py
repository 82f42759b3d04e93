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

"""The start position of the dry-run arm, and a checkpoint for users who have none."""

from __future__ import annotations

import atexit
import tempfile
from pathlib import Path

import numpy as np
import safetensors
from safetensors.numpy import load_file, save_file

from tinyvla_ros.arm.contract import Channel, RobotContract
from tinyvla_ros.arm.contract_inputs import EE_STATE
from tinyvla_ros.core.errors import CheckpointError, InputError
from tinyvla_ros.core.files import (
    COMPILED,
    CONFIG,
    NORMALIZER,
    WEIGHTS,
    checkpoint_digest,
    write_json,
)
from tinyvla_ros.dry_run.arm import rest_value
from tinyvla_ros.dry_run.noise_policy import write_noise_policy
from tinyvla_ros.policy.config import PolicyConfig

INSTRUCTION = "dry run"
DT_S, HORIZON, N_ACTION_STEPS = 1 / 30, 16, 8
# Default position of the end effector, in front of the base, m.
EE_START = dict(zip(EE_STATE, (0.4, 0.0, 0.3), strict=True))
# Share of a channel's range that untrained actions use at most.
SHARE = 0.05


def start_state(contract: RobotContract, config: PolicyConfig,
                checkpoint: Path) -> dict[str, float]:
    """Return state name -> value to start from.

    The mean of the training data, if the checkpoint has a normalizer: the ``jump`` limit refuses a
    first action that is far from the measured joints. Otherwise the middle of the range of the
    channel that drives the state, or 0.

    Raises:
        CheckpointError: the normalizer is damaged or does not fit the checkpoint.
    """
    middle = {c.state: rest_value(c) for c in contract.actions.values() if c.state}
    start = {n: middle.get(n, EE_START.get(n, 0.0)) for n in config.state}
    path = checkpoint / NORMALIZER
    if path.is_file():
        try:
            mean = load_file(path)["state_mean"]
        except (safetensors.SafetensorError, KeyError, OSError, ValueError) as err:
            raise CheckpointError(f"{path} is damaged ({err}); copy or train the checkpoint "
                                  "again.") from None
        if mean.shape != (len(start),) or not np.isfinite(mean).all():
            raise CheckpointError(f"{path} does not belong to the config.json beside it; copy or "
                                  "train the checkpoint again.")
        start = dict(zip(start, mean.tolist(), strict=True))
    return start


def write_untrained_checkpoint(contract: RobotContract, directory: Path,
                               *instructions: str) -> None:
    """Write a compiled policy that fits a robot and hardly moves it.

    It is a ``policy.onnx`` of random actions, see ``action_range``, and is made without torch.
    Its weights are empty, so backend torch cannot run it. The directory is created if needed.

    Raises:
        InputError: the contract names no state.
    """
    config = untrained_config(contract, *instructions)
    low, high = action_range(contract)
    state = np.array(list(start_state(contract, config, Path("nowhere")).values()), np.float32)
    directory.mkdir(parents=True, exist_ok=True)
    save_file({}, directory / WEIGHTS)
    save_file({"state_mean": state, "state_std": np.ones_like(state), "action_low": low,
               "action_high": high}, directory / NORMALIZER)
    write_json(directory / CONFIG, config.model_dump(mode="json"))
    write_noise_policy(directory / COMPILED, config, checkpoint_digest(directory),
                       (low + high) / 2, (high - low) / 2)


def action_range(contract: RobotContract) -> tuple[np.ndarray, np.ndarray]:
    """Return what random actions may lie between without violating a limit of the contract.

    It is around the middle of each channel's range (around zero for velocities and increments).

    Returns:
        Lowest and highest action, (channels,) float32.
    """
    channels = contract.actions.values()
    middle = np.array([rest_value(c) for c in channels], np.float32)
    reach = np.array([_reach(c) for c in channels], np.float32)
    return middle - reach, middle + reach


def untrained_config(contract: RobotContract, *instructions: str) -> PolicyConfig:
    """Return the configuration of a small policy that fits a robot; without words it has some.

    Raises:
        InputError: the contract names no state.
    """
    state = [c.state for c in contract.actions.values() if c.state]
    sources = contract.sources
    # A name may be there for its velocity or effort alone.
    derived = {n for s in sources.joints.values() for n in (*s.velocities, *s.efforts)}
    state += [n for n, s in sources.listed.items() if not s.is_position or n not in derived]
    if not state:
        raise InputError(f"Robot {contract.name!r} names no state, so no checkpoint can be made "
                         "for it; set 'state' of the channels that are positions.")
    # A chunk must be longer than what is executed before the next.
    horizon = max(HORIZON, contract.execution.replan_every // 4 * 4 + 4)
    return PolicyConfig.model_validate({
        "cameras": {name: {"height": 64, "width": 64} for name in contract.cameras},
        "state": list(dict.fromkeys(state)),
        "action": {"channels": list(contract.actions),
                   "units": [c.unit for c in contract.actions.values()],
                   "low": [c.low for c in contract.actions.values()],
                   "high": [c.high for c in contract.actions.values()],
                   "dt": DT_S, "horizon": horizon, "n_action_steps": N_ACTION_STEPS},
        "instructions": instructions or [INSTRUCTION],
        "model": {"image_channels": 8, "keypoints": 4, "instruction_dim": 4, "condition_dim": 16,
                  "denoiser_channels": [8, 16, 16]},
        "diffusion": {"sample_steps": 4}})


def temporary_checkpoint(contract: RobotContract) -> Path:
    """Write an untrained checkpoint to a directory that lasts as long as this process."""
    directory = tempfile.TemporaryDirectory(prefix="tinyvla-dry-run-")
    atexit.register(directory.cleanup)
    write_untrained_checkpoint(contract, Path(directory.name))
    return Path(directory.name)


def _reach(channel: Channel) -> float:
    """Return how far actions may lie from the middle without violating a limit."""
    middle = rest_value(channel)
    reach = SHARE * (channel.high - channel.low)
    distance = min(channel.high - middle, middle - channel.low)
    bounds = [reach, distance if distance > 0 else reach]
    # Actions may go from one end to the other within a period, and back in the next.
    if channel.velocity is not None:
        bounds.append(channel.velocity * DT_S / 2)
    if channel.acceleration is not None:
        bounds.append(channel.acceleration * DT_S ** 2 / 4)
    if channel.jump is not None:
        bounds.append(channel.jump / 2)
    return 0.95 * min(bounds)

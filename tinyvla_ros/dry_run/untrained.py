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
from safetensors.numpy import load_file

from tinyvla_ros.arm.contract import Channel, RobotContract
from tinyvla_ros.arm.observation.assembler import EE_STATE
from tinyvla_ros.core.errors import CheckpointError, InputError
from tinyvla_ros.core.files import NORMALIZER
from tinyvla_ros.dry_run.arm import rest_value
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


def write_untrained_checkpoint(contract: RobotContract, directory: str | Path,
                               config: PolicyConfig | None = None) -> None:
    """Write a small random network that fits a robot and hardly moves it.

    Its actions lie around the middle of each range (around zero for velocities and increments),
    so close to it that no sample violates a limit of the contract.

    ``config`` defaults to ``untrained_config``; the directory is created if needed.

    Raises:
        InputError: the contract names no state, or torch is not installed.
    """
    try:
        import diffusers  # noqa: F401
        import torch
    except ModuleNotFoundError as err:
        raise InputError(f"An untrained checkpoint is made with {err.name}, which is not "
                         "installed; give --checkpoint DIR, or type: pip install torch diffusers."
                         ) from None

    from tinyvla_ros.policy.checkpoint import save_checkpoint
    from tinyvla_ros.policy.model import PolicyNetwork
    from tinyvla_ros.policy.normalizer import Normalizer

    config = config or untrained_config(contract)
    channels = contract.actions.values()
    middle = np.array([rest_value(c) for c in channels], np.float32)
    reach = np.array([_reach(c) for c in channels], np.float32)
    state = torch.tensor(list(start_state(contract, config, Path("nowhere")).values()))
    normalizer = Normalizer(state, torch.ones_like(state), torch.from_numpy(middle - reach),
                            torch.from_numpy(middle + reach))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = PolicyNetwork(config)
    save_checkpoint(directory, config, network.state_dict(), normalizer, {})


def untrained_config(contract: RobotContract) -> PolicyConfig:
    """Return the configuration of a small policy that fits a robot.

    Raises:
        InputError: the contract names no state.
    """
    state = [c.state for c in contract.actions.values() if c.state]
    if contract.joint_states is not None:
        state += contract.joint_states.names
    if contract.ee_pose is not None:
        state += EE_STATE
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
        "instructions": [INSTRUCTION],
        "model": {"image_channels": 8, "keypoints": 4, "instruction_dim": 4, "condition_dim": 16,
                  "denoiser_channels": [8, 16, 16]},
        "diffusion": {"sample_steps": 4}})


def temporary_checkpoint(contract: RobotContract) -> Path:
    """Write an untrained checkpoint to a directory that lasts as long as this process."""
    directory = tempfile.TemporaryDirectory(prefix="tinyvla-dry-run-")
    atexit.register(directory.cleanup)
    write_untrained_checkpoint(contract, directory.name)
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

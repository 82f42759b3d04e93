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

"""A random network that fits a robot, as a checkpoint that torch runs."""

from __future__ import annotations

from pathlib import Path

import torch

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.dry_run.untrained import action_range, start_state, untrained_config
from tinyvla_ros.policy.checkpoint import save_checkpoint
from tinyvla_ros.policy.config import PolicyConfig
from tinyvla_ros.policy.model import PolicyNetwork
from tinyvla_ros.policy.normalizer import Normalizer


def write_random_network(contract: RobotContract, directory: Path,
                         config: PolicyConfig | None = None) -> None:
    """Write a random network whose actions violate no limit of the contract.

    ``config`` defaults to ``untrained_config``; the directory is created if needed.
    """
    config = config or untrained_config(contract)
    state = torch.tensor(list(start_state(contract, config, Path("nowhere")).values()))
    low, high = map(torch.from_numpy, action_range(contract))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = PolicyNetwork(config)
    save_checkpoint(directory, config, network.state_dict(),
                    Normalizer(state, torch.ones_like(state), low, high), {})

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

"""The first inference of a policy, before the arm depends on it."""

from __future__ import annotations

from functools import partial

import numpy as np

from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.types import Observation
from tinyvla_ros.core.worker import Worker
from tinyvla_ros.policy.config import PolicyConfig
from tinyvla_ros.policy.policy import Policy

WARM_UP_S = 60.0  # for the first inference


def blank_observation(config: PolicyConfig) -> Observation:
    """Return an observation in which nothing is seen."""
    images = {n: np.zeros((c.height, c.width, 3), np.uint8) for n, c in config.cameras.items()}
    return Observation(1, images, dict.fromkeys(config.state, 0.0), config.instructions[0])


def warm_up(policy: Policy, worker: Worker, device: str) -> None:
    """Infer once in the inference thread, so that the first chunk is not the slowest.

    Args:
        policy: the policy.
        worker: the thread that will infer.
        device: of the policy, for messages.

    Raises:
        InputError: it takes too long.
        Exception: what the inference raised.
    """
    failures = []
    observation = blank_observation(policy.config)

    def infer(policy: Policy) -> None:
        try:
            policy.infer(observation)
        except Exception as err:
            failures.append(err)

    worker.start(partial(infer, policy))
    if not worker.wait(WARM_UP_S):
        raise InputError(f"The first inference takes more than {WARM_UP_S:g} s on {device}; use "
                         "another device, or fewer DDIM steps.")
    if failures:
        raise failures[0]

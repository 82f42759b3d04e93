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

"""What the encoder of a policy sees in recorded episodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.bags.commander import read_commanders
from tinyvla_ros.bags.reader import Bag, find_bags
from tinyvla_ros.bags.replay import recorded_chunks
from tinyvla_ros.bags.topics import contract_of
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.ros.commander import HUMAN
from tinyvla_ros.core.types import Observation
from tinyvla_ros.policy.backends.backend import NetworkInputs
from tinyvla_ros.policy.backends.compiled_inputs import CompiledInputs, observation_inputs
from tinyvla_ros.policy.checkpoint import Checkpoint
from tinyvla_ros.policy.export.raw_network import RawEncoder
from tinyvla_ros.policy.model.condition import vector_of
from tinyvla_ros.policy.policy import Policy
from training.data.dataset import load_demonstrations
from training.jobs.progress import progress_bar

# Of a demonstration a frame is looked at so often, s: neighbors look alike.
DEMONSTRATION_STEP_S = 0.05


@dataclass(frozen=True)
class WatchedEpisode:
    """An episode as the policy's encoder sees it.

    Attributes:
        name: for messages.
        features: (observations, condition_dim) float32.
        stamps_ns: (observations,) int64, rising.
        success: how it ended.
        instruction: that the policy followed.
        is_demonstration: whether somebody else than the policy acted.
    """

    name: str
    features: np.ndarray
    stamps_ns: np.ndarray
    success: bool
    instruction: str = ""
    is_demonstration: bool = False


def shuffled(episodes: Sequence[WatchedEpisode]) -> list[WatchedEpisode]:
    """Return episodes so that every n-th of them is a fair sample: by instruction, then by chance.

    Not by the order of the names: tasks may take turns in it.
    """
    drawn = [episodes[i] for i in np.random.default_rng(0).permutation(len(episodes))]
    return sorted(drawn, key=lambda episode: episode.instruction)


class Watcher:
    """Computes what the encoder of a checkpoint sees.

    Attributes:
        left_out: why recorded episodes were not taken -> how many.

    Args:
        checkpoint: loaded.
    """

    def __init__(self, checkpoint: Checkpoint):
        self.checkpoint = checkpoint
        self._policy = Policy(checkpoint, backend="torch")
        self._encoder = RawEncoder(checkpoint).eval()
        self._inputs = CompiledInputs(checkpoint.config)
        self._names = observation_inputs(checkpoint.config)
        self.left_out: Counter[str] = Counter()

    def features(self, observation: Observation, past: Sequence[Observation] = ()) -> np.ndarray:
        """Return (condition_dim,) float32 of an observation and those before it."""
        return self.encode(self._policy.network_inputs(observation, past=past)[1])

    @torch.inference_mode()
    def encode(self, inputs: NetworkInputs) -> np.ndarray:
        """Return (condition_dim,) float32 of what the network is given."""
        feed = self._inputs(inputs)
        values = [torch.from_numpy(np.ascontiguousarray(feed[name])) for name in self._names]
        cameras = len(self.checkpoint.config.cameras)
        condition = self._encoder(values[:cameras], values[cameras], values[cameras + 1:])
        return vector_of(condition)[0].numpy().copy()

    def recorded(self, bags: Sequence[Path], robot: Path | None = None
                 ) -> Iterator[WatchedEpisode]:
        """Yield recorded episodes whose outcome is known and the policy's own.

        Args:
            bags: or folders of them.
            robot: contract; None for the one in each bag.

        Raises:
            InputError: a bag was recorded with another checkpoint.
        """
        config = self.checkpoint.config
        contract = RobotContract.load(robot) if robot else None
        # One that is given twice would be like itself.
        paths = list({path.resolve(): path for path in find_bags(*bags)}.values())
        for path in progress_bar(paths, unit="bag", desc="episodes"):
            with Bag(path) as bag:
                outcome = bag.custom.get("outcome", "")
                if outcome not in ("success", "failure"):
                    self.left_out["with no outcome"] += 1
                    continue
                if HUMAN in read_commanders(bag).commanders.shares(bag.start_ns, bag.end_ns):
                    self.left_out["in which a person helped"] += 1
                    continue
                digest = bag.custom.get("checkpoint_digest", "")
                if digest != self.checkpoint.digest:
                    raise InputError(
                        f"{path} was recorded with checkpoint {digest or 'unknown'}, and this is "
                        f"{self.checkpoint.digest}; leave it out, or record episodes of this one.")
                seen = [(chunk.stamp_ns, self.features(observation, past),
                         observation.instruction)
                        for chunk, observation, past in
                        recorded_chunks(bag, config, contract_of(bag, contract))
                        if observation is not None]
            if not seen:
                self.left_out["whose observations are not all in the bag"] += 1
            else:
                stamps, features, words = zip(*sorted(seen, key=lambda one: one[0]), strict=True)
                yield WatchedEpisode(str(path), np.array(features, np.float32),
                                     np.array(stamps, np.int64), outcome == "success", words[-1])

    def demonstrated(self, dataset: Path) -> Iterator[WatchedEpisode]:
        """Yield the episodes of a dataset, all of them successes.

        Raises:
            InputError: it does not fit the checkpoint, or the checkpoint uses past observations.
        """
        config = self.checkpoint.config
        if config.past_stamps(0):
            raise InputError(f"Checkpoint {self.checkpoint.path} uses past observations, which "
                             "are not taken from --data; leave --data out.")
        data = load_demonstrations(dataset, config.cameras, config.state, config.action)
        period = data.actions.shape[1] * config.action.dt
        step = max(1, round(DEMONSTRATION_STEP_S / period))
        noise = self._policy.noise(0)
        bounds = list(zip(data.starts, data.ends, strict=True))
        for number, (start, end) in enumerate(progress_bar(
                bounds, unit="episode", desc="demonstrations")):
            frames = range(start, end, step)
            task = data.tasks[data.task_index[start]]
            words = np.array([config.wording_index(task)], np.int64)
            features = [self.encode(NetworkInputs(
                [data.images[f, c][None] for c in range(len(config.cameras))],
                data.states[f][None], words, noise)) for f in frames]
            stamps = [round((f - start) * period * 1e9) for f in frames]
            yield WatchedEpisode(f"{dataset}, episode {number}", np.array(features, np.float32),
                                 np.array(stamps, np.int64), True, task, is_demonstration=True)

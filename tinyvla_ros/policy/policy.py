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

"""The policy as the rest of the system sees it: ``infer(observation) -> chunk``, ``reset()``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from tinyvla_ros.core.angles import nearest, wrapped
from tinyvla_ros.core.errors import InputError, UnknownInstructionError
from tinyvla_ros.core.image_transform import crop_and_shrink
from tinyvla_ros.core.types import ActionChunk, Observation, Prefix
from tinyvla_ros.policy.checkpoint import Checkpoint, load_checkpoint
from tinyvla_ros.policy.language_config import TokenizedWords, fold

# Wordings whose embedding is kept; beyond, all are computed again.
MAX_CACHED = 1000


class Policy:
    """A trained diffusion policy.

    The sampler's noise depends on (seed, observation stamp) only, so the same observation, with
    the same past, gives the same chunk on the same machine. Nothing is remembered between chunks.

    Args:
        checkpoint: a checkpoint directory, or one already loaded.
        device: torch device, for example ``cpu`` or ``cuda``.
        seed: policy seed.
        threads: CPU threads for torch, process-wide. One is the default: the network is small,
            and the same count everywhere makes results bit-identical between processes.
        sample_steps: steps of the sampler, None for the checkpoint's own.
        ignore_instruction: act as if no instruction were given, to measure what words add.

    Raises:
        CheckpointError: the directory cannot be used.
        InputError: the device does not exist, or an argument is out of range.
    """

    def __init__(self, checkpoint: str | Path | Checkpoint, device: str = "cpu", seed: int = 0,
                 threads: int = 1, sample_steps: int | None = None,
                 ignore_instruction: bool = False):
        if threads < 1:
            raise InputError(f"Threads is {threads}; give a number of at least 1.")
        torch.set_num_threads(threads)
        self.device = find_device(device)
        if not isinstance(checkpoint, Checkpoint):
            checkpoint = load_checkpoint(checkpoint)
        self.config = checkpoint.config
        self.digest = checkpoint.digest
        self.seed = seed
        self.network = checkpoint.network.to(self.device)
        self._normalizer = checkpoint.normalizer.to(self.device)
        if sample_steps is not None:
            most = self.config.diffusion.train_steps
            if not 1 <= sample_steps <= most:
                raise InputError(f"Sample steps is {sample_steps}; give a number from 1 to {most}."
                                 )
            self.network.set_sample_steps(sample_steps)
        self._ignore_instruction = ignore_instruction
        self._encoded: dict[str, torch.Tensor] = {}
        self._turns, self._state_turns = self.config.action_turns, self.config.state_turns
        low, high = (np.array(v, np.float32) for v in (self.config.action.low,
                                                       self.config.action.high))
        # What turns without end has no range.
        self._low = np.where(self._turns, np.float32(-np.inf), low)
        self._high = np.where(self._turns, np.float32(np.inf), high)

    def reset(self) -> None:
        """Forget the past (an episode ends). This policy keeps none."""

    @torch.inference_mode()
    def infer(self, observation: Observation, prefix: Prefix | None = None,
              past: Sequence[Observation] = ()) -> ActionChunk:
        """Compute the chunk that follows an observation.

        Args:
            observation: must hold every camera and state name of the checkpoint; extra ones are
                ignored.
            prefix: what the chunk must continue, for real-time chunking; rows of weight 1 are
                returned unchanged.
            past: earlier observations, for a checkpoint that uses some; the ones nearest to
                ``config.past_stamps`` are taken. Without them this one is used for all, as at
                the start of an episode.

        Returns:
            Actions within the checkpoint's limits, stamped with the observation's time.

        Raises:
            UnknownInstructionError: the instruction is none the checkpoint can take.
            InputError: a camera or state is missing, or a state is not finite.
        """
        start = time.perf_counter()
        config = self.config
        words = self._words(observation.instruction)
        # One row, or as many as the checkpoint uses.
        seen = [*self._past(observation, past), observation]
        state = torch.from_numpy(np.stack([self._state(o) for o in seen])).to(self.device)
        images = [torch.cat([self._image(o, name) for o in seen]) for name in config.cameras]
        condition = self.network.encode(images, self._normalizer.state(state), words)
        noise = self.noise(observation.stamp_ns).to(self.device)
        if prefix is not None:
            prefix = self._near_state(prefix, seen[-1])
        known = () if prefix is None else self._known(prefix)
        actions = self._normalizer.to_action(self.network.sample(condition, noise, *known))[0]
        actions = actions.float().cpu().numpy()
        if not np.isfinite(actions).all():
            raise InputError("The policy produced non-finite actions; the checkpoint "
                             f"{self.digest} is unusable, choose another.")
        actions = np.clip(actions, self._low, self._high)
        if prefix is not None:  # not up to rounding: exactly
            committed = prefix.weights >= 1.0
            actions[committed] = prefix.actions[committed]
        return ActionChunk(observation.stamp_ns, config.action.channels, actions,
                           config.action.dt, time.perf_counter() - start)

    def match_instruction(self, instruction: str) -> str:
        """Return the known wording that an instruction matches, or is most similar to.

        Raises:
            UnknownInstructionError: it is similar to none.
            InputError: it is empty, too long or no plain text, or its encoder is unavailable.
        """
        try:
            return self.config.wordings[self.config.wording_index(instruction)]
        except UnknownInstructionError:
            if not self.config.takes_new_wordings:
                raise
        if isinstance(self.config.language, TokenizedWords):
            return self._match_tokens(instruction)
        from tinyvla_ros.policy.language import embed, nearest

        language, known = self.config.language, self.network.encoder.instruction.weight
        vector = embed(language, [instruction])[0]
        like = nearest(language, instruction, vector, self.config.wordings, known.cpu().numpy())
        self._encoded[fold(instruction)] = torch.from_numpy(vector)[None].to(self.device)
        return like

    def _match_tokens(self, instruction: str) -> str:
        """Tokenize any words; return the known wording most similar to them."""
        from tinyvla_ros.policy.tokens import most_like, tokenize

        path = self.network.encoder.backbone.path
        tokens = tokenize(self.config.language, path, [instruction])
        self._encoded[fold(instruction)] = tokens.to(self.device)
        return most_like(instruction, self.config.wordings)

    def noise(self, stamp_ns: int) -> torch.Tensor:
        """Return the (1, *noise_shape) float32 noise of the observation with this stamp."""
        entropy = (self.seed & (2**64 - 1), stamp_ns & (2**64 - 1))
        generator = np.random.Generator(np.random.PCG64(entropy))
        shape = (1, *self.network.noise_shape)
        return torch.from_numpy(generator.standard_normal(shape, np.float32))

    def _words(self, instruction: str) -> torch.Tensor:
        """Return the network's input for an instruction: row, embedding or tokens."""
        if self._ignore_instruction:
            return torch.tensor([-1], device=self.device)
        folded = fold(instruction)
        if folded not in self._encoded:
            if len(self._encoded) > MAX_CACHED:
                self._encoded.clear()
            known = self.match_instruction(instruction)
            if folded not in self._encoded:
                self._encoded[folded] = torch.tensor([self.config.wording_index(known)],
                                                     device=self.device)
        return self._encoded[folded]

    def _near_state(self, prefix: Prefix, observation: Observation) -> Prefix:
        """Return a prefix whose continuous channels count the turns of the state."""
        if not self._turns.any():
            return prefix
        state = dict(zip(self.config.state, self._state(observation), strict=True))
        near = [state.get(self.config.action.continuous.get(c, ""), 0.0)
                for c in self.config.action.channels]
        first = prefix.actions[0]
        shift = nearest(first, np.array(near), self._turns) - first
        return Prefix((prefix.actions + shift).astype(np.float32), prefix.weights)

    def _known(self, prefix: Prefix) -> tuple[torch.Tensor, torch.Tensor]:
        actions = torch.from_numpy(prefix.actions).to(self.device)
        weights = torch.from_numpy(prefix.weights).to(self.device)
        return self._normalizer.action(actions)[None], weights[None, :, None]

    def _past(self, observation: Observation, past: Sequence[Observation]) -> list[Observation]:
        """Return the past observations the checkpoint uses, oldest first."""
        now = observation.stamp_ns
        candidates = sorted((*(o for o in past if o.stamp_ns < now), observation),
                            key=lambda o: o.stamp_ns)
        # Of two at the same distance the older one, so that something moves.
        return [min(candidates, key=lambda o, at=stamp: abs(o.stamp_ns - at))
                for stamp in self.config.past_stamps(now)]

    def _state(self, observation: Observation) -> np.ndarray:
        missing = [n for n in self.config.state if n not in observation.state]
        if missing:
            raise InputError(f"The observation lacks state {missing[0]!r}; the checkpoint needs "
                             f"{', '.join(self.config.state)}.")
        state = np.array([observation.state[n] for n in self.config.state], np.float32)
        if not np.isfinite(state).all():
            bad = self.config.state[int(np.argmin(np.isfinite(state)))]
            raise InputError(f"State {bad!r} is {observation.state[bad]}; it must be finite.")
        if self._state_turns.any():
            state = wrapped(state, self._state_turns).astype(np.float32)
        return state

    def _image(self, observation: Observation, name: str) -> torch.Tensor:
        if name not in observation.images:
            raise InputError(f"The observation lacks camera {name!r}; the checkpoint needs "
                             f"{', '.join(self.config.cameras)}.")
        spec = self.config.cameras[name]
        image = crop_and_shrink(observation.images[name], spec.crop, spec.height, spec.width)
        pixels = torch.from_numpy(np.ascontiguousarray(image))
        return to_network_image(pixels.to(self.device)[None])


def to_network_image(images: torch.Tensor) -> torch.Tensor:
    """Map (B, H, W, 3) uint8 to (B, 3, H, W) float in [-1, 1]."""
    images = images.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
    return images.div_(127.5).sub_(1.0)


def find_device(name: str) -> torch.device:
    """Return a torch device, or raise ``InputError`` if this machine does not have it."""
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise InputError(f"Unknown device {name!r}; give 'cpu', 'cuda' or 'cuda:N'.")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device.type == "cuda" and (device.index or 0) >= count:
        others = f" or 'cuda:0' to 'cuda:{count - 1}'" if count else ""
        raise InputError(f"Device {name!r} is not available on this machine; use 'cpu'{others}.")
    return device

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

from tinyvla_ros.core.angles import nearest, wrapped
from tinyvla_ros.core.errors import InputError, UnknownInstructionError
from tinyvla_ros.core.image_transform import crop_and_shrink
from tinyvla_ros.core.types import ActionChunk, Observation, PolicyImage, Prefix
from tinyvla_ros.policy.backends.backend import BackendName, NetworkInputs
from tinyvla_ros.policy.backends.choose import choose_backend, make_backend
from tinyvla_ros.policy.language_config import TokenizedWords, fold
from tinyvla_ros.policy.saved_checkpoint import SavedCheckpoint

# Wordings whose embedding is kept; beyond, all are computed again.
MAX_CACHED = 1000


class Policy:
    """A trained diffusion policy.

    The sampler's noise depends on (seed, observation stamp) only, so the same observation, with
    the same past, gives the same chunk on the same machine and backend. Nothing is remembered
    between chunks. Nothing here needs torch: the network is behind a backend.

    Attributes:
        config: the checkpoint's configuration.
        checkpoint: its directory, as it was read.
        digest: of the checkpoint, see ``checkpoint_digest``.
        backend: which one runs the network, its version, and its sampling steps.

    Args:
        checkpoint: a checkpoint directory, or one already read or loaded.
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        seed: policy seed.
        threads: CPU threads of the network, in torch process-wide. One is the default: the
            network is small, and the same count everywhere makes results bit-identical between
            processes.
        sample_steps: steps of the sampler, None for those of ``policy.onnx`` where that is run,
            the checkpoint's own otherwise.
        ignore_instruction: act as if no instruction were given, to measure what words add.
        backend: what runs the network; ``auto`` decides by the device and the checkpoint.

    Raises:
        CheckpointError: the directory cannot be used.
        InputError: the device or the backend is not available here, or an argument is out of
            range.
    """

    def __init__(self, checkpoint: str | Path | SavedCheckpoint, device: str = "cpu",
                 seed: int = 0, threads: int = 1, sample_steps: int | None = None,
                 ignore_instruction: bool = False, backend: BackendName = "auto"):
        if threads < 1:
            raise InputError(f"Threads is {threads}; give a number of at least 1.")
        if not isinstance(checkpoint, SavedCheckpoint):
            checkpoint = SavedCheckpoint.read(checkpoint)
        self.config = checkpoint.config
        self.digest = checkpoint.digest
        self.seed = seed
        self.backend = choose_backend(checkpoint, backend, device, sample_steps)
        self._network = make_backend(self.backend, checkpoint, device, threads)
        self.checkpoint = checkpoint
        self._ignore_instruction = ignore_instruction
        self._encoded: dict[str, np.ndarray] = {}
        self._uses_past = bool(self.config.past_stamps(0))
        self._turns, self._state_turns = self.config.action_turns, self.config.state_turns
        low, high = (np.array(v, np.float32) for v in (self.config.action.low,
                                                       self.config.action.high))
        self._origins = self.config.action_origins
        self._is_relative = self._origins >= 0
        # What turns without end has no range.
        self._low = np.where(self._turns, np.float32(-np.inf), low)
        self._high = np.where(self._turns, np.float32(np.inf), high)

    def reset(self) -> None:
        """Forget the past (an episode ends). This policy keeps none."""

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
        prefix, inputs = self.network_inputs(observation, prefix, past)
        actions = self._network.infer(inputs)
        if self._is_relative.any():
            actions = actions + self._origin(inputs.state[-1])
        if not np.isfinite(actions).all():
            raise InputError("The policy produced non-finite actions; the checkpoint "
                             f"{self.digest} is unusable, choose another.")
        actions = np.clip(actions, self._low, self._high)
        if prefix is not None:  # not up to rounding: exactly
            committed = prefix.weights >= 1.0
            actions[committed] = prefix.actions[committed]
        return ActionChunk(observation.stamp_ns, config.action.channels, actions,
                           config.action.dt, time.perf_counter() - start)

    def network_inputs(self, observation: Observation, prefix: Prefix | None = None,
                       past: Sequence[Observation] = ()) -> tuple[Prefix | None, NetworkInputs]:
        """Return what ``infer`` gives to the backend, and the prefix it keeps to.

        Raises:
            UnknownInstructionError, InputError: as ``infer``.
        """
        words = self._words(observation.instruction)
        # One row, or as many as the checkpoint uses.
        seen = [*self._past(observation, past), observation] if self._uses_past else [observation]
        state = _rows([self._state(o) for o in seen])
        images = [_rows([self._image(o, name) for o in seen]) for name in self.config.cameras]
        if prefix is not None:
            prefix = self._near_state(prefix, seen[-1])
        known = (None, None) if prefix is None else (prefix.actions, prefix.weights)
        if prefix is not None and self._is_relative.any():
            known = (prefix.actions - self._origin(state[-1]), prefix.weights)
        return prefix, NetworkInputs(images, state, words, self.noise(observation.stamp_ns),
                                     *known)

    def _origin(self, state: np.ndarray) -> np.ndarray:
        """Return (channels,) float32 what the network's actions count from in a (state,) state."""
        return np.where(self._is_relative, state[self._origins], np.float32(0.0))

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

        language, known = self.config.language, self.checkpoint.known_embeddings()
        vector = embed(language, [instruction])[0]
        like = nearest(language, instruction, vector, self.config.wordings, known)
        self._encoded[fold(instruction)] = vector[None]
        return like

    def _match_tokens(self, instruction: str) -> str:
        """Tokenize any words; return the known wording most similar to them."""
        from tinyvla_ros.policy.tokens import most_like, tokenize

        path = self._network.network.encoder.backbone.path  # read by torch only
        tokens = tokenize(self.config.language, path, [instruction])
        self._encoded[fold(instruction)] = tokens
        return most_like(instruction, self.config.wordings)

    def noise(self, stamp_ns: int) -> np.ndarray:
        """Return the (1, *noise_shape) float32 noise of the observation with this stamp."""
        entropy = (self.seed & (2**64 - 1), stamp_ns & (2**64 - 1))
        generator = np.random.Generator(np.random.PCG64(entropy))
        return generator.standard_normal((1, *self._network.noise_shape), np.float32)

    def _words(self, instruction: str) -> np.ndarray:
        """Return the network's input for an instruction: row, embedding or tokens."""
        if self._ignore_instruction:
            return np.array([-1], np.int64)
        folded = fold(instruction)
        if folded not in self._encoded:
            if len(self._encoded) > MAX_CACHED:
                self._encoded.clear()
            known = self.match_instruction(instruction)
            if folded not in self._encoded:
                self._encoded[folded] = np.array([self.config.wording_index(known)], np.int64)
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

    def _image(self, observation: Observation, name: str) -> np.ndarray:
        if name not in observation.images:
            raise InputError(f"The observation lacks camera {name!r}; the checkpoint needs "
                             f"{', '.join(self.config.cameras)}.")
        image, spec = observation.images[name], self.config.cameras[name]
        if isinstance(image, PolicyImage):
            return image.pixels
        return crop_and_shrink(image, spec.crop, spec.height, spec.width)


def _rows(arrays: list[np.ndarray]) -> np.ndarray:
    """Return arrays as rows of one, without a copy if there is one."""
    return np.ascontiguousarray(arrays[0])[None] if len(arrays) == 1 else np.stack(arrays)

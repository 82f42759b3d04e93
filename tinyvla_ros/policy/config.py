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

"""A checkpoint's ``config.json``: observations, actions, architecture, diffusion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Protocol

import numpy as np
from pydantic import Field, model_validator

from tinyvla_ros.core.configuration import Config, parse, read_json
from tinyvla_ros.core.errors import (
    CheckpointError,
    InputError,
    UnknownInstructionError,
    unknown,
)
from tinyvla_ros.core.files import CONFIG
from tinyvla_ros.policy.config_format import FORMAT, of_this_format
from tinyvla_ros.policy.language_config import LanguageConfig, LearnedTable, check_text, fold
from tinyvla_ros.policy.lerobot_config import LeRobotDiffusionConfig
from tinyvla_ros.policy.model_config import ModelConfig, check_language


class CameraSpec(Config):
    """What the policy sees of one camera.

    Attributes:
        height: rows of the image the network gets; larger input is shrunk by area averaging.
        width: columns likewise.
        crop: (left, top, right, bottom) as fractions of the incoming image, or null for all.
    """

    height: int = Field(ge=16, le=4096)
    width: int = Field(ge=16, le=4096)
    crop: tuple[float, float, float, float] | None = None

    @model_validator(mode="after")
    def _crop_is_a_box(self):
        if self.crop is not None:
            left, top, right, bottom = self.crop
            if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
                raise ValueError("crop must be left < right and top < bottom within [0, 1]")
        return self


class ActionSpec(Config):
    """Action channels and their timing.

    ::

        observation at stamp t
        |  action 0  |  action 1  | ... | action horizon-1 |      each lasts dt
        |<-- n_action_steps executed -->|  then the next observation (lock-step)

    Attributes:
        channels: names of the columns of a chunk.
        units: unit per channel, free text for people.
        low: smallest valid value per channel.
        high: largest valid value per channel.
        dt: control period in seconds.
        horizon: actions per chunk.
        n_action_steps: actions executed before the next chunk in lock-step.
        continuous: channel -> the state that measures it, for joints that turn without end.
            Training takes it from the data. Such actions go on from the state, beyond a half turn
            too, and ``low`` and ``high`` do not count.
        relative: channel -> the state that it counts from in the network: its output is the
            difference. Where the arm is need not be learned then, only where to go from there:
            for positions of joints.
    """

    old_names: ClassVar[Mapping[str, str]] = {"execute_steps": "n_action_steps"}

    channels: tuple[str, ...] = Field(min_length=1)
    units: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    dt: float = Field(gt=0.0, le=10.0)
    horizon: int = Field(ge=4, le=256)
    n_action_steps: int = Field(ge=1)
    continuous: dict[str, str] = {}
    relative: dict[str, str] = {}

    @model_validator(mode="after")
    def _relative_channels_are_known(self):
        for name in self.relative:
            if name not in self.channels:
                raise ValueError("relative: " + unknown("channel", name, self.channels))
            if name in self.continuous:
                raise ValueError(f"channel {name!r} is continuous and relative; a continuous one "
                                 "goes on from the state anyway, leave relative out")
        return self

    @model_validator(mode="after")
    def _lengths_agree(self):
        for name in ("units", "low", "high"):
            if len(getattr(self, name)) != len(self.channels):
                raise ValueError(f"{name} has {len(getattr(self, name))} entries for "
                                 f"{len(self.channels)} channels; give one per channel")
        if any(not low < high for low, high in zip(self.low, self.high, strict=True)):
            raise ValueError("every entry of low must be below its entry of high")
        if self.n_action_steps > self.horizon:
            raise ValueError(f"n_action_steps {self.n_action_steps} exceeds horizon "
                             f"{self.horizon}")
        return self


def check_sizes(cameras: Mapping[str, CameraSpec], action: ActionSpec) -> None:
    """Check that images and chunks can be halved as often as our network does.

    Raises:
        ValueError: an image's height or width, or the horizon.
    """
    for name, camera in cameras.items():
        for side in ("height", "width"):
            if getattr(camera, side) % 8:
                raise ValueError(f"cameras.{name}.{side} is {getattr(camera, side)}; it must be a "
                                 "multiple of 8, for the network halves it three times")
    if action.horizon % 4:
        raise ValueError(f"action.horizon is {action.horizon}; it must be a multiple of 4, for "
                         "the denoiser halves it twice")


def check_relative(action: ActionSpec, state: Sequence[str]) -> None:
    """Check that what channels count from is among the states.

    Raises:
        ValueError: it is not.
    """
    for channel, measured in action.relative.items():
        if measured not in state:
            raise ValueError(f"action.relative of channel {channel!r}: "
                             + unknown("state", measured, state))


def check_committed(model: ModelConfig, action: ActionSpec) -> None:
    """Check that a chunk goes on beyond the rows that may be given.

    Raises:
        ValueError: it does not.
    """
    if model.committed_rows + action.n_action_steps > action.horizon:
        raise ValueError(f"model.committed_rows is {model.committed_rows}, and n_action_steps "
                         f"{action.n_action_steps} more do not fit the horizon {action.horizon}")


class DiffusionConfig(Config):
    """Noise schedule and sampling.

    Attributes:
        prediction: what the denoiser predicts (diffusers' ``prediction_type``).
        schedule: diffusers' ``beta_schedule``.
        train_steps: length of the noise schedule.
        sample_steps: steps of the sampler at inference.
        spacing: diffusers' ``timestep_spacing``: which levels of noise they are taken at.
            ``trailing`` begins with pure noise, so that one or two steps are enough; ``leading``
            is what checkpoints from before there was a choice have.
    """

    prediction: Literal["sample", "epsilon", "v_prediction"] = "sample"
    schedule: Literal["squaredcos_cap_v2", "linear", "scaled_linear"] = "squaredcos_cap_v2"
    train_steps: int = Field(100, ge=2, le=10000)
    sample_steps: int = Field(10, ge=1, le=1000)
    spacing: Literal["leading", "trailing"] = "leading"

    @model_validator(mode="after")
    def _steps_fit(self):
        if self.sample_steps > self.train_steps:
            raise ValueError(f"sample_steps {self.sample_steps} exceeds train_steps "
                             f"{self.train_steps}")
        return self


class DriverConfig(Protocol):
    """What observations and plans depend on, of a policy or of a person who drives the arm.

    Attributes:
        cameras: camera name -> what is seen of it; none for a person.
        state: names of the measured values.
        action: action channels and timing.
        most_committed: most rows of a chunk that can be given as already committed.
    """

    @property
    def cameras(self) -> Mapping[str, CameraSpec]: ...

    @property
    def state(self) -> tuple[str, ...]: ...

    @property
    def action(self) -> ActionSpec: ...

    @property
    def most_committed(self) -> int: ...

    def past_stamps(self, stamp_ns: int) -> tuple[int, ...]:
        """Return the stamps of the past observations that are used too, oldest first."""


class PolicyConfig(Config):
    """The whole of ``config.json``.

    Attributes:
        format: version of the checkpoint format.
        cameras: camera name -> what the policy sees of it, in network order.
        state: state names, in network order (real joint names, ``ee_x`` ...).
        continuous: state of a joint that turns without end -> one turn in its unit. The network
            gets it in (-turn/2, turn/2]. Training takes it from the data.
        action: action channels and timing.
        instructions: what the policy was trained to do, one wording per task.
        paraphrases: instruction -> other wordings it was trained on.
        language: how instructions are read.
        model: which network, and its sizes; ours without a ``kind``.
        diffusion: noise schedule and sampling.
    """

    format: Literal[2] = FORMAT
    cameras: dict[str, CameraSpec] = Field(min_length=1)
    state: tuple[str, ...] = Field(min_length=1)
    continuous: dict[str, Annotated[float, Field(gt=0.0)]] = {}
    action: ActionSpec
    instructions: tuple[str, ...] = Field(min_length=1)
    paraphrases: dict[str, tuple[str, ...]] = {}
    language: LanguageConfig = LearnedTable()
    model: Annotated[ModelConfig | LeRobotDiffusionConfig,
                     Field(discriminator="kind")] = ModelConfig()
    diffusion: DiffusionConfig = DiffusionConfig()

    @classmethod
    def load(cls, checkpoint: str | Path) -> PolicyConfig:
        """Read the configuration of a checkpoint directory; its weights need not be there.

        Raises:
            CheckpointError: there is none, or it does not fit this version.
        """
        path = Path(checkpoint) / CONFIG
        if not path.is_file():
            raise CheckpointError(f"Checkpoint {checkpoint} has no {CONFIG}; give a checkpoint "
                                  "directory.")
        try:
            data = read_json(path)
        except InputError as err:
            raise CheckpointError(str(err)) from None
        return parse(cls, of_this_format(data, path), str(path), CheckpointError)

    @model_validator(mode="before")
    @classmethod
    def _kind_has_a_default(cls, data):
        # Checkpoints from before there were kinds do not name theirs.
        if isinstance(data, dict) and isinstance(data.get("model"), dict):
            return data | {"model": {"kind": "tinyvla"} | data["model"]}
        return data

    @model_validator(mode="after")
    def _sizes_fit_the_network(self):
        model = self.model
        if isinstance(model, ModelConfig):
            check_sizes(self.cameras, self.action)
            check_committed(model, self.action)
            check_language(model.encoder, self.language)
            return self
        if self.action.horizon != model.rows:
            raise ValueError(f"action.horizon is {self.action.horizon}; model.horizon and "
                             f"n_obs_steps leave {model.rows} rows")
        if self.diffusion.prediction == "v_prediction":
            raise ValueError("diffusion.prediction is 'v_prediction'; this network predicts "
                             "'epsilon' or 'sample'")
        return self

    @model_validator(mode="after")
    def _names_are_unique(self):
        for field, names in (("state", self.state), ("action.channels", self.action.channels),
                             ("instructions", self.instructions),
                             ("instructions and paraphrases", [fold(w) for w in self.wordings])):
            if len(set(names)) != len(names):
                raise ValueError(f"{field} names something twice")
        return self

    @model_validator(mode="after")
    def _continuous_names_are_known(self):
        for name in self.continuous:
            if name not in self.state:
                raise ValueError("continuous: " + unknown("state", name, self.state))
        for channel, state in self.action.continuous.items():
            if channel not in self.action.channels:
                raise ValueError("action.continuous: "
                                 + unknown("channel", channel, self.action.channels))
            if state not in self.continuous:
                raise ValueError(f"action.continuous: the state {state!r} of channel {channel!r} "
                                 "is not in continuous; name it there")
        return self

    @model_validator(mode="after")
    def _relative_states_are_known(self):
        check_relative(self.action, self.state)
        if self.action.relative and not isinstance(self.model, ModelConfig):
            raise ValueError("action.relative is for networks of our own; leave it out")
        return self

    @property
    def action_origins(self) -> np.ndarray:
        """(channels,) index of the state that each channel counts from; -1 for none."""
        found = (self.action.relative.get(c) for c in self.action.channels)
        return np.array([-1 if s is None else self.state.index(s) for s in found])

    @property
    def action_turns(self) -> np.ndarray:
        """(channels,) one turn of channels that turn without end, 0 for others."""
        return np.array([self.continuous.get(self.action.continuous.get(c, ""), 0.0)
                         for c in self.action.channels])

    @property
    def state_turns(self) -> np.ndarray:
        """(len(state),) likewise."""
        return np.array([self.continuous.get(name, 0.0) for name in self.state])

    @model_validator(mode="after")
    def _paraphrases_have_instructions(self):
        for instruction in self.paraphrases:
            if instruction not in self.instructions:
                raise ValueError("paraphrases: " + unknown("instruction", instruction,
                                                           self.instructions))
        return self

    def past_stamps(self, stamp_ns: int) -> tuple[int, ...]:
        """Return the stamps of the past observations that the policy uses, oldest first.

        Args:
            stamp_ns: stamp of the observation to act on, nanoseconds.
        """
        steps = getattr(self.model, "n_obs_steps", 1)
        return tuple(stamp_ns - round(back * self.action.dt * 1e9)
                     for back in range(steps - 1, 0, -1))

    @property
    def most_committed(self) -> int:
        """Most rows of a chunk that the policy can be given as already committed."""
        return getattr(self.model, "committed_rows", 0)

    @property
    def wordings(self) -> tuple[str, ...]:
        """Every known wording: the instructions, then their paraphrases."""
        others = (self.paraphrases.get(i, ()) for i in self.instructions)
        return (*self.instructions, *(wording for group in others for wording in group))

    @property
    def wording_owners(self) -> tuple[int, ...]:
        """Per wording, the index of its instruction."""
        return (*range(len(self.instructions)),
                *(index for index, instruction in enumerate(self.instructions)
                  for _ in self.paraphrases.get(instruction, ())))

    @property
    def takes_new_wordings(self) -> bool:
        """Whether the policy takes words that it was not trained on."""
        return not isinstance(self.language, LearnedTable)

    def instruction_index(self, instruction: str) -> int:
        """Return the instruction of a known wording, ignoring case and extra blanks.

        Raises:
            UnknownInstructionError: lists the known instructions and suggests the nearest.
            InputError: the text is empty, too long or no plain text.
        """
        return self.wording_owners[self.wording_index(instruction)]

    def wording_index(self, text: str) -> int:
        """Return the row of a known wording in ``wordings``; raises as ``instruction_index``."""
        check_text(text)
        folded = fold(text)
        for index, known in enumerate(self.wordings):
            if fold(known) == folded:
                return index
        raise UnknownInstructionError(unknown("instruction", text, self.instructions))

    def check_instruction(self, text: str) -> None:
        """Check as far as can be done without the network; raises as ``instruction_index``."""
        if self.takes_new_wordings:
            check_text(text)
        else:
            self.wording_index(text)

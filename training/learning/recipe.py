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

"""The training configuration (``config/train/*.yaml``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from tinyvla_ros.core.configuration import Config, override, parse, read_yaml
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.policy.config import (
    ActionSpec,
    CameraSpec,
    DiffusionConfig,
    PolicyConfig,
    check_committed,
    check_relative,
    check_sizes,
)
from tinyvla_ros.policy.language_config import LanguageConfig, LearnedTable
from tinyvla_ros.policy.model_config import ModelConfig, check_language
from training.data.turning import Turning


class Initialization(Config):
    """How the denoiser starts; the encoder always starts as torch does.

    Attributes:
        kind: ``unit`` gives outputs of unit scale (``tinyvla_ros.policy.model.denoiser``);
            ``torch`` is what torch's layers do by themselves.
        head_scale: factor on the weights and bias of the last layer; other than 1 only to repeat
            the historical recipe.
    """

    kind: Literal["unit", "torch"] = "unit"
    head_scale: float = Field(1.0, gt=0.0, le=1e6)


class Optimization(Config):
    """How the weights are found.

    Attributes:
        steps: optimizer steps.
        batch_size: observations per step, over all processes together.
        noise_samples: noise draws per observation; the encoder, which costs most, runs once.
        learning_rate: peak of the schedule.
        warmup_steps: linear warm-up, then cosine to ``final_fraction`` of the peak.
        final_fraction: last learning rate as a fraction of the peak; 1 for a constant one.
        weight_decay: AdamW's.
        gradient_norm: gradients are clipped to this norm; null for no clipping.
        loss_scale_above: historical: a loss above this is multiplied by 0.1; null for never.
        ema_decay: decay of the averaged weights, which are the ones evaluated.
        free_share: where the network takes committed rows: share of noise samples without any.
        committed_decay: the others are given from 1 to ``model.committed_rows`` rows, each more
            less often than the one before by the factor ``exp(-1 / committed_decay)``.
        sampled_levels: train only at the levels of noise that the sampler visits, as a
            regression in ``sample_steps`` steps (after MIP, arXiv:2512.01809).
        shift_pixels: random image shift.
        color_jitter: how much brightness, contrast, saturation and the balance of the colors of
            an image vary at random, as a share; 0 for not at all.
        state_noise: standard deviation of what is added at random to the states that the network
            sees, where 1 is how much the state varies in the data; 0 for none. A few
            demonstrations are told apart by exact states, and a policy that learned that does not
            look.
        skip_still: frames are not drawn at which no command of the next rows, half of
            ``n_action_steps``, differs from the one before by more than this share of what its
            channel spans in the data, if the arm moves again later in the episode: who learned
            pauses, pauses for ever. 0 to draw all. For positions that count from a state
            (``action.relative``).
        instruction_dropout: share of observations that come without an instruction.
        precision: ``auto`` uses bfloat16 where the processor or GPU has it.
        compile: run the network through ``torch.compile`` (see docs/training.md).
        future_weight: weight of the auxiliary loss that predicts later states of the episode.
        future_frames: what it predicts: the state so many frames ahead (clamped to the end of
            the episode), at ``end``, or where the channel ``gripper`` next opens or closes.
        validation_fraction: share of episodes held out.
        save_every: steps between saves, from which a run can be resumed.
        snapshot_every: steps between saved policies that stay; 0 keeps only the best and last.
    """

    steps: int = Field(ge=1)
    batch_size: int = Field(64, ge=1)
    noise_samples: int = Field(4, ge=1)
    learning_rate: float = Field(5e-4, gt=0.0, le=1.0)
    warmup_steps: int = Field(500, ge=0)
    final_fraction: float = Field(0.02, ge=0.0, le=1.0)
    weight_decay: float = Field(1e-4, ge=0.0)
    gradient_norm: float | None = Field(1.0, gt=0.0)
    loss_scale_above: float | None = Field(None, gt=0.0)
    ema_decay: float = Field(0.999, ge=0.0, lt=1.0)
    free_share: float = Field(0.3, ge=0.0, le=1.0)
    committed_decay: float = Field(6.0, gt=0.0)
    sampled_levels: bool = False
    shift_pixels: int = Field(3, ge=0, le=32)
    color_jitter: float = Field(0.0, ge=0.0, le=1.0)
    state_noise: float = Field(0.0, ge=0.0, le=1.0)
    skip_still: float = Field(0.0, ge=0.0, lt=1.0)
    instruction_dropout: float = Field(0.0, ge=0.0, lt=1.0)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    compile: bool = False
    future_weight: float = Field(0.5, ge=0.0)
    future_frames: tuple[int | Literal["gripper", "end"], ...] = (2, 4, 8, 16)
    validation_fraction: float = Field(0.04, ge=0.0, lt=1.0)
    save_every: int = Field(250, ge=1)
    snapshot_every: int = Field(0, ge=0)


class Recipe(Config):
    """A training configuration: what the policy sees and does, and how it is trained.

    Attributes:
        cameras: camera name of the data -> what the policy sees of it.
        state: names of the state the policy sees.
        action: action channels and timing.
        model: sizes of the network.
        diffusion: noise schedule and sampling.
        language: how instructions are read.
        paraphrases: instruction -> other wordings; each observation draws one.
        task_weights: instruction -> how often its demonstrations are drawn, against 1 for those
            of the tasks that are not named.
        initialization: how the denoiser starts.
        optimization: how the weights are found.
        seed: of the weights, the batches and the noise.
    """

    old_names: ClassVar[Mapping[str, str]] = {"optimisation": "optimization",
                                              "initialisation": "initialization"}

    cameras: dict[str, CameraSpec] = Field(min_length=1)
    state: tuple[str, ...] = Field(min_length=1)
    action: ActionSpec
    model: ModelConfig = ModelConfig()
    diffusion: DiffusionConfig = DiffusionConfig()
    language: LanguageConfig = LearnedTable()
    paraphrases: dict[str, tuple[str, ...]] = {}
    task_weights: dict[str, Annotated[float, Field(gt=0.0, le=1000.0)]] = {}
    initialization: Initialization = Initialization()
    optimization: Optimization
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _gripper_has_a_channel(self):
        if "gripper" in self.optimization.future_frames and \
                "gripper" not in self.action.channels:
            raise ValueError("future_frames names 'gripper', but no action channel has that name")
        return self

    @model_validator(mode="after")
    def _positions_tell_who_is_still(self):
        if self.optimization.skip_still and not self.action.relative:
            raise ValueError("skip_still is for commands that are positions, and action.relative "
                             "names none; set it to 0")
        return self

    @model_validator(mode="after")
    def _sizes_fit_the_network(self):
        check_sizes(self.cameras, self.action)
        check_committed(self.model, self.action)
        check_relative(self.action, self.state)
        check_language(self.model.encoder, self.language)
        return self

    @classmethod
    def load(cls, path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
        """Read a YAML file; ``overrides`` are settings ``key=value`` that replace its own."""
        data = override(read_yaml(path), overrides, cls)
        recipe = parse(cls, data, " ".join([str(path), *(f"--set {o}" for o in overrides)]))
        if recipe.action.continuous:
            raise InputError(f"{path}: action.continuous is {recipe.action.continuous}, and data "
                             "state that themselves; leave it out, and note it in the features "
                             "of meta/info.json.")
        return recipe

    def policy_config(self, instructions: tuple[str, ...], turning: Turning = Turning()
                      ) -> PolicyConfig:
        """Return the ``config.json`` of the policy this recipe trains on some data.

        Raises:
            InputError: the wordings do not fit each other.
        """
        action = self.action.model_copy(update={"continuous": dict(turning.channels)})
        data = {"cameras": self.cameras, "state": self.state, "action": action,
                "continuous": dict(turning.states),
                "instructions": instructions, "model": self.model, "diffusion": self.diffusion,
                "language": self.language,
                "paraphrases": {i: others for i, others in self.paraphrases.items()
                                if i in instructions}}
        return parse(PolicyConfig, data, "the recipe, with the instructions of the data")

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

"""The section ``model`` of a recipe and a checkpoint: sizes and encoder (docs/encoders.md)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tinyvla_ros.core.configuration import Config
from tinyvla_ros.policy.language_config import LanguageConfig, TokenizedWords

# The attention's projections, as transformers and timm name them.
ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj", "query", "key", "value", "qkv")


class LoraSettings(Config):
    """Low-rank adapters (Hu et al. 2021), as peft knows them.

    Attributes:
        rank: of each adapter.
        alpha: an adapter's output is scaled by ``alpha / rank``.
        dropout: of an adapter's input, in training.
        targets: last parts of the names of the linear layers that get an adapter.
    """

    rank: int = Field(16, ge=1, le=1024)
    alpha: float = Field(32.0, gt=0.0)
    dropout: float = Field(0.0, ge=0.0, lt=1.0)
    targets: tuple[str, ...] = Field(ATTENTION, min_length=1)


class TinyEncoderConfig(Config):
    """Our own convolutions, trained from nothing; the sizes are ``ModelConfig``'s."""

    kind: Literal["tiny"] = "tiny"


class _PretrainedConfig(Config):
    """What both pretrained kinds have in common.

    Attributes:
        model: directory, or id on the Hugging Face hub, of the base model.
        base: fingerprint of its weights, which training writes into the checkpoint.
        adapt: what is trained of it: nothing, adapters, or all of it.
        lora: the adapters.
        image_size: rows and columns that images are resized to; null for what the base model was
            trained with, or the cameras' own if that is unknown.
        dtype: type of the weights that are not trained.
    """

    model: str = Field(min_length=1)
    base: str | None = None
    adapt: Literal["frozen", "lora", "full"]
    lora: LoraSettings = LoraSettings()
    image_size: int | None = Field(None, ge=16, le=2048)
    dtype: Literal["float32", "bfloat16"] = "float32"

    @model_validator(mode="after")
    def _full_is_float32(self):
        if self.adapt == "full" and self.dtype != "float32":
            raise ValueError(f"dtype is {self.dtype!r} with adapt 'full'; trained weights "
                             "must be 'float32' (training computes in bfloat16 by itself)")
        return self


class VisionEncoderConfig(_PretrainedConfig):
    """A pretrained image backbone in the place of our convolutions.

    Attributes:
        library: whose it is.
        pool: ``keypoints`` adds spatial-softmax keypoints, which hold positions, to the
            ``mean`` of the features.
    """

    kind: Literal["vision"]
    library: Literal["transformers", "timm"] = "transformers"
    adapt: Literal["frozen", "lora", "full"] = "frozen"
    pool: Literal["keypoints", "mean"] = "keypoints"


class VlmEncoderConfig(_PretrainedConfig):
    """A pretrained image-text-to-text model of transformers; needs ``language: {kind: tokens}``.

    Attributes:
        adapt: of the language model.
        train_vision: whether the vision tower is adapted in the same way.
        features: ``pooled`` gives the head the mean of the last hidden states, ``attended`` lets
            it attend to each of them as well.
    """

    kind: Literal["vlm"]
    adapt: Literal["frozen", "lora", "full"] = "lora"
    train_vision: bool = False
    features: Literal["pooled", "attended"] = "attended"

    @model_validator(mode="after")
    def _vision_follows(self):
        if self.train_vision and self.adapt == "frozen":
            raise ValueError("train_vision is true with adapt 'frozen'; the vision tower is "
                             "adapted as the language model is; give 'lora' or 'full'")
        return self


EncoderConfig = Annotated[TinyEncoderConfig | VisionEncoderConfig | VlmEncoderConfig,
                          Field(discriminator="kind")]
PretrainedConfig = VisionEncoderConfig | VlmEncoderConfig


class ModelConfig(Config):
    """Sizes of the network (see ``tinyvla_ros.policy.model``).

    Attributes:
        kind: tells the networks apart.
        image_channels: feature channels at 1/4 resolution; twice as many at 1/8.
        keypoints: spatial-softmax keypoints per camera.
        instruction_dim: size of the vector of an instruction, learned or projected.
        condition_dim: size of the vector that conditions the denoiser.
        denoiser_channels: channels of the U-Net at full, half and quarter horizon.
        kernel_size: odd kernel of its convolutions.
        committed_rows: most rows of a chunk that can be given, because they will have been
            executed when it is ready (training-time action conditioning, Black et al. 2025,
            arXiv:2512.05964); 0 for a network that takes none.
        encoder: which encoder; ``image_channels`` and ``keypoints`` are sizes of what ``tiny``
            and ``vision`` have of their own.
    """

    kind: Literal["tinyvla"] = "tinyvla"
    image_channels: int = Field(32, ge=8, le=512, multiple_of=8)
    keypoints: int = Field(32, ge=1, le=512)
    instruction_dim: int = Field(32, ge=1, le=1024)
    condition_dim: int = Field(256, ge=8, le=4096)
    denoiser_channels: tuple[int, int, int] = (64, 128, 256)
    kernel_size: int = Field(3, ge=1, le=15)
    committed_rows: int = Field(0, ge=0, le=128)
    encoder: EncoderConfig = TinyEncoderConfig()

    @model_validator(mode="after")
    def _sizes_fit(self):
        if self.kernel_size % 2 == 0:
            raise ValueError(f"kernel_size {self.kernel_size} must be odd")
        if any(c < 8 or c % 8 for c in self.denoiser_channels):
            raise ValueError("denoiser_channels must be multiples of 8")
        return self


def needs_base(encoder: EncoderConfig) -> bool:
    """Whether a checkpoint leaves weights to the base model."""
    if isinstance(encoder, TinyEncoderConfig):
        return False
    return encoder.adapt != "full" or not getattr(encoder, "train_vision", True)


def check_language(encoder: EncoderConfig, language: LanguageConfig) -> None:
    """Check that an encoder can read an instruction of this kind.

    Raises:
        ValueError: tokens are for ``vlm``, and the other way round.
    """
    if isinstance(encoder, VlmEncoderConfig) != isinstance(language, TokenizedWords):
        wanted = "'tokens'" if isinstance(encoder, VlmEncoderConfig) else "'table', 'hashed' or " \
            "'sentence'"
        raise ValueError(f"language.kind is {language.kind!r} with model.encoder.kind "
                         f"{encoder.kind!r}, which reads {wanted}; change one of them")

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

"""Encoder ``vlm``: a pretrained image-text-to-text model reads the cameras and the instruction.

The way SmolVLA (Shukor et al. 2025) does it: image features of every camera, then the tokens of
the instruction, through the language model; its last hidden states are what the head gets. The
state is added after the model, as in TinyVLA (Wen et al. 2024).
"""

from __future__ import annotations

import torch
from torch import nn

from tinyvla_ros.core.errors import InputError
from tinyvla_ros.policy.config import PolicyConfig
from tinyvla_ros.policy.model import base_model
from tinyvla_ros.policy.model.backbone import (
    Backbone,
    check_patches,
    resize,
    trained_size,
    try_out,
)
from tinyvla_ros.policy.model.condition import AttendedCondition, Condition, join_layers
from tinyvla_ros.policy.model_config import VlmEncoderConfig
from tinyvla_ros.policy.pretrained import BaseModelSource
from tinyvla_ros.policy.tokens import PADDING

# These take several images per row and find padding by their content.
WITH_CONNECTOR = ("smolvlm", "idefics3")
# Where transformers keeps the vision tower of a model.
VISION_PARTS = ("vision_model.", "vision_tower.", "visual.", "vision_embed_tokens.")


class TokenTable(nn.Module):
    """The tokens of the known wordings, kept with the weights.

    ``tinyvla_ros.policy.tokens.tokenize`` fills ``ids`` when training starts.
    """

    def __init__(self, wordings: int, max_tokens: int):
        super().__init__()
        self.register_buffer("ids", torch.full((wordings, max_tokens), PADDING))

    def forward(self, wording: torch.Tensor) -> torch.Tensor:
        """Return (B, max_tokens) int64 token ids, -1 for padding.

        Args:
            wording: (B,) int64 rows, -1 for no words, or token ids already.
        """
        if wording.ndim == 2:
            return wording
        rows = self.ids[wording.clamp(min=0)]
        return torch.where((wording >= 0)[:, None], rows, PADDING)


class VlmBackbone(Backbone):
    """An image-text-to-text model of transformers, without its language modeling head.

    Args:
        settings: of the encoder.
        source: where the model comes from.

    Raises:
        InputError: the model is unavailable, cannot be loaded, or is of another kind.
    """

    def __init__(self, settings: VlmEncoderConfig, source: BaseModelSource):
        path = base_model.find(settings, source)
        config = base_model.read_config(path, settings)
        self._check_kind(config, path)
        model = base_model.load_transformers(settings, path, source.weights)
        super().__init__(model, path, *base_model.image_statistics(path))
        size, patch = trained_size(config.vision_config)
        self.size = settings.image_size or size
        check_patches(self.size, patch, path)
        self.family, self.channels = config.model_type, config.get_text_config().hidden_size
        self.train_as(settings, [n for n, _ in self.model.named_parameters()
                                 if settings.train_vision or not n.startswith(VISION_PARTS)])

    @staticmethod
    def _check_kind(config, path) -> None:
        from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

        if type(config) not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING or \
                not hasattr(config, "vision_config"):
            raise InputError(f"The vlm model {path} is a {config.model_type} model, which is not "
                             "image-text-to-text; give one such as SmolVLM, Llava or PaliGemma, "
                             "or use the encoder kind 'vision' for an image backbone.")

    def forward(self, images: list[torch.Tensor], ids: torch.Tensor
                ) -> tuple[torch.Tensor, torch.Tensor]:
        """Run the model.

        Args:
            images: one (B, 3, H, W) float tensor in [-1, 1] per camera.
            ids: (B, T) int64 token ids, -1 for padding.

        Returns:
            (B, L, channels) float32 last hidden states, of every camera's image first, and (B, L)
            bool, False for padding.
        """
        trains = torch.is_grad_enabled() and any(p.requires_grad for p in self.parameters())
        with torch.set_grad_enabled(trains):
            pixels = [self.normalized(resize(image, self.size)) for image in images]
            seen = self._image_features(torch.cat(pixels))
            # (cameras * B, N, C) to (B, cameras * N, C)
            seen = torch.cat(seen.chunk(len(images)), dim=1)
            words = self.model.get_input_embeddings()(ids.clamp(min=0))
            mask = torch.cat([ids.new_ones(seen.shape[:2]), (ids != PADDING).long()], dim=1)
            options = {}
            if self.family == "paligemma":  # images and prompt see each other in both directions
                options["token_type_ids"] = torch.zeros_like(mask)
            hidden = self.model(inputs_embeds=torch.cat([seen.to(words.dtype), words], dim=1),
                                attention_mask=mask, use_cache=False, **options)
        return hidden.last_hidden_state.float(), mask.bool()

    def _image_features(self, pixels: torch.Tensor) -> torch.Tensor:
        """Map (B, 3, H, W) to (B, N, channels)."""
        if self.family in WITH_CONNECTOR:
            return self.model.connector(self.model.vision_model(pixels).last_hidden_state)
        features = self.model.get_image_features(pixel_values=pixels)
        features = getattr(features, "pooler_output", features)
        if isinstance(features, (list, tuple)):
            features = torch.stack(list(features))
        if features.ndim != 3 or len(features) != len(pixels):
            raise InputError(f"A {self.family} model gives image features of shape "
                             f"{tuple(features.shape)}, and one row of features per image is "
                             "needed; give a model such as SmolVLM, Llava or PaliGemma.")
        return features


class VlmEncoder(nn.Module):
    """All cameras and the instruction through one model, then the state.

    Args:
        config: with an encoder of kind ``vlm`` and a language of kind ``tokens``.
        source: where the base model comes from.

    Raises:
        InputError: the model is unavailable or does not fit.
    """

    def __init__(self, config: PolicyConfig, source: BaseModelSource):
        super().__init__()
        model, settings = config.model, config.model.encoder
        self.camera_names, self.cameras = (), nn.ModuleList()  # none has a part of its own
        self.instruction = TokenTable(len(config.wordings), config.language.max_tokens)
        self.backbone = VlmBackbone(settings, source)
        width = self.backbone.channels
        self.token_dim = width if settings.features == "attended" else None
        images = [torch.zeros(1, 3, c.height, c.width) for c in config.cameras.values()]
        try_out(self.backbone, f"{len(images)} cameras and {config.language.max_tokens} tokens by "
                f"the vlm model {settings.model}", images,
                torch.zeros(1, config.language.max_tokens, dtype=torch.int64))
        self.norm = nn.LayerNorm(width)
        self.join = join_layers(width + len(config.state), model.condition_dim)

    def forward(self, images: list[torch.Tensor], state: torch.Tensor,
                instruction: torch.Tensor) -> Condition:
        """Encode a batch.

        Args:
            images: one (B, 3, H, W) float tensor in [-1, 1] per camera, in config order.
            state: (B, len(state)) normalized.
            instruction: (B,) int64 rows of the config's wordings, -1 for none, or
                (B, max_tokens) int64 token ids of others, -1 for padding.

        Returns:
            (B, condition_dim) float, with the hidden states if the head attends to them.
        """
        hidden, mask = self.backbone(images, self.instruction(instruction))
        weights = mask[:, :, None].float()
        pooled = (hidden * weights).sum(1) / weights.sum(1)
        vector = self.join(torch.cat([self.norm(pooled), state], dim=1))
        return AttendedCondition(vector, hidden, mask) if self.token_dim else vector

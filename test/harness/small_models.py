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

"""Base models of a few thousand random weights, written as their libraries write real ones."""

from __future__ import annotations

import json
from pathlib import Path

import torch

VLMS = ("smolvlm", "llava", "paligemma")
WORDS = ("go", "stay", "walk", "forward", "to", "the", "red", "left", "please", "now")
VISION = {"hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 2,
          "num_attention_heads": 2, "image_size": 32, "patch_size": 8}
TEXT = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 64, "pad_token_id": 0,
        "bos_token_id": 1, "eos_token_id": 2}


def _saved(path: Path, model) -> Path:
    model.save_pretrained(path)
    (path / "preprocessor_config.json").write_text(json.dumps(
        {"image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.25, 0.3]}))
    return path


def write_tokenizer(path: Path) -> None:
    """Write a tokenizer of whole words with a line's end, and a start token as Llama's has."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = {w: i for i, w in enumerate(("<pad>", "<s>", "</s>", "<unk>", "\n", *WORDS))}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"\n|[^\s]+"), "removed", invert=True)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)])
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", pad_token="<pad>",
                            bos_token="<s>", eos_token="</s>").save_pretrained(path)


def write_vision_model(path: Path, family: str = "siglip", seed: int = 0) -> Path:
    """Write a vision tower: siglip, clip, dinov2, both (of siglip's towers) or resnet."""
    import transformers as t

    torch.manual_seed(seed)
    if family == "both":
        text = {"hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 1,
                "num_attention_heads": 2, "vocab_size": 64, "bos_token_id": 1, "eos_token_id": 2}
        model = t.SiglipModel(t.SiglipConfig(vision_config=VISION, text_config=text))
    elif family == "resnet":
        model = t.ResNetModel(t.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16],
                                             depths=[1, 1], layer_type="basic"))
    else:
        config, cls = {"siglip": (t.SiglipVisionConfig, t.SiglipVisionModel),
                       "clip": (t.CLIPVisionConfig, t.CLIPVisionModel),
                       "dinov2": (t.Dinov2Config, t.Dinov2Model)}[family]
        model = cls(config(**VISION))
    return _saved(path, model)


def write_vlm(path: Path, family: str = "smolvlm", seed: int = 0) -> Path:
    """Write an image-text-to-text model with its tokenizer: smolvlm, llava or paligemma."""
    import transformers as t

    torch.manual_seed(seed)
    if family == "smolvlm":
        model = t.SmolVLMForConditionalGeneration(t.SmolVLMConfig(
            text_config={"model_type": "llama", **TEXT}, vision_config=VISION, scale_factor=2,
            image_token_id=63, pad_token_id=0))
    elif family == "llava":
        model = t.LlavaForConditionalGeneration(t.LlavaConfig(
            text_config=t.LlamaConfig(**TEXT), image_token_index=63,
            vision_config=t.CLIPVisionConfig(**VISION, projection_dim=16)))
    else:
        model = t.PaliGemmaForConditionalGeneration(t.PaliGemmaConfig(
            text_config={"model_type": "gemma", **TEXT, "head_dim": 8}, image_token_index=63,
            vision_config={"model_type": "siglip_vision_model", **VISION, "projection_dim": 32,
                           "vision_use_head": False}, projection_dim=32))
    write_tokenizer(path)
    return _saved(path, model)


def write_language_model(path: Path) -> Path:
    """Write a model that takes text alone."""
    import transformers as t

    t.LlamaForCausalLM(t.LlamaConfig(**TEXT)).save_pretrained(path)
    write_tokenizer(path)
    return path


def write_model(path: Path, family: str) -> Path:
    """Write a base model of any family."""
    if family == "llama":
        return write_language_model(path)
    return (write_vlm if family in VLMS else write_vision_model)(path, family)


def encoder_recipe(encoder: dict, **sections):
    """Return the small recipe with an encoder; ``vlm`` comes with its language."""
    from harness.small_training import small_recipe
    from training.learning.recipe import Recipe

    data = small_recipe(steps=2).model_dump(mode="json")
    data["model"]["encoder"] = encoder
    if encoder["kind"] == "vlm":
        data["language"] = {"kind": "tokens", "max_tokens": 8}
    data["optimization"] |= sections.pop("optimization", {})
    return Recipe.model_validate(data | sections)

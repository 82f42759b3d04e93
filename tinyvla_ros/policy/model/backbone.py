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

"""A pretrained model inside an encoder: which part is trained, saved and shared."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from tinyvla_ros.core.errors import InputError
from tinyvla_ros.policy.model import adapters
from tinyvla_ros.policy.model_config import PretrainedConfig


class Backbone(nn.Module):
    """Holds a pretrained model of which a part, or nothing, is trained.

    - ``state_dict`` has the trained part only, so that saves and checkpoints do not carry what the
      base model's own files hold; ``load_state_dict`` leaves the rest as it is.
    - A copy shares the rest: averaged weights cost no second copy of a frozen model.
    - The model stays in evaluation mode, except for the dropout of adapters: its batch
      normalization keeps the statistics it came with.

    Args:
        model: the pretrained model.
        path: its directory: tokenizer and image statistics are read there.
        mean: (3,) of the images it was trained with, of values in [0, 1].
        std: (3,) likewise.
    """

    def __init__(self, model: nn.Module, path: Path, mean: Iterable[float] = (0.5,) * 3,
                 std: Iterable[float] = (0.5,) * 3):
        super().__init__()
        self.model, self.path = model, path
        self.register_buffer("mean", torch.tensor([*mean]).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor([*std]).view(3, 1, 1), persistent=False)
        # Of the state dict, without the prefix.
        self.saved_names: frozenset[str] = frozenset()
        self.register_state_dict_post_hook(_keep)
        self.register_load_state_dict_pre_hook(_leave_the_rest)
        self.adapt(())
        self.train(self.training)

    @property
    def dtype(self) -> torch.dtype:
        """What the model computes in, autocasting apart."""
        return next(self.model.parameters()).dtype

    def adapt(self, names: Iterable[str], buffers: bool = False) -> None:
        """Train the named parameters of the model and nothing else.

        Args:
            names: of parameters.
            buffers: whether the model's buffers are the checkpoint's too.
        """
        names = set(names)
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(name in names)
        state = self.model.state_dict().keys() if buffers else ()
        names |= set(state) - {n for n, _ in self.model.named_parameters()}
        self.saved_names = frozenset(f"model.{n}" for n in names)

    def train_as(self, encoder: PretrainedConfig, all_names: Iterable[str]) -> None:
        """Train what a configuration names: nothing, new adapters, or all of a model.

        Args:
            encoder: its field ``adapt`` decides.
            all_names: the parameters that ``full`` stands for.
        """
        if encoder.adapt == "lora":
            self.model = adapters.attach(self.model, encoder)
            self.adapt(n for n, _ in self.model.named_parameters() if "lora_" in n)
        elif encoder.adapt == "full":
            self.adapt(all_names, buffers=True)
        self.train(self.training)

    def freeze_unused_parameters(self, output: torch.Tensor) -> None:
        """Do not train what an output does not depend on: an optimizer would never see it."""
        found, todo, seen = set(), [output.grad_fn], set()
        while todo:
            node = todo.pop()
            if node is None or node in seen:
                continue
            seen.add(node)
            found.add(id(getattr(node, "variable", None)))
            todo.extend(n for n, _ in node.next_functions)
        unused = set()
        for name, parameter in self.named_parameters():
            if parameter.requires_grad and id(parameter) not in found:
                parameter.requires_grad_(False)
                unused.add(name)
        self.saved_names -= unused

    def merge(self) -> None:
        """Add the adapters' products to the weights they adapt; nothing is trained any more."""
        self.model = self.model.merge_and_unload()
        self.adapt(())

    def normalized(self, image: torch.Tensor) -> torch.Tensor:
        """Map (B, 3, H, W) in [-1, 1] to what the model was trained with, in its dtype."""
        return ((image * 0.5 + 0.5 - self.mean) / self.std).to(self.dtype)

    def train(self, mode: bool = True) -> Backbone:
        """Set the mode of adapters; the model itself stays in evaluation mode."""
        super().train(mode)
        self.model.eval()
        for name, module in self.model.named_modules():
            if "lora_dropout" in name:
                module.train(mode)
        return self

    def __deepcopy__(self, memo: dict) -> Backbone:
        for tensor in (*self.parameters(), *self.buffers()):
            if not tensor.requires_grad:
                memo[id(tensor)] = tensor
        other = type(self).__new__(type(self))
        memo[id(self)] = other
        other.__dict__ = copy.deepcopy(self.__dict__, memo)
        return other


def _keep(backbone: Backbone, state: dict, prefix: str, metadata: dict) -> None:
    for key in [k for k in state if k.startswith(prefix)]:
        if key.removeprefix(prefix) not in backbone.saved_names:
            del state[key]


def _leave_the_rest(backbone: Backbone, state: dict, prefix: str, *rest) -> None:
    # Loading a tensor into itself does nothing, and satisfies the strict comparison of names.
    for name, tensor in backbone.model.state_dict(keep_vars=True).items():
        if f"model.{name}" not in backbone.saved_names:
            state.setdefault(f"{prefix}model.{name}", tensor)


def resize(image: torch.Tensor, size: int) -> torch.Tensor:
    """Resize (B, 3, H, W) to (B, 3, size, size); the aspect ratio changes."""
    if image.shape[2:] == (size, size):
        return image
    shrinks = size < min(image.shape[2:])
    return F.interpolate(image, (size, size), mode="bilinear", antialias=shrinks)


def trained_size(config) -> tuple[int | None, int | None]:
    """Return the rows of the images and of the patches that transformers' configuration names."""
    sizes = (getattr(config, name, None) for name in ("image_size", "patch_size"))
    return tuple(max(s) if isinstance(s, (list, tuple)) else s for s in sizes)


def check_patches(size: int | None, patch: int | None, path: Path) -> None:
    """Check that an image divides into patches.

    Raises:
        InputError: it does not; the message names a size that does.
    """
    if size and patch and size % patch:
        raise InputError(f"image_size {size} is not a multiple of the patch size {patch} of "
                         f"{path}; make it {max(1, size // patch) * patch}.")


def try_out(backbone: Backbone, what: str, *inputs: object) -> torch.Tensor:
    """Run one forward pass, so that what a model cannot take is known before it matters.

    Args:
        backbone: parameters that the output does not depend on are taken out of training.
        what: the input and the model, for the message.
        inputs: of its forward pass, which returns a tensor, or a tuple that begins with one.

    Returns:
        The output, detached.

    Raises:
        InputError: the model failed.
    """
    try:
        with torch.inference_mode(False), torch.enable_grad():
            output = backbone(*inputs)
    except InputError:
        raise
    except Exception as err:  # any library's
        reason = " ".join(str(err).split())[:200]
        raise InputError(f"{what} cannot be encoded ({type(err).__name__}: {reason}); give a "
                         "model of this kind, and an image_size it takes.") from None
    output = output[0] if isinstance(output, tuple) else output
    backbone.freeze_unused_parameters(output)
    return output.detach()

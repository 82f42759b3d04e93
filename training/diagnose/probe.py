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

"""One batch through a network: the scale of its output, and the signals of every block."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from tinyvla_ros.policy.model.backbone import Backbone
from training.data.consistency import Finding
from training.learning.batches import Batch
from training.learning.learner import Learner

# Measured on real batches before training, three seeds each: default.yaml and stable.yaml 0.67 to
# 0.82, exploding.yaml 32 to 46; a 1x1 convolution as head had 5.
LARGEST_STD = 3.0
# Two seeds each: blocks put out an RMS of 0.04 to 1.2, the head of exploding.yaml 34 to 49.
SMALLEST_RMS, LARGEST_RMS = 1e-3, 20.0
# A block's part of the norm of all gradients was 0.0007 or more; the norm itself 5 to 9,
# exploding.yaml 15,000 to 27,000.
SMALLEST_SHARE, LARGEST_GRADIENT = 1e-5, 1e3
# Before training, at most one of 64 channels was zero for a whole batch. Training kills some: the
# shipped checkpoint, which succeeds in 98 to 100 of 100 episodes, has 23 to 73 % in the last
# layer of each camera.
DEAD_AT_START, DEAD_TRAINED, DEAD_LAYER = 0.1, 0.8, 0.9


@dataclass(frozen=True)
class OutputScale:
    """The denoiser's raw output on noisy actions.

    Attributes:
        std: its standard deviation; normalized actions and noise have about 1.
        loss: denoising loss of the batch.
        zero_loss: the loss if the output were always zero.
    """

    std: float
    loss: float
    zero_loss: float


@dataclass(frozen=True)
class Block:
    """One named part of the network in one forward and backward pass.

    Attributes:
        name: e.g. ``encoder.cameras.front``, ``denoiser.middle``.
        parameters: number of weights.
        rms: root mean square of its output.
        gradient: norm of the gradient of its weights.
        dead: largest share, over its layers, of channels that are zero for the whole batch.
        dead_layer: that layer's name.
    """

    name: str
    parameters: int
    rms: float
    gradient: float
    dead: float
    dead_layer: str


@torch.no_grad()
def output_std(learner: Learner, batch: Batch) -> float:
    """Return the standard deviation of the denoiser's raw output.

    Args:
        learner: in any state of training.
        batch: on the learner's device; its noise and diffusion steps make the noisy actions.
    """
    return float(_with_output(learner, batch, lambda output: None)[1].std())


@torch.no_grad()
def output_scale(learner: Learner, batch: Batch) -> OutputScale:
    """Measure the scale of the output; see ``output_std`` for the arguments."""
    loss, output = _with_output(learner, batch, lambda output: None)
    zero_loss, _ = _with_output(learner, batch, torch.zeros_like)
    return OutputScale(float(output.std()), loss, zero_loss)


def _with_output(learner: Learner, batch: Batch, replace) -> tuple[float, torch.Tensor]:
    """Return loss and output of the denoiser; ``replace`` may return another output for it."""
    outputs = []

    def hook(module, inputs, output):
        outputs.append(output.float())
        return replace(output)
    handle = learner.network.denoiser.register_forward_hook(hook)
    try:
        loss, _ = learner(batch)
    finally:
        handle.remove()
    return float(loss), outputs[0]


def blocks(learner: Learner, batch: Batch) -> list[Block]:
    """Run one batch forward and backward; the learner's gradients are cleared afterwards.

    Args:
        learner: in any state of training.
        batch: on the learner's device.
    """
    rows = dict(_named_blocks(learner))
    outputs: dict[str, torch.Tensor] = {}
    dead: dict[str, tuple[float, str]] = {name: (0.0, "") for name in rows}
    handles = []
    for name, block in rows.items():
        handles.append(block.register_forward_hook(
            lambda module, inputs, output, name=name: outputs.update({name: _first(output)})))
        if isinstance(block, Backbone):
            continue  # a base model's channels are as they are, and new adapters put out zeros
        for layer, module in block.named_modules():
            def look(module, inputs, output, name=name, layer=layer):
                share = _dead_share(module, output.detach())
                if share > dead[name][0]:
                    dead[name] = (share, f"{name}.{layer}" if layer else name)
            handles.append(module.register_forward_hook(look))
    try:
        loss, future = learner(batch)
        (loss + learner.options.future_weight * future).backward()
    finally:
        for handle in handles:
            handle.remove()
    result = []
    for name, block in rows.items():
        if not any(p.requires_grad for p in block.parameters()):
            continue  # frozen
        gradients = [p.grad for p in block.parameters() if p.grad is not None]
        result.append(Block(
            name, sum(p.numel() for p in block.parameters()),
            float(outputs[name].float().square().mean().sqrt()),
            float(nn.utils.get_total_norm(gradients)) if gradients else 0.0, *dead[name]))
    learner.zero_grad(set_to_none=True)
    return result


def _first(output: torch.Tensor | tuple) -> torch.Tensor:
    return (output[0] if isinstance(output, tuple) else output).detach()


def _named_blocks(learner: Learner) -> Iterator[tuple[str, nn.Module]]:
    encoder, denoiser = learner.network.encoder, learner.network.denoiser
    for name, camera in zip(encoder.camera_names, encoder.cameras, strict=True):
        yield f"encoder.cameras.{name}", camera
    for prefix, parent in (("encoder", encoder), ("denoiser", denoiser)):
        for name, child in parent.named_children():
            if child is not encoder.cameras:
                yield f"{prefix}.{name}", child
    if learner.auxiliary_head is not None:
        yield "auxiliary_head", learner.auxiliary_head


def _dead_share(module: nn.Module, output: torch.Tensor) -> float:
    """Return the share of channels that are zero everywhere in a batch."""
    # Linear layers have their channels last, convolutions and what follows them second.
    channel = output.ndim - 1 if isinstance(module, nn.Linear) else 1
    others = [d for d in range(output.ndim) if d != channel]
    return float((output == 0).all(dim=tuple(others)).float().mean()) if others else 0.0


def output_findings(scale: OutputScale, start: bool) -> Iterator[Finding]:
    """Judge the output's scale.

    Args:
        scale: what was measured.
        start: whether the network is untrained.
    """
    advice = ("start with 'initialization: {kind: unit, head_scale: 1.0}'" if start
              else "train again from a recipe that passes this check")
    # Not the other way round: NaN must not pass.
    if not scale.std <= LARGEST_STD:
        yield Finding("output scale", f"The denoiser's output has a standard deviation of "
                      f"{scale.std:.3g}, and 0.5 to 1 is normal, the first loss would be "
                      f"{scale.loss:.4g}; {advice}.")
    elif not scale.loss <= LARGEST_STD ** 2 + scale.zero_loss:
        # An output unrelated to the target adds its mean square to the loss of predicting zero.
        yield Finding("first loss", f"The loss is {scale.loss:.4g}, and up to "
                      f"{1.0 + scale.zero_loss:.2g} is normal, 1 more than for predicting zero, "
                      f"since the output is far from zero; {advice}.")


def block_findings(rows: list[Block], start: bool) -> Iterator[Finding]:
    """Judge activations, gradients and dead channels of every block.

    Args:
        rows: what was measured.
        start: whether the network is untrained.
    """
    alive = DEAD_AT_START if start else DEAD_TRAINED
    total = math.hypot(*(b.gradient for b in rows))
    broken = [b for b in rows if not math.isfinite(b.rms) or not math.isfinite(b.gradient)]
    if broken:
        yield Finding("non-finite", f"{broken[0].name} has activations or gradients that are not "
                      f"finite ({len(broken)} blocks in all), all must be; look at the data with "
                      "'tinyvla data check' and at the weights this starts from.")
        return
    for b in rows:
        if b.rms > LARGEST_RMS:
            yield Finding("activations", f"{b.name} has an output RMS of {b.rms:.3g}, and 0.02 to "
                          "5 is normal; its signal explodes, lower its initial weights "
                          "('initialization').")
        elif b.rms < SMALLEST_RMS:
            yield Finding("activations", f"{b.name} has an output RMS of {b.rms:.2g}, and 0.02 to "
                          "5 is normal; its signal vanishes, raise its initial weights.",
                          error=False)
        if b.gradient == 0.0:
            yield Finding("gradients", f"{b.name} gets no gradient and would never learn; find "
                          "out what cuts it off from the loss.")
        elif b.gradient < SMALLEST_SHARE * total:
            yield Finding("gradients", f"{b.name} gets {b.gradient / total:.1g} of the norm of "
                          "all gradients, and 0.0005 and more is normal; its gradient vanishes, "
                          "raise the initial weights between it and the loss.", error=False)
        if b.dead > alive:
            yield Finding("dead channels", f"{100 * b.dead:.0f} % of the channels of "
                          f"{b.dead_layer} are zero for the whole batch, and below "
                          f"{100 * alive:.0f} % is normal; "
                          + ("look at the initial weights and the images."
                             if start else "train again with a lower learning rate."),
                          error=b.dead >= DEAD_LAYER)
    if total > LARGEST_GRADIENT:
        top = max(rows, key=lambda b: b.gradient)
        yield Finding("gradients", f"The gradients have a norm of {total:.3g}, most of it in "
                      f"{top.name}, and 1 to 10 is normal; lower the output's scale, and clip "
                      "with 'optimization.gradient_norm: 1.0'.")

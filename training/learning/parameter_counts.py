# SPDX-License-Identifier: Apache-2.0
"""How many parameters a learner has, part by part, and how many of them are trained."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from training.learning.learner import Learner


@dataclass(frozen=True)
class Part:
    """Parameters of one part.

    Attributes:
        name: of the part.
        total: all of them.
        trainable: those that training changes.
    """

    name: str
    total: int
    trainable: int


def count_parameters(learner: Learner) -> list[Part]:
    """Return the parts of the encoder, the denoiser, the training-only head and their sum.

    The last two rows are ``policy``, without that head, and ``all``.
    """
    network = learner.network
    parts = [_count(f"encoder.{name}", child) for name, child in network.encoder.named_children()]
    parts.append(_count("denoiser", network.denoiser))
    policy = _count("policy", network)
    head = [] if learner.auxiliary_head is None else [
        _count("auxiliary head (training only)", learner.auxiliary_head)]
    everything = Part("all", policy.total + sum(p.total for p in head),
                      policy.trainable + sum(p.trainable for p in head))
    return [p for p in parts if p.total] + head + [policy, everything]


def parameter_table(parts: list[Part]) -> str:
    """Return a table for people."""
    width = max(len(p.name) for p in parts)
    lines = [f"{'parameters':{width}} {'total':>13} {'trainable':>13}"]
    lines += [f"{p.name:{width}} {p.total:>13,} {p.trainable:>13,}" for p in parts]
    return "\n".join(lines)


def _count(name: str, module: nn.Module) -> Part:
    sizes = [(p.numel(), p.requires_grad) for p in module.parameters()]
    return Part(name, sum(n for n, _ in sizes), sum(n for n, trained in sizes if trained))

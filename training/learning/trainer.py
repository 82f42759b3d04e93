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

"""The training loop: optimizer, schedule, averaged weights, logging, saving."""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from tinyvla_ros.core.errors import InputError
from training.jobs.progress import progress_bar
from training.learning.batches import VALIDATION, Batch, BatchSampler
from training.learning.images import DeviceImages
from training.learning.learner import Learner
from training.learning.mixture import Mixture
from training.learning.processes import Process, check_share
from training.learning.recipe import Optimization, Recipe
from training.learning.run_log import RunLog

LOG_EVERY = 20
VALIDATION_BATCHES = 8
# Processes that draw batches ahead for a GPU.
MOST_WORKERS = 12
# More skipped batches than the larger of these mean a broken run.
TOLERATED_SKIPS, TOLERATED_SHARE = 100, 0.01


class DivergedError(InputError):
    """Too many batches had a non-finite loss or gradient."""


class Trainer:
    """A ``Learner`` and all that changes it.

    Args:
        learner: on its device.
        recipe: what and how to train.
        data: the demonstrations.
        process: this process's place among all.
        keep_images: whether a GPU may hold the images of all demonstrations.
    """

    def __init__(self, learner: Learner, recipe: Recipe, data: Mixture, process: Process,
                 keep_images: bool = True):
        self.options = options = recipe.optimization
        check_share(options.batch_size, process.world_size)
        self.recipe, self.learner, self.data, self.process = recipe, learner, data, process
        # Frozen weights are the same tensors in both (``Backbone``).
        self.averaged = AveragedModel(learner, multi_avg_fn=self._average).eval()
        self.trained = {n: p for n, p in learner.named_parameters() if p.requires_grad}
        self.optimizer = torch.optim.AdamW(self.trained.values(), lr=options.learning_rate,
                                           weight_decay=options.weight_decay)
        self.bfloat16 = use_bfloat16(options.precision, process.device)
        self.train_episodes, self.held_out = split_episodes(recipe, len(data.starts))
        if not len(self.train_episodes):
            raise InputError(f"optimization.validation_fraction {options.validation_fraction} "
                             f"holds out all {len(data.starts)} episodes; lower it, or record "
                             "more.")
        self._keep_images = keep_images
        self.sampler = BatchSampler(data, self.train_episodes, recipe, rank=process.rank,
                                    world_size=process.world_size)
        self.validation_sampler = BatchSampler(data, self.held_out, recipe, VALIDATION) \
            if len(self.held_out) else None
        shared = process.wrap_ddp(learner)
        self._shared = torch.compile(shared) if options.compile else shared
        self.step, self.skipped, self.seconds = 0, 0, 0.0
        self.smooth: float | None = None
        self.best: float | None = None
        self.history: list[dict] = []

    def run(self, save: Callable[[bool], None], log: RunLog) -> bool:
        """Train to the end, or until SIGTERM or SIGINT; both end with a save.

        Args:
            save: saves the present state; its argument is whether it is the best so far.
            log: takes the figures.

        Returns:
            Whether the last step was reached.
        """
        options, started = self.options, time.perf_counter() - self.seconds
        with (stop_signal() as stop,
              progress_bar(total=options.steps, initial=self.step, unit="step", desc="train",
                           disable=not self.process.is_main_process) as progress):
            for batch in self._batches():
                figures, stopping = self.train_step(batch, bool(stop))
                self.step += 1
                self.seconds = time.perf_counter() - started
                progress.update()
                if self.process.is_main_process and (self.step % LOG_EVERY == 0 or self.step == 1):
                    progress.set_postfix(loss=f"{self.smooth or math.nan:.4f}",
                                         skipped=self.skipped)
                    log.add(self.step, figures)
                last = self.step == options.steps
                if self.step % options.save_every == 0 or last or stopping:
                    save(self._examine(log))
                if stopping and not last:
                    return False
        return True

    def _examine(self, log: RunLog) -> bool:
        """Validate and note the figures; return whether they are the best so far."""
        validation = self.validate()
        self.history.append({"step": self.step, "loss": self.smooth, "validation": validation,
                             "seconds": round(self.seconds, 1)})
        if validation is None:
            return True
        if self.process.is_main_process:
            log.add(self.step, {"validation_loss": validation})
        if self.best is not None and not validation < self.best:
            return False
        self.best = validation
        return True

    def _batches(self) -> Iterator[Batch]:
        """Batches from the present step on; workers draw ahead for a GPU.

        The first one comes from the host: only after it is known what a step takes of a GPU, and
        whether the images fit beside that.
        """
        device, images = self.process.device, None
        gpu = device.startswith("cuda")
        if self.step == self.options.steps:
            return
        yield self.sampler[self.step + 1].to(device)
        if self._keep_images and DeviceImages.fit(self.data, device):
            images = DeviceImages(self.data, self.options.shift_pixels, device)
            self.sampler.with_images = False
        cores = (os.cpu_count() or 1) // self.process.world_size
        workers = min(MOST_WORKERS, max(1, cores - 1)) if gpu else 0
        numbers = range(self.step + 1, self.options.steps + 1)
        for batch in DataLoader(self.sampler, batch_size=None, sampler=numbers,
                                num_workers=workers, pin_memory=gpu):
            there = batch.to(device)
            yield there if images is None else replace(
                there, images=images.cut(there.frames, there.offsets))

    def train_step(self, batch: Batch, stop: bool) -> tuple[dict[str, float], bool]:
        """Take an optimizer step.

        Args:
            batch: this process's share.
            stop: whether this process received a signal to stop.

        Returns:
            Figures for the log, and whether any process is to stop.

        Raises:
            DivergedError: too many batches were skipped.
        """
        options = self.options
        rate = learning_rate(options, self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        # The dropout of adapters draws from torch's generator; nothing else does.
        torch.manual_seed(hash((self.recipe.seed, self.step, self.process.rank)) % 2**63)
        loss, future = self._losses(self._shared, batch)
        total = loss + options.future_weight * future
        scale = options.loss_scale_above
        if scale is not None and loss.detach() > scale:
            total = total * 0.1  # historical, see config/train/exploding.yaml
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        norm = nn.utils.get_total_norm([p.grad for p in self.trained.values()
                                        if p.grad is not None])
        mean_loss, mean_future, mean_norm, stopping = self.process.mean(loss, future, norm, stop)
        figures = {"loss": mean_loss, "future_loss": mean_future, "gradient_norm": mean_norm,
                   "learning_rate": rate, "skipped": self.skipped}
        if not math.isfinite(mean_loss + mean_norm):
            self._skip()
            return figures, stopping > 0
        if options.gradient_norm is not None:
            nn.utils.clip_grads_with_norm_(self.trained.values(), options.gradient_norm, norm)
        self.optimizer.step()
        self.averaged.update_parameters(self.learner)
        self.smooth = mean_loss if self.smooth is None else 0.98 * self.smooth + 0.02 * mean_loss
        return figures, stopping > 0

    def _skip(self) -> None:
        self.skipped += 1
        if self.skipped > max(TOLERATED_SKIPS, TOLERATED_SHARE * self.options.steps):
            raise DivergedError(f"{self.skipped} batches had a non-finite loss or gradient; lower "
                                f"the learning rate (now {self.options.learning_rate}) or look "
                                "at the data with 'tinyvla data check'.")

    def _losses(self, learner, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        device = self.process.device
        with torch.autocast(device.split(":")[0], torch.bfloat16, enabled=self.bfloat16):
            return learner(batch)

    @torch.no_grad()
    def validate(self) -> float | None:
        """Denoising loss of the averaged weights on held-out episodes, same draws every time."""
        if self.validation_sampler is None:
            return None
        batches = (self.validation_sampler[n].to(self.process.device)
                   for n in range(VALIDATION_BATCHES))
        losses = [self._losses(self.averaged.module, batch)[0].item() for batch in batches]
        return float(np.mean(losses))

    def _average(self, averaged: list, current: list, count: torch.Tensor | int) -> None:
        # Early on the average follows closely, so that it forgets the initial weights.
        decay = min(self.options.ema_decay, (1.0 + float(count)) / (10.0 + float(count)))
        pairs = [(a, c) for a, c in zip(averaged, current, strict=True)
                 if a.data_ptr() != c.data_ptr()]
        if pairs:
            get_ema_multi_avg_fn(decay)(*map(list, zip(*pairs, strict=True)), count)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return every tensor of the state, by name."""
        named = {f"learner.{k}": v for k, v in self.learner.state_dict().items()}
        named |= {f"averaged.{k}": v for k, v in self.averaged.state_dict().items()}
        for name, parameter in self.trained.items():
            for key, value in self.optimizer.state[parameter].items():
                named[f"optimizer.{name}.{key}"] = value
        return {k: v.detach().cpu().clone() for k, v in named.items()}

    def progress(self) -> dict:
        """Return the rest of the state, plain data."""
        return {"step": self.step, "skipped": self.skipped, "seconds": self.seconds,
                "smooth": self.smooth, "best": self.best, "history": self.history}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return names and shapes of ``tensors`` once a step has been taken."""
        shapes = {f"learner.{k}": tuple(v.shape) for k, v in self.learner.state_dict().items()}
        shapes |= {f"averaged.{k}": tuple(v.shape) for k, v in self.averaged.state_dict().items()}
        for name, parameter in self.trained.items():
            shapes |= {f"optimizer.{name}.{key}": tuple(parameter.shape)
                       for key in ("exp_avg", "exp_avg_sq")}
            shapes[f"optimizer.{name}.step"] = ()
        return shapes

    def restore(self, tensors: dict[str, torch.Tensor], progress: dict) -> None:
        """Go on from what ``tensors`` and ``progress`` returned."""
        def part(prefix: str) -> dict[str, torch.Tensor]:
            return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        self.learner.load_state_dict(part("learner."))
        self.averaged.load_state_dict(part("averaged."))
        for name, parameter in self.trained.items():
            state = part(f"optimizer.{name}.")
            # AdamW keeps its step count on the CPU and the rest beside the parameter.
            self.optimizer.state[parameter] = {
                k: v.clone() if k == "step" else v.to(parameter.device) for k, v in state.items()}
        for key, value in progress.items():
            setattr(self, key, value)


def split_episodes(recipe: Recipe, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the episodes to train on and those held out, by the recipe's seed."""
    order = np.random.default_rng(recipe.seed).permutation(count)
    held_out = round(recipe.optimization.validation_fraction * count)
    return order[held_out:], order[:held_out]


def learning_rate(options: Optimization, step: int) -> float:
    """Linear warm-up, then cosine to the final fraction of the peak."""
    if step < options.warmup_steps:
        return options.learning_rate * (step + 1) / options.warmup_steps
    done = (step - options.warmup_steps) / max(1, options.steps - options.warmup_steps)
    cosine = 0.5 * (1.0 + math.cos(math.pi * min(1.0, done)))
    factor = options.final_fraction + (1.0 - options.final_fraction) * cosine
    return options.learning_rate * factor


def use_bfloat16(precision: str, device: str) -> bool:
    """Return whether to autocast to bfloat16; ``auto`` does where the hardware has it."""
    if precision != "auto":
        return precision == "bfloat16"
    if device.startswith("cuda"):
        return torch.cuda.is_bf16_supported()
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_tile"))


@contextmanager
def stop_signal() -> Iterator[list[int]]:
    """Yield a list that SIGTERM and SIGINT append to, in place of ending the process."""
    received: list[int] = []
    before = {s: signal.signal(s, lambda number, frame: received.append(number))
              for s in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

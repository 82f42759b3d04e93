# SPDX-License-Identifier: Apache-2.0
"""Train a policy on demonstrations: the recipe that does not explode.

Unit-scale head at initialisation, loss never clipped, gradients clipped at norm 1, warm-up and
cosine schedule, averaged weights.
"""

from __future__ import annotations

import platform
import time
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

import tinyvla_ros
from tinyvla_ros.checkpoint import load_checkpoint, save_checkpoint
from tinyvla_ros.errors import InputError
from tinyvla_ros.files import checkpoint_digest
from tinyvla_ros.model import PolicyNetwork
from tinyvla_ros.normalizer import Normalizer
from training.batches import Batch, BatchSampler
from training.dataset import Demonstrations, load_demonstrations
from training.recipe import Optimisation, Recipe

LOG_EVERY = 20
VALIDATION_BATCHES = 8


class Learner(nn.Module):
    """The policy network and the auxiliary head that only training needs.

    The head predicts normalised states later in the episode from the same condition vector that
    steers the denoiser: where the arm goes next is where the object and the goal are, and the
    demonstrations themselves say so. No privileged position is used.
    """

    def __init__(self, network: PolicyNetwork, future_frames: int):
        super().__init__()
        config = network.config
        self.network = network
        self.future = nn.Sequential(
            nn.SiLU(), nn.Linear(config.model.condition_dim, config.model.condition_dim),
            nn.SiLU(), nn.Linear(config.model.condition_dim, future_frames * len(config.state)))

    def forward(self, batch: Batch, normalizer: Normalizer, options: Optimisation,
                generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the denoising loss and the auxiliary loss of a batch."""
        network, repeats = self.network, options.noise_samples
        condition = network.encode(batch.images, normalizer.state(batch.state),
                                   batch.instruction).float()
        actions = normalizer.action(batch.actions).repeat_interleave(repeats, 0)
        noise = torch.randn(actions.shape, generator=generator)
        step = torch.randint(network.config.diffusion.train_steps, (len(actions),),
                             generator=generator)
        loss = network.loss(condition.repeat_interleave(repeats, 0), actions,
                            batch.valid.repeat_interleave(repeats, 0),
                            noise.to(actions.device), step.to(actions.device))
        if not options.future_frames:
            return loss, torch.zeros_like(loss)
        # Relative to now: an arm at rest predicts zeros.
        now = normalizer.state(batch.state)[:, None]
        target = normalizer.state(batch.future) - now
        predicted = self.future(condition).float().view_as(target)
        return loss, (predicted - target).square().mean()


def train(recipe: Recipe, data_root: Path, out: Path, threads: int | None = None,
          device: str = "cpu", cache: Path | None = None, init: Path | None = None) -> Path:
    """Train and write a checkpoint directory.

    Args:
        recipe: what and how to train.
        data_root: LeRobotDataset v3.0 directory.
        out: checkpoint directory to create; TensorBoard events go to ``out/tensorboard``.
        threads: CPU threads, None for all cores.
        device: torch device.
        cache: see ``load_demonstrations``.
        init: checkpoint whose weights and normaliser to start from (fine-tuning); None to start
            from the initialisation.

    Returns:
        ``out``.

    Raises:
        InputError: data that does not match, ``out`` in use, training that diverged.
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"Output {out} exists and is not an empty directory; choose a new one, "
                         "nothing was overwritten.")
    data = load_demonstrations(data_root, recipe.cameras, recipe.state, recipe.action, cache)
    torch.set_num_threads(threads or torch.get_num_threads())
    torch.manual_seed(recipe.seed)
    options = recipe.optimisation
    config = recipe.policy_config(data.tasks)
    normalizer = Normalizer.fit(torch.from_numpy(data.states),
                                torch.from_numpy(data.actions).flatten(0, 1))
    network = PolicyNetwork(config)
    if init is not None:
        normalizer = _start_from(init, network)
    learner = Learner(network, len(options.future_frames)).to(device)
    loop = _Loop(learner, normalizer.to(torch.device(device)), recipe, data, device)
    out.mkdir(parents=True, exist_ok=True)

    def save(step: int) -> None:
        save_checkpoint(out, config, loop.averaged.module.network.state_dict(), normalizer,
                        loop.report(step, data_root) | {"init": init and checkpoint_digest(init)})

    loop.run(save, out / "tensorboard")
    return out


def _start_from(path: Path, network: PolicyNetwork) -> Normalizer:
    """Copy the weights of a checkpoint that sees and does the same; return its normaliser."""
    start = load_checkpoint(path)
    for field in ("cameras", "state", "instructions", "model", "action"):
        if getattr(start.config, field) != getattr(network.config, field):
            raise InputError(f"{path} differs from the recipe and data in '{field}'; start from a "
                             "checkpoint that was trained with the same.")
    network.load_state_dict(start.network.state_dict())
    return start.normalizer


class _Loop:
    """Optimiser, schedule and averaged weights around a ``Learner``."""

    def __init__(self, learner: Learner, normalizer: Normalizer, recipe: Recipe,
                 data: Demonstrations, device: str):
        self.options = options = recipe.optimisation
        self.recipe, self.learner, self.device = recipe, learner, device
        self.normalizer = normalizer
        self.averaged = AveragedModel(learner, avg_fn=self._average, use_buffers=True)
        self.optimiser = torch.optim.AdamW(learner.parameters(), lr=options.learning_rate,
                                           weight_decay=options.weight_decay)
        self.schedule = LambdaLR(self.optimiser, self._learning_rate_factor)
        self.generator = torch.Generator().manual_seed(recipe.seed)
        self.bfloat16 = _use_bfloat16(options.precision, device)
        rng = np.random.default_rng(recipe.seed)
        order = rng.permutation(len(data.starts))
        held_out = round(options.validation_fraction * len(order))
        self.data = data
        self.train_episodes, self.held_out = order[held_out:], order[:held_out]
        self.sampler = BatchSampler(data, self.train_episodes, recipe.action.horizon,
                                    options.future_frames, options.shift_pixels, rng)
        self.skipped = 0
        self.history: list[dict] = []
        self.seconds = 0.0

    def run(self, save, log_dir: Path) -> None:
        """Take every step, logging and saving on the way."""
        options, started = self.options, time.perf_counter()
        smooth = None
        with (SummaryWriter(str(log_dir)) as log,
              tqdm(total=options.steps, unit="step", desc="train") as progress):
            for step in range(1, options.steps + 1):
                figures = self._step(self.sampler.draw(options.batch_size))
                self.seconds = time.perf_counter() - started
                progress.update()
                if figures["loss"] is not None:
                    smooth = figures["loss"] if smooth is None else \
                        0.98 * smooth + 0.02 * figures["loss"]
                if step % LOG_EVERY == 0:
                    progress.set_postfix(loss=f"{smooth or float('nan'):.4f}",
                                         skipped=self.skipped)
                    for name, value in figures.items():
                        if value is not None:
                            log.add_scalar(f"train/{name}", value, step)
                if step % options.save_every == 0 or step == options.steps:
                    validation = self.validate()
                    self.history.append({"step": step, "loss": smooth, "validation": validation,
                                         "seconds": round(self.seconds, 1)})
                    if validation is not None:
                        log.add_scalar("validation/loss", validation, step)
                    save(step)

    def _step(self, batch: Batch) -> dict[str, float | None]:
        options = self.options
        loss, future = self._losses(self.learner, batch, self.generator)
        total = loss + options.future_weight * future
        self.optimiser.zero_grad(set_to_none=True)
        norm = None
        if torch.isfinite(total):
            total.backward()
            norm = nn.utils.clip_grad_norm_(self.learner.parameters(), options.gradient_norm)
        if norm is None or not torch.isfinite(norm):
            self.skipped += 1
            if self.skipped > max(100, options.steps // 100):
                raise InputError(f"{self.skipped} batches had a non-finite loss or gradient; "
                                 "lower the learning rate (now "
                                 f"{options.learning_rate}) or check the data.")
            return {"loss": None}
        self.optimiser.step()
        self.schedule.step()
        self.averaged.update_parameters(self.learner)
        return {"loss": loss.item(), "future_loss": future.item(), "gradient_norm": norm.item(),
                "learning_rate": self.schedule.get_last_lr()[0], "skipped": self.skipped}

    def _losses(self, learner, batch: Batch, generator: torch.Generator):
        batch = Batch([i.to(self.device) for i in batch.images],
                      *(getattr(batch, n).to(self.device)
                        for n in ("state", "instruction", "actions", "valid", "future")))
        with torch.autocast(self.device.split(":")[0], torch.bfloat16, enabled=self.bfloat16):
            return learner(batch, self.normalizer, self.options, generator)

    @torch.no_grad()
    def validate(self) -> float | None:
        """Denoising loss of the averaged weights on held-out episodes, same draws every time."""
        if not len(self.held_out):
            return None
        sampler = BatchSampler(self.data, self.held_out, self.recipe.action.horizon,
                               self.options.future_frames, 0, np.random.default_rng(1))
        generator = torch.Generator().manual_seed(1)
        losses = [self._losses(self.averaged.module, sampler.draw(self.options.batch_size),
                               generator)[0].item() for _ in range(VALIDATION_BATCHES)]
        return float(np.mean(losses))

    def report(self, step: int, data_root: Path) -> dict:
        """Return the content of ``training.json``."""
        return {
            "recipe": self.recipe.model_dump(mode="json"), "data": Path(data_root).name,
            "episodes": len(self.train_episodes), "held_out_episodes": len(self.held_out),
            "frames": len(self.data.states), "step": step, "skipped_batches": self.skipped,
            "seconds": round(self.seconds, 1), "precision":
                "bfloat16" if self.bfloat16 else "float32",
            "device": self.device, "threads": torch.get_num_threads(),
            "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "versions": {"tinyvla_ros": tinyvla_ros.__version__, "torch": torch.__version__,
                         "python": platform.python_version()},
            "losses": self.history}

    def _average(self, averaged: torch.Tensor, current: torch.Tensor, count: torch.Tensor):
        # Early on the average follows closely, so that it forgets the initial weights.
        decay = min(self.options.ema_decay, (1.0 + float(count)) / (10.0 + float(count)))
        return averaged * decay + current * (1.0 - decay)

    def _learning_rate_factor(self, step: int) -> float:
        options = self.options
        if step < options.warmup_steps:
            return (step + 1) / options.warmup_steps
        done = (step - options.warmup_steps) / max(1, options.steps - options.warmup_steps)
        cosine = 0.5 * (1.0 + np.cos(np.pi * min(1.0, done)))
        return options.final_fraction + (1.0 - options.final_fraction) * cosine


def _use_bfloat16(precision: str, device: str) -> bool:
    if precision != "auto":
        return precision == "bfloat16"
    if device.startswith("cuda"):
        return torch.cuda.is_bf16_supported()
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()

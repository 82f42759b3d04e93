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

"""All checks of ``tinyvla diagnose`` on one recipe or checkpoint."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from tinyvla_ros.core.configuration import parse, read_json
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.policy.backends.torch_backend import find_device
from tinyvla_ros.policy.checkpoint import Checkpoint, load_checkpoint
from tinyvla_ros.policy.config import PolicyConfig
from tinyvla_ros.policy.normalizer import Normalizer
from training.data.consistency import Finding
from training.diagnose import memory_plan, one_batch, probe, range_check
from training.diagnose.memory_plan import MB, MemoryPlan
from training.learning.batches import Batch, BatchSampler
from training.learning.learner import Learner
from training.learning.mixture import Mixture, load_mixture
from training.learning.recipe import Optimization, Recipe
from training.learning.train import fit_normalizer
from training.learning.trainer import split_episodes, use_bfloat16

# Enough to learn by heart, few enough for half a minute on two cores.
OVERFIT_BATCH = 16
# What 'tinyvla data check' warns of and the checks of ranges say in the terms of the recipe.
CHECKED_HERE = ("constant", "outlier", "saturation", "action limits", "blank images",
                "dark images")


@dataclass(frozen=True)
class Subject:
    """What is diagnosed.

    Attributes:
        name: as given on the command line.
        recipe: what and how to train.
        checkpoint: trained weights and their normalizer, or None for a recipe.
    """

    name: str
    recipe: Recipe
    checkpoint: Checkpoint | None = None


@dataclass
class Diagnosis:
    """All that was found; None or empty where a part was skipped.

    Attributes:
        name: of the recipe or checkpoint.
        data: names of the datasets.
        device: torch device.
        precision: of training there.
        batch_size: the recipe's.
        output: scale of the denoiser's output on one batch.
        blocks: activations and gradients on the same batch.
        channels: states and actions.
        cameras: images.
        overfit: the one-batch check.
        plan: memory of a step at ``batch_size``.
        measured_batch: largest batch size at which memory was measured.
        gpu_gb: memory of the GPU the largest batch is for, 10^9 bytes.
        utilization: share of it that training may take.
        largest_batch: largest batch size on such a GPU.
        largest_plan: memory of a step there.
        skipped: one sentence for each part that was left out.
        findings: problems first.
    """

    name: str
    data: list[str]
    device: str
    precision: str
    batch_size: int
    output: probe.OutputScale | None = None
    blocks: list[probe.Block] = field(default_factory=list)
    channels: list[range_check.ChannelStatistics] = field(default_factory=list)
    cameras: list[range_check.CameraStatistics] = field(default_factory=list)
    overfit: one_batch.Overfit | None = None
    plan: MemoryPlan | None = None
    measured_batch: int = 0
    gpu_gb: float = 0.0
    utilization: float = 0.0
    largest_batch: int = 0
    largest_plan: MemoryPlan | None = None
    skipped: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def checkpoint_subject(path: Path) -> Subject:
    """Load a checkpoint; options missing in its ``training.json`` have their defaults."""
    checkpoint = load_checkpoint(path, merge=False)
    if checkpoint.config.model.kind != "tinyvla":
        raise InputError(f"{path} was imported and not trained here, so there is no recipe to "
                         "diagnose; give a checkpoint of tinyvla train.")
    report = path / "training.json"
    stored = read_json(report).get("recipe", {}) if report.is_file() else {}
    stored = stored.get("optimization") or stored.get("optimisation", {})  # as 0.1.0 wrote it
    options = parse(Optimization, {"steps": 1} | stored, f"{report}: recipe.optimization")
    # The training-only head is not part of a checkpoint.
    options = options.model_copy(update={"future_frames": ()})
    config = checkpoint.config
    recipe = Recipe(cameras=config.cameras, state=config.state, action=config.action,
                    model=config.model, diffusion=config.diffusion, language=config.language,
                    optimization=options)
    return Subject(str(path), recipe, checkpoint)


def diagnose(subject: Subject, sources: Sequence[tuple[Path, float]] = (), device: str = "cpu",
             steps: int = 150, gpu_gb: float = 6.0, utilization: float = 0.65,
             cache: Path | None = None) -> Diagnosis:
    """Run all checks.

    Args:
        subject: what is diagnosed.
        sources: dataset directories and weights; none for the parts that need no data.
        device: torch device.
        steps: steps of the one-batch check.
        gpu_gb: see ``Diagnosis``; utilization likewise.
        cache: see ``load_demonstrations``.

    Raises:
        InputError: see ``load_mixture``; also an unknown device, or instructions that a
            checkpoint does not know.
    """
    recipe, checkpoint = subject.recipe, subject.checkpoint
    find_device(device)
    options = recipe.optimization
    result = Diagnosis(
        subject.name, [path.name for path, _ in sources], device,
        "bfloat16" if use_bfloat16(options.precision, device) else "float32",
        options.batch_size, gpu_gb=gpu_gb, utilization=utilization)
    if sources:
        data = load_mixture(sources, recipe, cache)
        if checkpoint:
            data = _with_instructions(data, checkpoint.config)
        normalizer = checkpoint.normalizer if checkpoint else fit_normalizer(data)
        _check_ranges(result, subject, sources, data, normalizer)
        result.findings += [note for note in data.notes if note.check not in CHECKED_HERE]
        episodes, _ = split_episodes(recipe, len(data.starts))
    else:
        normalizer = checkpoint.normalizer if checkpoint else _limits_normalizer(recipe)
        tasks = checkpoint.config.instructions if checkpoint else ("any",)
        data, episodes = _random_data(recipe, normalizer, tasks), np.array([0])
        result.skipped += ["Ranges of states, actions and images: no --data.",
                           "One-batch overfit check: no --data.",
                           "Output and blocks are those on random data: no --data."]
    config = checkpoint.config if checkpoint else recipe.policy_config(data.tasks, data.turning)

    def learner() -> Learner:
        torch.manual_seed(recipe.seed)  # the weights that training would start from
        built = Learner(recipe, config, normalizer)
        if checkpoint:
            built.network.load_state_dict(checkpoint.network.state_dict())
        return built.to(device)

    batch = BatchSampler(data, episodes, recipe)[1]  # what the first step of training sees
    _probe(result, learner(), batch.to(device), checkpoint is None)
    if checkpoint:
        result.skipped.append("One-batch overfit check: a checkpoint has learned already.")
    elif sources:
        _progress(f"one-batch overfit check: {steps} steps")
        few = recipe.model_copy(update={"optimization": options.model_copy(
            update={"batch_size": min(options.batch_size, OVERFIT_BATCH)})})
        result.overfit = one_batch.overfit(
            learner(), few, data, BatchSampler(data, episodes, few)[1], steps, device)
        result.findings += one_batch.overfit_findings(result.overfit)
    _plan(result, recipe, data, episodes, learner())
    result.findings.sort(key=lambda f: not f.error)
    return result


def _check_ranges(result: Diagnosis, subject: Subject, sources: Sequence[tuple[Path, float]],
                  data: Mixture, normalizer: Normalizer) -> None:
    recipe, stored = subject.recipe, subject.checkpoint and subject.checkpoint.path
    places = range_check.Places(
        data, [(path.name, read_json(path / "meta" / "info.json")["total_episodes"])
               for path, _ in sources])
    for channels, findings in (
            range_check.states(data, recipe.state, normalizer, places, stored),
            range_check.actions(data, recipe.action, normalizer, places, stored)):
        result.channels += channels
        result.findings += findings
    result.cameras, findings = range_check.cameras(data, list(recipe.cameras))
    result.findings += findings


def _probe(result: Diagnosis, learner: Learner, batch: Batch, start: bool) -> None:
    _progress(f"one batch of {result.batch_size}: output, activations, gradients")
    result.output = probe.output_scale(learner, batch)
    result.blocks = probe.blocks(learner, batch)
    result.findings += [*probe.output_findings(result.output, start),
                        *probe.block_findings(result.blocks, start)]


def _plan(result: Diagnosis, recipe: Recipe, data: Mixture, episodes: np.ndarray,
          learner: Learner) -> None:
    """Measure the memory of a step, and find the largest batch."""
    _progress("memory plan")

    def draw(size: int) -> Batch:
        options = recipe.optimization.model_copy(update={"batch_size": size})
        sized = recipe.model_copy(update={"optimization": options})
        return BatchSampler(data, episodes, sized)[1]
    trainer = one_batch.quiet_trainer(learner, recipe, data, 1, result.device)
    memory = memory_plan.StepMemory(trainer, draw)
    memory.measure(result.batch_size, _free_memory(result.device))
    result.plan, result.measured_batch = memory.plan(result.batch_size), memory.largest_measured
    if result.measured_batch < result.batch_size:
        result.skipped.append(f"Measuring the memory beyond batch {result.measured_batch}: batch "
                              f"{result.batch_size} takes {result.plan.total:.0f} MB, more than "
                              "is free here.")
    limit = 1e3 * result.gpu_gb * result.utilization
    result.largest_batch = memory.largest_batch(limit)
    result.largest_plan = memory.plan(result.largest_batch or 1)
    result.findings += _memory_findings(result, result.plan.total, limit)


def _memory_findings(result: Diagnosis, needed: float, limit: float) -> Iterator[Finding]:
    where = f"{result.utilization:.0%} of {result.gpu_gb:g} GB"
    if not result.largest_batch:
        yield Finding("memory", f"Batch size 1 takes {result.largest_plan.total:.0f} MB, and "
                      f"{limit:.0f} MB ({where}) is the limit; make the model smaller.",
                      error=result.largest_plan.total > 1e3 * result.gpu_gb)
    elif needed > limit:
        yield Finding("memory", f"Batch size {result.batch_size} takes {needed:.0f} MB, and "
                      f"{limit:.0f} MB ({where}) is the limit; lower optimization.batch_size to "
                      f"{result.largest_batch} or less.", error=needed > 1e3 * result.gpu_gb)


def _with_instructions(data: Mixture, config: PolicyConfig) -> Mixture:
    """Number the tasks as a checkpoint does."""
    rows = np.array([config.instruction_index(task) for task in data.tasks])
    return replace(data, tasks=config.instructions, task_index=rows[data.task_index])


def _limits_normalizer(recipe: Recipe) -> Normalizer:
    size = len(recipe.state)
    return Normalizer(torch.zeros(size), torch.ones(size), torch.tensor(recipe.action.low),
                      torch.tensor(recipe.action.high))


def _random_data(recipe: Recipe, normalizer: Normalizer, tasks: tuple[str, ...]) -> Mixture:
    """Return one episode of noise: its shapes and scales are right, nothing else."""
    rng = np.random.default_rng(recipe.seed)
    camera, frames = next(iter(recipe.cameras.values())), 2 * recipe.action.horizon
    normal = torch.from_numpy(rng.normal(size=(frames, len(recipe.state))).astype(np.float32))
    uniform = rng.uniform(-1.0, 1.0, (frames, 1, len(recipe.action.channels)))
    actions = normalizer.of_rows(0, 1).to_action(
        torch.from_numpy(uniform.astype(np.float32))).numpy()
    return Mixture(
        root=Path(), tasks=tasks,
        images=rng.integers(0, 256, (frames, len(recipe.cameras), camera.height, camera.width, 3),
                            dtype=np.uint8),
        states=(normalizer.state_mean + normalizer.state_std * normal).numpy(),
        actions=actions, executed=actions,
        task_index=np.zeros(frames, np.int64), starts=np.array([0]), ends=np.array([frames]),
        group=np.zeros(frames, np.int64), group_weights=(1.0,))


def _free_memory(device: str) -> float:
    """Return MB."""
    if device.startswith("cuda"):
        return torch.cuda.mem_get_info(device)[0] / MB
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / MB


def _progress(text: str) -> None:
    print(f"{text} ...", file=sys.stderr, flush=True)

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

"""Train a policy on demonstrations, from the start or from a save."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from tinyvla_ros.core.configuration import parse
from tinyvla_ros.core.errors import InputError, unknown
from tinyvla_ros.core.files import checkpoint_digest
from tinyvla_ros.core.provenance import provenance
from tinyvla_ros.policy.backends.torch_backend import find_device
from tinyvla_ros.policy.checkpoint import load_checkpoint, save_checkpoint
from tinyvla_ros.policy.config import PolicyConfig
from tinyvla_ros.policy.model.base_model import with_fingerprint
from tinyvla_ros.policy.normalizer import Normalizer
from tinyvla_ros.policy.pretrained import BaseModelSource
from training.data.fingerprint import is_same_data
from training.learning.initial_weights import reads_alike, weights_for
from training.learning.learner import Learner, count_parameters, parameter_table
from training.learning.lineage import lineage
from training.learning.mixture import Mixture, load_mixture
from training.learning.processes import Process, check_share, join_processes
from training.learning.recipe import Recipe
from training.learning.run_directory import LAST, RunDirectory
from training.learning.run_log import RunLog, require_wandb
from training.learning.trainer import Trainer

WARNINGS_SHOWN = 12


@dataclass(frozen=True)
class RunOptions:
    """What a run depends on beside its recipe.

    Attributes:
        sources: dataset directories and their weights.
        device: torch device.
        threads: CPU threads per process, None for all cores shared evenly.
        init: checkpoint to start from, None for the initialization.
        wandb: Weights & Biases project, None for none.
        cache: see ``load_demonstrations``.
    """

    sources: Sequence[tuple[Path, float]]
    device: str = "cpu"
    threads: int | None = None
    init: Path | None = None
    wandb: str | None = None
    cache: Path | None = None


def train(recipe: Recipe, options: RunOptions, out: str | Path) -> bool:
    """Train from the start.

    Args:
        recipe: what and how to train.
        options: data, device and so on.
        out: run directory to create.

    Returns:
        Whether the last step was reached; False after SIGTERM or SIGINT, with all saved.

    Raises:
        InputError: data that does not match, ``out`` in use, a full disk, a run that diverged.
    """
    with join_processes(options.device) as process:
        # Before the data are read, which may take long.
        _check_start(recipe, options, process.world_size)
        run = RunDirectory.create(out) if process.is_main_process else RunDirectory(Path(out))
        process.wait()
        data = load_mixture(options.sources, recipe, options.cache)
        _warn(data, process)
        trainer, normalizer = _start(recipe, options, data, process)
        identity = _identity(recipe, options, data, trainer)
        if process.is_main_process:
            run.write_report(identity)
        return _run(run, trainer, normalizer, identity, options.wandb)


def check_run(recipe: Recipe, options: RunOptions, processes: int) -> Mixture:
    """Check what would stop a run with so many processes, and decode the images; return the data.

    Raises:
        InputError: see ``train``.
    """
    find_device(options.device)
    _check_start(recipe, options, processes)
    return load_mixture(options.sources, recipe, options.cache)


def resume(path: str | Path, device: str | None = None, threads: int | None = None,
           cache: Path | None = None, places: Sequence[Path] = ()) -> bool:
    """Go on with a run from its last save: same weights, bit by bit, as without a break.

    That holds on the CPU with the same number of threads and processes.

    Args:
        path: run directory.
        device: torch device, None for the run's own.
        threads: CPU threads, None for the run's own.
        cache: see ``load_demonstrations``.
        places: where the run's datasets are now, in its order; none for where they were.

    Returns:
        As ``train``.

    Raises:
        InputError: not a run, already finished, its data moved or changed, damaged files.
    """
    run = RunDirectory.open(path)
    report = run.report()
    recipe, options = begun_run(path, device, threads, cache, places)
    sources = options.sources
    with join_processes(options.device) as process:
        _check_start(recipe, options, process.world_size)
        data = load_mixture(options.sources, recipe, options.cache)
        _warn(data, process)
        expected = "+".join(d["fingerprint"] for d in report["data"])
        if not is_same_data(expected, data.fingerprint, [root for root, _ in sources]):
            where = ", ".join(str(root) for root, _ in sources)
            raise InputError(f"The data of {run.path} are not those in {where} (fingerprint "
                             f"{data.fingerprint}, then {expected}); restore them, give --data "
                             "with the places where they are, or train again with another --out.")
        if run.saved:
            last = load_checkpoint(run.path / LAST)
            normalizer = last.normalizer
            # It names the base model, which may have changed since.
            recipe = recipe.model_copy(update={"model": last.config.model})
            trainer = _trainer(recipe, options, data, normalizer, process)
            trainer.restore(*run.load_state(trainer.shapes()))
        else:  # it was killed before its first save
            trainer, normalizer = _start(recipe, options, data, process)
        if trainer.step >= recipe.optimization.steps:
            raise InputError(f"{run.path} is finished (step {trainer.step} of "
                             f"{recipe.optimization.steps}); evaluate {run.path}/last, or start "
                             f"from it with --init {run.path}/last.")
        if places and process.is_main_process:
            for entry, (root, _) in zip(report["data"], sources, strict=True):
                entry["path"] = str(root.resolve())
        return _run(run, trainer, normalizer, report, options.wandb)


def _check_start(recipe: Recipe, options: RunOptions, processes: int) -> None:
    """Check what needs no data."""
    check_share(recipe.optimization.batch_size, processes)
    require_wandb(options.wandb)
    compilers = (os.environ.get("CXX", "g++"), "g++", "clang++")
    if recipe.optimization.compile and not any(map(shutil.which, compilers)):
        raise InputError("optimization.compile is true, and there is no C++ compiler (g++); "
                         "install one (apt install g++), or set it to false.")


def begun_run(path: str | Path, device: str | None = None, threads: int | None = None,
              cache: Path | None = None, places: Sequence[Path] = ()
              ) -> tuple[Recipe, RunOptions]:
    """Return recipe and options of a run that was begun; see ``resume``."""
    run = RunDirectory.open(path)
    report = run.report()
    recipe = parse(Recipe, report.get("recipe"), f"{run.path}/train.json: recipe")
    init = report["init"] and Path(report["init"]["path"])
    return recipe, RunOptions(
        _sources(run, report["data"], places), device or report["device"],
        threads or report["threads"], init, report["wandb"], cache)


def _sources(run: RunDirectory, stored: list[dict], places: Sequence[Path]
             ) -> list[tuple[Path, float]]:
    """Return directories and weights of a run's datasets, which may have moved."""
    if places and len(places) != len(stored):
        names = ", ".join(d.get("name") or Path(d["path"]).name for d in stored)
        raise InputError(f"{run.path} was started with {len(stored)} dataset(s) ({names}), and "
                         f"--data names {len(places)}; give all of them, in this order.")
    roots = list(places) or [Path(d["path"]) for d in stored]
    missing = next((root for root in roots if not root.is_dir()), None)
    if missing is not None:
        raise InputError(f"The data of {run.path} are not at {missing}; give the place where they "
                         f"are: tinyvla train --resume {run.path} --data DIR"
                         + " DIR" * (len(roots) - 1) + ".")
    return [(root, d["weight"]) for root, d in zip(roots, stored, strict=True)]


def _warn(data: Mixture, process: Process) -> None:
    """Print what 'tinyvla data check' would warn about."""
    if not process.is_main_process:
        return
    for note in data.notes[:WARNINGS_SHOWN]:
        print(f"warning: {note.text}", file=sys.stderr, flush=True)
    more = len(data.notes) - WARNINGS_SHOWN
    if more > 0:
        print(f"warning: {more} more; 'tinyvla data check DIR --config RECIPE' shows all.",
              file=sys.stderr, flush=True)


def fit_normalizer(data: Mixture) -> Normalizer:
    """Fit the normalizer to all demonstrations."""
    # Extremes are all that a range needs: chunks share most of their rows.
    low, high = (np.concatenate([getattr(rows, extreme)(0) for _, rows in data.chunk_rows()])
                 for extreme in ("min", "max"))
    alike = np.ones(low.shape[1], bool)
    for channel, _ in data.turning.relative:
        alike[channel] = False
    low[:, alike], high[:, alike] = low[:, alike].min(0), high[:, alike].max(0)
    extremes = np.stack([low, high])
    return Normalizer.fit(torch.from_numpy(data.states), torch.from_numpy(
        extremes[:, 0] if alike.all() else extremes))


def _start(recipe: Recipe, options: RunOptions, data: Mixture, process: Process
           ) -> tuple[Trainer, Normalizer]:
    """Return a trainer before its first step, and its normalizer."""
    if options.init is None:
        normalizer = fit_normalizer(data)
        return _trainer(recipe, options, data, normalizer, process), normalizer
    start = load_checkpoint(options.init, merge=False)
    trainer = _trainer(recipe, options, data, start.normalizer, process)
    network = trainer.learner.network
    weights = weights_for(network, start)
    languages = start.config.language, network.config.language
    if process.is_main_process and not reads_alike(*languages):
        print(f"{start.path} reads instructions as {languages[0].kind}, and this recipe as "
              f"{languages[1].kind} in its own way: words are learned anew.", flush=True)
    for module in (network, trainer.averaged.module.network):
        module.load_state_dict(weights)
    return trainer, start.normalizer


def _trainer(recipe: Recipe, options: RunOptions, data: Mixture, normalizer: Normalizer,
             process: Process) -> Trainer:
    torch.set_num_threads(options.threads or max(1, (os.cpu_count() or 1) // process.world_size))
    torch.backends.cudnn.benchmark = True  # batches are all of one shape
    torch.manual_seed(recipe.seed)
    for field in ("paraphrases", "task_weights"):
        for instruction in getattr(recipe, field):
            if instruction not in data.tasks:
                raise InputError(f"{field}: " + unknown("instruction", instruction, data.tasks))
    config = with_fingerprint(recipe.policy_config(data.tasks, data.turning),
                              BaseModelSource(download=True))
    learner = Learner(recipe, config, normalizer)
    return Trainer(learner.to(process.device), recipe, data, process)


def _run(run: RunDirectory, trainer: Trainer, normalizer: Normalizer, identity: dict,
         wandb: str | None) -> bool:
    config: PolicyConfig = trainer.learner.network.config

    def save(best: bool) -> None:
        if trainer.process.is_main_process:
            report = identity | _course(trainer)
            shipped = report | {"data": [_without_path(d) for d in report["data"]],
                                "init": report["init"] and _without_path(report["init"])}
            weights = trainer.averaged.module.network.state_dict()
            run.save(trainer.step,
                     lambda place: save_checkpoint(place, config, weights, normalizer, shipped),
                     trainer.tensors(), trainer.progress(), best,
                     trainer.options.snapshot_every)
            run.write_report(report)
        trainer.process.wait()

    if not trainer.process.is_main_process:
        return trainer.run(save, None)
    print(parameter_table(count_parameters(trainer.learner)), flush=True)
    with RunLog(run.path, trainer.step, wandb, identity["recipe"]) as log:
        return trainer.run(save, log)


def _identity(recipe: Recipe, options: RunOptions, data: Mixture, trainer: Trainer) -> dict:
    """Return the part of ``train.json`` that is needed to repeat the run."""
    fingerprints = data.fingerprint.split("+")
    demonstrations = dict(zip(data.tasks, np.bincount(
        data.task_index[data.starts], minlength=len(data.tasks)).tolist(), strict=True))
    return {
        "recipe": recipe.model_dump(mode="json"),
        "data": [{"name": path.name, "path": str(path.resolve()), "weight": weight,
                  "fingerprint": fingerprint} for (path, weight), fingerprint in
                 zip(options.sources, fingerprints, strict=True)],
        "init": options.init and {"path": str(options.init.resolve()),
                                  "digest": checkpoint_digest(options.init)},
        "wandb": options.wandb,
        "episodes": len(trainer.train_episodes), "held_out_episodes": len(trainer.held_out),
        "demonstrations": demonstrations,
        **lineage(fingerprints, demonstrations, options.init),
        "frames": len(data.states), "device": options.device,
        "threads": torch.get_num_threads(), "processes": trainer.process.world_size,
        "precision": "bfloat16" if trainer.bfloat16 else "float32",
        "parameters": count_parameters(trainer.learner), **provenance()}


def _without_path(entry: dict) -> dict:
    """Return an entry as a checkpoint may carry it to other machines."""
    return {k: v for k, v in entry.items() if k != "path"}


def _course(trainer: Trainer) -> dict:
    """Return the part of ``train.json`` on how far the run came."""
    return {"step": trainer.step, "seconds": round(trainer.seconds, 1),
            "skipped_batches": trainer.skipped, "best_validation": trainer.best,
            "losses": trainer.history}

# SPDX-License-Identifier: Apache-2.0
"""What each fix does: training from the exploding recipe to the stable one, one fix at a time."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from tinyvla_ros.core.configuration import parse
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.resources import share_directory
from training.experiments.options import AblationOptions
from training.learning.recipe import Recipe

# A fix is a group of fields that goes from one recipe to the other as a whole.
FIXES = {
    "initialization": ("initialization.kind", "initialization.head_scale"),
    "loss": ("optimization.loss_scale_above",),
    "schedule": ("optimization.learning_rate", "optimization.batch_size",
                 "optimization.final_fraction", "optimization.warmup_steps"),
    "clipping": ("optimization.gradient_norm",),
}
# Set by the ablation itself: equal budgets, several seeds.
BUDGET = ("optimization.steps", "seed")
BAD, GOOD, REFERENCE = "bad", "good", "reference"
RUNS, EPISODES = "runs", "episodes"


def make_cells(bad: Recipe, good: Recipe, reference: Recipe | None = None) -> dict[str, Recipe]:
    """Return the recipes to compare, by name.

    ``bad``, ``bad+<fix>`` with one fix taken from ``good``, ``good``, ``good-<fix>`` with one
    left as in ``bad``, and ``reference``. Fixes in which they do not differ are left out.

    Raises:
        InputError: the recipes differ in a field that belongs to no fix, or in none that does.
    """
    bad_fields, good_fields = (_flat(r.model_dump(mode="json")) for r in (bad, good))
    differing = {f for f in bad_fields.keys() | good_fields.keys()
                 if bad_fields.get(f) != good_fields.get(f)} - set(BUDGET)
    foreign = sorted(differing.difference(*FIXES.values()))
    if foreign:
        known = ", ".join(field for fields in FIXES.values() for field in fields)
        raise InputError(f"The recipes differ in {', '.join(foreign)}, which belongs to no fix; "
                         f"make it equal in both, fixes change {known}.")
    fixes = [name for name, fields in FIXES.items() if differing.intersection(fields)]
    if not fixes:
        raise InputError("The recipes do not differ in any fix; give --bad and --good that do.")
    if len(fixes) == 1:  # with it bad is good
        fixes = []
    cells = {BAD: bad}
    cells |= {f"{BAD}+{fix}": _with_fix(bad, good, fix) for fix in fixes}
    cells |= {GOOD: good}
    cells |= {f"{GOOD}-{fix}": _with_fix(good, bad, fix) for fix in fixes}
    return cells | ({REFERENCE: reference} if reference else {})


def with_budget(recipe: Recipe, samples: int, seed: int) -> Recipe:
    """Return the recipe for ``samples`` observations.

    Raises:
        InputError: not a whole number of batches.
    """
    steps, rest = divmod(samples, recipe.optimization.batch_size)
    if rest or steps < 1:
        raise InputError(f"Samples is {samples}; give a multiple of every batch size, one is "
                         f"{recipe.optimization.batch_size}.")
    optimization = recipe.optimization.model_copy(update={"steps": steps})
    return recipe.model_copy(update={"optimization": optimization, "seed": seed})


def _with_fix(recipe: Recipe, other: Recipe, fix: str) -> Recipe:
    data, source = recipe.model_dump(mode="json"), other.model_dump(mode="json")
    for field in FIXES[fix]:
        part, name = field.split(".")
        data[part][name] = source[part][name]
    return parse(Recipe, data, f"recipe with the other's {fix}")


def _flat(data: dict, prefix: str = "") -> dict:
    """Return nested dictionaries as one with dotted keys."""
    flat = {}
    for key, value in data.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def compare_fixes(options: AblationOptions) -> str | None:
    """Train and evaluate what is missing in ``options.out``.

    Returns:
        The report; None if it was stopped, to go on with the same options.
    """
    from training.experiments.ablation.report import write_report
    from training.experiments.ablation.run import RunJob, train_and_measure
    from training.experiments.episode_jobs import episode_jobs
    from training.jobs.pool import Job, Progress, Stopped, work_through
    from training.jobs.results_log import ResultsLog
    from training.learning.mixture import parse_sources
    from training.learning.run_directory import LAST

    cells = make_cells(*_recipes(options))
    sources = parse_sources(options.data)
    with ResultsLog(options.out, _plan(options, cells, sources), (RUNS, EPISODES)) as log:

        def evaluation(cell: str, seed: int) -> list[Job]:
            if not options.episodes:
                return []
            return episode_jobs(run_path(log.path, cell, seed) / LAST, options.tasks,
                                options.episodes, options.eval_seed, options.n_action_steps,
                                {"cell": cell, "seed": seed}, log.records[EPISODES])

        def finished(job: Job, result: dict) -> list[Job]:
            log.add(f"{job.kind}s", result)
            return evaluation(result["cell"], result["seed"]) if job.kind == "run" else []

        trained = {(r["cell"], r["seed"]) for r in log.records[RUNS]}
        # One seed after the other: what is there early is a whole comparison.
        todo = [(cell, seed) for seed in options.seeds for cell in cells
                if (cell, seed) not in trained]
        jobs = [job for key in sorted(trained) for job in evaluation(*key)]
        episodes = len(jobs) + len(todo) * len(options.tasks) * options.episodes
        jobs += [Job("run", train_and_measure, RunJob(
            run_path(log.path, cell, seed), cell,
            with_budget(cells[cell], options.samples, seed), tuple(sources)))
            for cell, seed in todo]
        try:
            if jobs:
                work_through(jobs, finished, options.workers, Progress(
                    {"run": len(todo), "episode": episodes}, options.workers))
        except Stopped:
            print("stopped, all saved; the same command goes on from here")
            return None
        return write_report(log)


def run_path(out: Path, cell: str, seed: int) -> Path:
    """Return the directory of a run."""
    return Path(out) / RUNS / f"{cell}-{seed}"


def _recipes(options: AblationOptions) -> tuple[Recipe, Recipe, Recipe | None]:
    shipped = share_directory() / "config" / "train"
    load = partial(Recipe.load, overrides=options.settings)
    return (load(options.bad or shipped / "exploding.yaml"),
            load(options.good or shipped / "stable.yaml"),
            load(options.reference) if options.reference else None)


def _plan(options: AblationOptions, cells: dict[str, Recipe], sources) -> dict:
    """Check everything that can be checked before hours of training; return what is to be done.

    Also decodes the images once, before several processes want them.
    """
    from training.experiments.episode_jobs import check_tasks
    from training.learning.mixture import load_mixture
    from training.learning.trainer import split_episodes

    recipes = {cell: with_budget(recipe, options.samples, 0).model_dump(mode="json")
               for cell, recipe in cells.items()}
    seen = {}
    for recipe in cells.values():
        inputs = str((recipe.cameras, recipe.state, recipe.action))
        data = seen.get(inputs) or load_mixture(sources, recipe)
        seen[inputs] = data
        config = recipe.policy_config(data.tasks)
        if options.episodes:
            check_tasks(options.tasks, options.episodes, options.eval_seed, config)
        if not 1 <= (options.n_action_steps or 1) <= recipe.action.horizon:
            raise InputError(f"--n-action-steps is {options.n_action_steps}; give a number from 1 "
                             f"to {recipe.action.horizon}.")
        if not len(split_episodes(recipe, len(data.starts))[1]):
            raise InputError(f"A validation fraction of {recipe.optimization.validation_fraction} "
                             f"holds out none of {len(data.starts)} episodes; raise it or give "
                             "more data.")
    fingerprints = data.fingerprint.split("+")
    return {"samples": options.samples, "seeds": options.seeds, "tasks": options.tasks,
            "episodes": options.episodes, "eval_seed": options.eval_seed,
            "n_action_steps": options.n_action_steps,
            "data": [{"name": path.name, "weight": weight, "fingerprint": fingerprint}
                     for (path, weight), fingerprint in zip(sources, fingerprints, strict=True)],
            "cells": recipes}

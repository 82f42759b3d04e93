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

"""``tinyvla improve``: a better checkpoint of recorded episodes, takeovers and the original data.

::

    OUT/settings.json       what it was asked for, to go on with the same
    OUT/data/human          datasets of the parts of the episodes, by the rule
    OUT/recipe.yaml         the checkpoint's recipe with these steps and this learning rate
    OUT/run                 the training; its checkpoint names the one before in training.json
    OUT/evaluation/*/before both on the same episodes, a folder for each choice of these
    OUT/evaluation/*/after
    OUT/checkpoint          the new checkpoint, if it is better

Every step is one that a command of its own does, is printed as such, and is not repeated where it
was finished.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from pathlib import Path

import yaml

from tinyvla_ros.bags.reader import find_bags
from tinyvla_ros.core.configuration import override, parse, read_json
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.files import CONFIG, begin_or_go_on, checkpoint_digest
from tinyvla_ros.policy.config import PolicyConfig
from training.bag_export.export import export_bags
from training.bag_export.options import ExportOptions
from training.data.lerobot.reader import read_info
from training.improve.judgment import Judgment, judge
from training.improve.options import ImproveOptions
from training.improve.rules import RULES, Part, shares
from training.jobs.child import run_to_its_end
from training.learning.mixture import parse_sources
from training.learning.recipe import Recipe

DATA, RECIPE, RUN, CHECKPOINT = "data", "recipe.yaml", "run", "checkpoint"
STATE = "state.safetensors"  # of the training, no part of a policy
# What recipe and policy have in common.
POLICY = {"cameras", "state", "action", "model", "diffusion", "language"}
# Of what may differ when the same command goes on.
FREE = {"out", "processes", "threads", "device", "workers", "cache", "tasks", "episodes", "seed",
        "horizon", "config"}


class TrainingEndedError(Exception):
    """The training was stopped or failed, and has said why; holds exit code and which."""


def improve(options: ImproveOptions) -> Judgment | None:
    """Make the new checkpoint, and judge it where there are tasks to judge it on.

    Returns:
        The judgment; None without tasks.

    Raises:
        InputError: the checkpoint, the episodes, the data or the options cannot be used.
        TrainingEndedError: see there.
    """
    policy = PolicyConfig.load(options.checkpoint)
    recipe = _recipe(options, policy)
    if options.tasks:
        _check_evaluation(options, policy)  # what is wrong is said before hours of training
    infos = [read_info(path) for path, _ in parse_sources(options.data)]
    _begin(options)
    new = _export(options, recipe, infos[0])
    run = _train(options, recipe, new)
    if not options.tasks:
        _offer(run, options.out / CHECKPOINT)
        return None
    found = _evaluate(options, run)
    if found.is_better:
        _offer(run, options.out / CHECKPOINT)
    return found


def _recipe(options: ImproveOptions, policy: PolicyConfig) -> Recipe:
    """Return the checkpoint's recipe with the steps and the learning rate of this training."""
    file = options.checkpoint / "training.json"
    report = read_json(file) if file.is_file() else {}
    if not isinstance(report, dict) or "recipe" not in report:
        raise InputError(f"{options.checkpoint} does not hold the recipe it was trained with "
                         f"({file.name}); give a checkpoint that 'tinyvla train' made.")
    recipe = parse(Recipe, report["recipe"], f"{file}, recipe")
    rate = options.learning_rate or recipe.optimization.learning_rate / 3
    changes = {"steps": options.steps, "learning_rate": rate,
               "warmup_steps": min(recipe.optimization.warmup_steps, options.steps // 10),
               "save_every": min(recipe.optimization.save_every, max(1, options.steps // 4)),
               "snapshot_every": 0}
    data = recipe.model_dump(mode="json")
    # Somebody may have changed the policy since, such as how many rows of a chunk are executed.
    data |= policy.model_dump(mode="json", include=POLICY)
    data["action"]["continuous"] = {}  # data state that themselves
    data["optimization"] |= changes

    return parse(Recipe, override(data, options.settings, Recipe), "the checkpoint's recipe "
                 + " ".join(f"--set {s}" for s in options.settings))


def _begin(options: ImproveOptions) -> None:
    """Make the directory, or check that it is of the same work."""
    wanted = options.model_dump(mode="json", exclude=FREE) | {
        "checkpoint": checkpoint_digest(options.checkpoint),
        "bags": [str(p.resolve()) for p in find_bags(*options.bags)],
        "data": [[str(p.resolve()), w] for p, w in parse_sources(options.data)]}
    begin_or_go_on(options.out, wanted)


# ---- data --------------------------------------------------------------------------------------

def _export(options: ImproveOptions, recipe: Recipe, info: dict) -> dict[str, Path]:
    """Return name -> dataset of the parts that the episodes have."""
    made = {}
    for part in RULES[options.rule]:
        out = options.out / DATA / part.name
        empty = out.with_name(out.name + ".empty")
        if (out / "meta/info.json").is_file():
            made[part.name] = out
        elif not empty.exists():
            _print_step(f"what the rule {options.rule} takes of the episodes: {part.name}")
            if _export_part(options, part, recipe, info, out):
                made[part.name] = out
            elif part.required:
                raise InputError(f"The episodes have nothing for the rule {options.rule}; the "
                                 "lines above say why. Give others, or another --rule.")
            else:
                empty.touch()
    return made


def _export_part(options: ImproveOptions, part: Part, recipe: Recipe, info: dict, out: Path
                 ) -> bool:
    """Make the dataset of a part; return whether there is anything in it."""
    out.parent.mkdir(parents=True, exist_ok=True)
    exported = export_bags(ExportOptions(
        bags=options.bags, out=out, robot=options.robot, fps=info["fps"],
        **_as_before(options), config=options.checkpoint, dt=recipe.action.dt,
        outcome="success", commander=part.commander,
        lead_up=options.lead_up if part.skips_lead_up else 0.0, workers=options.workers,
        resume=out.with_name(out.name + ".export").exists()),
        recipe.cameras, recipe.state)
    for note in exported.notes:
        print(note)
    print(f"{exported.episodes} episodes, {exported.frames} frames")
    return bool(exported.episodes)


def _as_before(options: ImproveOptions) -> dict[str, object]:
    """Return how the original data were exported, where these were bags."""
    files = [path / "meta/bags.json" for path, _ in parse_sources(options.data)]
    known = next((read_json(f) for f in files if f.is_file()), {})
    names = {"tolerance": "tolerance_s", "pick": "pick", "actions": "actions"}
    before = {name: known[key] for name, key in names.items() if key in known}
    return before | ({} if options.tolerance is None else {"tolerance": options.tolerance})


# ---- training ----------------------------------------------------------------------------------

def _train(options: ImproveOptions, recipe: Recipe, new: dict[str, Path]) -> Path:
    """Train, or go on with it; return the new checkpoint."""
    run = options.out / RUN
    last = run / "last"
    if not _is_trained(last, recipe.optimization.steps):
        file = options.out / RECIPE
        file.write_text(yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False,
                                       allow_unicode=True), encoding="utf-8")
        parts = tuple(p for p in RULES[options.rule] if p.name in new)
        more = ["--device", options.device]
        more += ["--threads", str(options.threads)] if options.threads else []
        more += ["--cache", str(options.cache)] if options.cache else []
        more += ["--processes", str(options.processes)] if options.processes > 1 else []
        if (last / STATE).is_file():
            begin = ["--resume", str(run)]
        else:
            shutil.rmtree(run, ignore_errors=True)  # nothing was saved
            old = parse_sources(options.data)
            total = sum(weight for _, weight in old)
            weights = [(path, (1.0 - options.share) * weight / total) for path, weight in old]
            weights += [(new[name], share) for name, share in
                        shares(parts, options.share).items()]
            begin = ["--config", str(file), "--init", str(options.checkpoint), "--out", str(run),
                     "--data", *(f"{path}={weight:.6g}" for path, weight in weights)]
        _command("train", *begin, *more)
    if not (last / "policy.onnx").is_file():
        _command("export", str(last))
    return last


def _is_trained(last: Path, steps: int) -> bool:
    file = last / "training.json"
    return file.is_file() and read_json(file).get("step") == steps


def _command(*arguments: str) -> None:
    _print_step("tinyvla " + " ".join(arguments))
    code, was_stopped = run_to_its_end([sys.executable, "-m", "tinyvla_ros.cli", *arguments])
    if was_stopped or code:
        raise TrainingEndedError(code, was_stopped)


# ---- judgment ---------------------------------------------------------------------------------

def _evaluate(options: ImproveOptions, run: Path) -> Judgment:
    # Needs a simulator, which an arm has not.
    from training.experiments.evaluate import evaluate
    from training.experiments.options import EvaluationOptions

    # Another evaluation may be asked for later; none is repeated, and none is lost.
    asked = {"tasks": options.tasks, "episodes": options.episodes, "seed": options.seed,
             "horizon": options.horizon,
             "config": options.config and Path(options.config).read_text(encoding="utf-8-sig")}
    digest = hashlib.sha256(json.dumps(asked, default=str).encode()).hexdigest()[:8]
    folder = options.out / "evaluation" / digest
    places = [folder / name for name in ("before", "after")]
    for checkpoint, place in zip((options.checkpoint, run), places, strict=True):
        if not (place / "results.json").is_file():
            _print_step(f"evaluation of {checkpoint}")
            shutil.rmtree(place, ignore_errors=True)  # one that was cut off
            evaluate(EvaluationOptions(
                tasks=options.tasks, episodes=options.episodes, seed=options.seed,
                horizon=options.horizon, checkpoint=str(checkpoint), out=place,
                workers=options.workers, config=options.config))
    return judge(*places)


def _check_evaluation(options: ImproveOptions, policy: PolicyConfig) -> None:
    from sim_bridge.episodes import plan_episodes
    from sim_bridge.opengl import require_opengl
    from sim_bridge.simulated_robot import SimulatedRobotConfig
    from sim_bridge.task_suites import expand_tasks

    tasks = expand_tasks(options.tasks)
    plan_episodes(list(tasks), options.episodes, options.seed)
    robot = SimulatedRobotConfig.for_tasks(tasks, options.config)
    robot.with_cameras(policy.cameras)
    for task in tasks:
        policy.check_instruction(robot.instruction(task))
    require_opengl()


def _offer(run: Path, out: Path) -> None:
    """Put the new checkpoint where it is looked for; it appears whole or not at all."""
    if (out / CONFIG).is_file():
        return
    part = out.with_name(out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(run.resolve(), part, ignore=shutil.ignore_patterns(STATE))
    os.replace(part, out)


def _print_step(text: str) -> None:
    print(f"\n== {text}", flush=True)

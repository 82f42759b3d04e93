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

"""The ablation: its cells, its arithmetic, and a whole one as small as it gets."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from harness.datasets import ACTION, FPS, STATE, write_dataset
from tinyvla_ros.cli.main import run_command
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.resources import share_directory
from training.experiments.ablation.cells import make_cells, with_budget
from training.experiments.ablation.curves import Curve
from training.experiments.ablation.report import RunResult, summarize_cell
from training.experiments.ablation.shares import fix_shares
from training.experiments.ablation.tables import markdown
from training.learning.recipe import Recipe
from training.learning.run_directory import LAST, RunDirectory
from training.learning.train import RunOptions, train

TRAIN = share_directory() / "config" / "train"
BAD, GOOD = Recipe.load(TRAIN / "exploding.yaml"), Recipe.load(TRAIN / "stable.yaml")
TINY = {
    "cameras": {"front": {"height": 32, "width": 32}}, "state": STATE,
    "action": {"channels": ACTION, "units": ["m", "m"], "low": [-1.0, -1.0], "high": [1.0, 1.0],
               "dt": 1 / FPS, "horizon": 4, "n_action_steps": 2},
    "model": {"image_channels": 8, "keypoints": 4, "condition_dim": 16,
              "denoiser_channels": [8, 16, 16]}}


def changed(recipe: Recipe, base: Recipe) -> set[str]:
    """Return the fields of two levels in which recipes differ."""
    ours, theirs = recipe.model_dump(), base.model_dump()
    return {name for part in ("initialization", "optimization") for name in ours[part]
            if ours[part][name] != theirs[part][name]} | {
            name for name in ours if not isinstance(ours[name], dict) and
            ours[name] != theirs[name]}


def test_every_cell_changes_one_group_of_fields():
    cells = make_cells(BAD, GOOD, GOOD)
    groups = {"initialization": {"kind", "head_scale"}, "loss": {"loss_scale_above"},
              "schedule": {"learning_rate", "batch_size", "final_fraction"},
              "clipping": {"gradient_norm"}}
    assert list(cells) == ["bad", *(f"bad+{g}" for g in groups),
                           "good", *(f"good-{g}" for g in groups), "reference"]
    for group, fields in groups.items():
        assert changed(cells[f"bad+{group}"], BAD) == fields
        assert changed(cells[f"good-{group}"], GOOD) == fields
    assert cells["bad+clipping"].optimization.gradient_norm == 1.0
    assert cells["good-clipping"].optimization.gradient_norm is None
    assert cells["bad+initialization"].initialization == GOOD.initialization


def test_equal_budgets_are_equal_numbers_of_observations():
    cells = {name: with_budget(r, 1600, 3) for name, r in make_cells(BAD, GOOD).items()}
    assert {r.optimization.steps * r.optimization.batch_size for r in cells.values()} == {1600}
    assert {r.seed for r in cells.values()} == {3}
    with pytest.raises(InputError, match=r"batch size.* 16"):
        with_budget(BAD, 1608, 0)


@pytest.mark.parametrize(("part", "field", "value"), [
    ("optimization", "ema_decay", 0.9), ("diffusion", "sample_steps", 20)])
def test_recipes_that_differ_elsewhere_are_refused(part, field, value):
    data = GOOD.model_dump(mode="json")
    data[part][field] = value
    with pytest.raises(InputError, match=rf"{part}\.{field}"):
        make_cells(BAD, Recipe.model_validate(data))
    with pytest.raises(InputError, match="do not differ"):
        make_cells(GOOD, GOOD)


def cell(losses=(), successes=(), episodes=10) -> dict:
    """Return a cell's summary; losses and numbers of successes per seed."""
    zero = {"output_std": 1.0, "held_out": {"own": 1.0, "noise": 1.0}}
    runs = [RunResult({"seed": seed, "steps": 10, "first_loss": loss, "skipped": 0,
                       "before": zero, "after": zero, "outcome": "finished"},
                      Curve(np.arange(1, 11), np.full(10, loss)),
                      Curve(np.arange(1, 11), np.ones(10)), 1)
            for seed, loss in enumerate(losses)]
    records = [{"seed": seed, "task": "reach-v3", "success": e < count, "error": None}
               for seed, count in enumerate(successes) for e in range(episodes)]
    return summarize_cell(runs, records, ["reach-v3"])


def test_shares_are_parts_of_the_way_from_bad_to_good():
    cells = {"bad": cell((1000.0, 1000.0), (0, 0)), "good": cell((1.0, 1.0), (10, 8)),
             "bad+clipping": cell((10.0, 100.0), (9, 9)),
             "good-clipping": cell((1.0, 10.0), (9, 9))}
    shares = fix_shares(cells)
    loss, success = shares["final_loss"], shares["success reach-v3"]
    assert (loss["bad"], loss["good"]) == (3.0, 0.0)
    assert loss["fixes"]["clipping"]["recovered"] == pytest.approx(
        {"share": 0.5, "low": 1 / 3, "high": 2 / 3})
    assert loss["fixes"]["clipping"]["lost"]["share"] == pytest.approx(1 / 6)
    assert success["fixes"]["clipping"]["recovered"]["share"] == pytest.approx(1.0)
    assert success["fixes"]["clipping"]["lost"]["share"] == pytest.approx(0.0)


def test_no_shares_of_a_difference_that_seeds_do_not_show():
    cells = {"bad": cell((2.0, 4.0), (3, 4)), "good": cell((3.0, 1.0), (4, 5)),
             "bad+clipping": cell((1.0, 1.0), (3, 3)), "good-clipping": cell((1.0, 1.0), (3, 3))}
    shares = fix_shares(cells)
    assert shares["final_loss"]["fixes"] is None
    assert shares["success reach-v3"]["fixes"] is None


def test_success_is_pooled_with_its_interval_and_spread():
    success = cell((1.0, 1.0, 1.0), (2, 5, 8))["success"]["reach-v3"]
    assert (success["successes"], success["episodes"]) == (15, 30)
    assert success["wilson_low"] == pytest.approx(0.331, abs=1e-3)
    assert success["seeds"] == {"0": 0.2, "1": 0.5, "2": 0.8}


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    """A command line for two recipes that differ in initialization, with two seeds."""
    root = tmp_path_factory.mktemp("ablation")
    write_dataset(root / "data", cameras=("front",))
    for name, recipe in (("bad", BAD), ("good", BAD)):
        data = recipe.model_dump(mode="json") | TINY
        data["optimization"] |= {"batch_size": 4, "save_every": 20, "validation_fraction": 0.3}
        if name == "good":
            data["initialization"] = GOOD.initialization.model_dump()
        (root / f"{name}.yaml").write_text(yaml.safe_dump(data))
    return ["--data", str(root / "data"), "--bad", str(root / "bad.yaml"),
            "--good", str(root / "good.yaml"), "--samples", "160", "--seeds", "0", "1",
            "--episodes", "0", "--workers", "1", "--out", str(root / "out")]


def run(arguments: list[str]) -> int:
    return run_command(["ablate", *arguments])


@pytest.mark.slow
def test_a_whole_ablation_and_its_repetition(options):
    assert run(options) == 0
    out = Path(options[-1])
    result = json.loads((out / "ablation.json").read_text())
    assert list(result["cells"]) == ["bad", "good"]
    figures = {name: c["figures"] for name, c in result["cells"].items()}
    assert figures["bad"]["output_std_before"]["low"] > \
        5 * figures["good"]["output_std_before"]["high"]
    for run_record in result["runs"]:
        place = out / "runs" / f"{run_record['cell']}-{run_record['seed']}"
        last = RunDirectory(place).snapshots()[-1]
        assert last.name == "00000040" and (place / LAST).resolve() == last
        assert run_record["after"]["held_out"]["noise_by_level"][0] > 0
    assert set(figures["bad"]["max_loss"]["seeds"]) == {"0", "1"}
    assert figures["bad"]["max_loss"]["low"] >= figures["bad"]["first_loss"]["low"]
    text = (out / "ablation.md").read_text()
    assert "4 of 4 runs" in text and text == markdown(result)
    assert (out / "ablation.png").read_bytes().startswith(b"\x89PNG")
    rows = list(csv.DictReader((out / "curves.csv").open()))
    assert {int(r["observations"]) / int(r["step"]) for r in rows} == {4.0}

    before = {p: p.stat().st_mtime_ns for p in (out / "runs").rglob("*")}
    lines = (out / "runs.jsonl").read_text()
    assert run(options) == 0
    assert {p: p.stat().st_mtime_ns for p in (out / "runs").rglob("*")} == before
    assert (out / "runs.jsonl").read_text() == lines
    with pytest.raises(InputError, match=r"samples 160.* 320"):
        run([*options, "--samples", "320"])

    # One run is stopped half way, another was killed before it saved anything.
    kept = [line for line in lines.splitlines() if '"seed": 1' not in line]
    (out / "runs.jsonl").write_text("\n".join(kept) + "\n")
    weights = {name: (out / f"runs/{name}-1/last/model.safetensors").read_bytes()
               for name in result["cells"]}
    for name in weights:
        shutil.rmtree(out / f"runs/{name}-1")
    half_a_run(Recipe.load(options[3]), options[1], out / "runs/bad-1")
    (out / "runs/good-1/steps/00000020.part").mkdir(parents=True)
    assert run(options) == 0
    for name, expected in weights.items():
        assert (out / f"runs/{name}-1/last/model.safetensors").read_bytes() == expected
    assert len(json.loads((out / "ablation.json").read_text())["runs"]) == 4


def half_a_run(recipe: Recipe, data: str, path: Path) -> None:
    """Leave a run as a stop at step 20 of 40 does; the rate is constant, so the length is free."""
    train(with_budget(recipe, 80, 1), RunOptions([(Path(data), 1.0)], threads=1), path)
    report = json.loads((path / "train.json").read_text())
    report["recipe"]["optimization"]["steps"] = 40
    (path / "train.json").write_text(json.dumps(report))

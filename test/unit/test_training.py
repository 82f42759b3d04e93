# SPDX-License-Identifier: Apache-2.0
"""Collect, train and evaluate on real MetaWorld, as small as it gets."""

from __future__ import annotations

import json
import shutil

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import yaml

from tinyvla_ros.checkpoint import load_checkpoint
from tinyvla_ros.errors import InputError
from tinyvla_ros.resources import share_directory
from training.batches import BatchSampler
from training.collect import SEED_OFFSET, CollectOptions, collect
from training.dataset import load_demonstrations
from training.evaluate import EvaluationOptions, evaluate
from training.recipe import Recipe
from training.train import train

TASKS = ["reach-v3", "button-press-v3"]
SMALL = {"cameras": {"side": {"height": 48, "width": 48}, "front": {"height": 48, "width": 48}},
         "model": {"image_channels": 8, "keypoints": 4, "condition_dim": 16,
                   "denoiser_channels": [8, 16, 16]}}


def recipe(**optimisation) -> Recipe:
    data = yaml.safe_load((share_directory() / "config/train/default.yaml").read_text())
    data |= SMALL
    data["optimisation"] |= {"steps": 6, "batch_size": 8, "warmup_steps": 2, "save_every": 3,
                             "precision": "float32", "validation_fraction": 0.25,
                             **optimisation}
    return Recipe.model_validate(data)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "demos"
    collect(TASKS, 2, 0, root, CollectOptions(image_size=48), workers=1)
    return root


@pytest.fixture(scope="module")
def demonstrations(dataset):
    r = recipe()
    return load_demonstrations(dataset, r.cameras, r.state, r.action)


def test_dataset_follows_lerobot_v3(dataset):
    info = json.loads((dataset / "meta/info.json").read_text())
    assert info["codebase_version"] == "v3.0"
    assert info["fps"] == 20
    assert info["total_episodes"] == 4
    table = pq.read_table(dataset / "data/chunk-000/file-000.parquet")
    assert set(table.column_names) == set(info["features"])
    assert table.num_rows == info["total_frames"]
    assert table["index"].to_pylist() == list(range(table.num_rows))
    frames = np.array(table["frame_index"])
    assert np.allclose(np.array(table["timestamp"]), frames / 20)
    image = cv2.imdecode(np.frombuffer(
        table["observation.images.side"][0].as_py()["bytes"], np.uint8), cv2.IMREAD_COLOR)
    assert image.shape == (48, 48, 3)
    episodes = pq.read_table(dataset / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    assert [e["dataset_from_index"] for e in episodes[1:]] == \
        [e["dataset_to_index"] for e in episodes[:-1]]
    tasks = pq.read_table(dataset / "meta/tasks.parquet").to_pylist()
    assert [t["task_index"] for t in tasks] == [0, 1]
    stats = json.loads((dataset / "meta/stats.json").read_text())
    assert np.array(stats["observation.images.side"]["mean"]).shape == (3, 1, 1)
    assert len(stats["action"]["q50"]) == 16


def test_demonstrations_do_not_depend_on_the_number_of_workers(dataset, tmp_path):
    collect(TASKS, 2, 0, tmp_path / "again", CollectOptions(image_size=48), workers=2)
    for name in ("data/chunk-000/file-000.parquet",):
        assert pq.read_table(tmp_path / "again" / name).equals(pq.read_table(dataset / name))


def test_data_and_evaluation_seeds_never_meet():
    from sim_bridge.episodes import plan_episodes
    highest = 999_999_999
    assert plan_episodes(["reach-v3"], 1, highest)[0].seed < SEED_OFFSET
    with pytest.raises(InputError, match="999999999"):
        plan_episodes(["reach-v3"], 1, SEED_OFFSET)


def test_pictures_and_actions_survive_the_round_trip(dataset, demonstrations):
    table = pq.read_table(dataset / "data/chunk-000/file-000.parquet")
    for row in (0, 7):
        stored = cv2.imdecode(np.frombuffer(
            table["observation.images.front"][row].as_py()["bytes"], np.uint8), 1)[:, :, ::-1]
        assert np.array_equal(demonstrations.images[row, 1], stored)
        action = np.array(table["action"][row].as_py(), np.float32).reshape(4, 4)
        assert np.array_equal(demonstrations.actions[row], action)


def test_chunks_end_with_their_episode(demonstrations):
    end = int(demonstrations.ends[0])
    actions, valid = demonstrations.chunk(end - 2, 32, end)
    assert valid.tolist() == [1.0] * 8 + [0.0] * 24
    assert np.array_equal(actions[:4], demonstrations.actions[end - 2])
    assert (actions[8:] == actions[7]).all()
    actions, valid = demonstrations.chunk(0, 10, end)
    assert valid.all()
    assert np.array_equal(actions[4:8], demonstrations.actions[1])


def test_batches_are_balanced_and_shifted_within_bounds(demonstrations):
    rng = np.random.default_rng(0)
    sampler = BatchSampler(demonstrations, np.arange(4), 32, (2, 16), 2, rng)
    batch = sampler.draw(64)
    assert batch.images[0].shape == (64, 3, 48, 48)
    assert batch.actions.shape == (64, 32, 4)
    assert batch.future.shape == (64, 2, 12)
    assert -1.0 <= float(batch.images[0].min()) <= float(batch.images[0].max()) <= 1.0
    assert 16 < int((batch.instruction == 0).sum()) < 48


def test_train_writes_a_checkpoint_that_evaluates(dataset, tmp_path):
    out = train(recipe(), dataset, tmp_path / "checkpoint", threads=1)
    checkpoint = load_checkpoint(out)
    assert checkpoint.config.instructions == ("reach the red target", "press the red button")
    report = json.loads((out / "training.json").read_text())
    assert report["step"] == 6
    assert report["skipped_batches"] == 0
    assert [entry["step"] for entry in report["losses"]] == [3, 6]
    assert all(np.isfinite(entry["validation"]) for entry in report["losses"])
    assert list((out / "tensorboard").iterdir())
    results = evaluate(EvaluationOptions(("reach-v3",), 1, 0, out), tmp_path / "eval", workers=1)
    assert results["tasks"]["reach-v3"]["episodes"] == 1
    assert (tmp_path / "eval" / "reach-v3.png").is_file()


def test_training_repeats_exactly(dataset, tmp_path):
    first, second = (train(recipe(), dataset, tmp_path / name, threads=1) for name in "ab")
    weights = [load_checkpoint(path).network.state_dict() for path in (first, second)]
    assert all(torch.equal(weights[0][k], weights[1][k]) for k in weights[0])


def test_fine_tuning_starts_from_the_checkpoint(dataset, tmp_path):
    start = train(recipe(steps=3), dataset, tmp_path / "start", threads=1)
    tuned = train(recipe(steps=1, learning_rate=1e-9), dataset, tmp_path / "tuned", threads=1,
                  init=start)
    a, b = (load_checkpoint(p).network.state_dict() for p in (start, tuned))
    assert all(torch.allclose(a[k], b[k], atol=1e-6) for k in a)
    assert json.loads((tuned / "training.json").read_text())["init"]
    other = recipe().model_copy(update={"state": recipe().state[:-1]})
    with pytest.raises(InputError, match="differs from the recipe and data in 'state'"):
        train(other, dataset, tmp_path / "other", init=start)


def test_training_lowers_the_loss(dataset, tmp_path):
    out = train(recipe(steps=120, save_every=120, learning_rate=2e-3), dataset, tmp_path / "c",
                threads=1)
    before = train(recipe(steps=1), dataset, tmp_path / "d", threads=1)
    losses = [json.loads((p / "training.json").read_text())["losses"][-1]["validation"]
              for p in (out, before)]
    assert losses[0] < 0.5 * losses[1]


def test_non_finite_batches_are_skipped_and_counted(dataset, tmp_path, monkeypatch):
    from training import train as module
    original, calls = module.Learner.forward, []

    def sometimes_nan(self, *args):
        loss, future = original(self, *args)
        calls.append(1)
        return (loss * float("nan") if len(calls) == 2 else loss), future
    monkeypatch.setattr(module.Learner, "forward", sometimes_nan)
    out = train(recipe(), dataset, tmp_path / "c", threads=1)
    assert json.loads((out / "training.json").read_text())["skipped_batches"] == 1
    load_checkpoint(out)  # finite weights


def test_outputs_are_never_overwritten(dataset, tmp_path):
    (tmp_path / "precious").write_text("data")
    with pytest.raises(InputError, match="nothing was overwritten"):
        train(recipe(), dataset, tmp_path)
    with pytest.raises(InputError, match="nothing was overwritten"):
        collect(TASKS, 1, 0, tmp_path)
    assert (tmp_path / "precious").read_text() == "data"


@pytest.mark.parametrize(("arguments", "words"), [
    ((["reach-v3"], 0, 0), "Episodes is 0"), ((["reach-v3"], 1, -1), "Seed is -1"),
    ((["reach"], 1, 0), "Unknown task 'reach'"),
])
def test_bad_collect_arguments(arguments, words, tmp_path):
    with pytest.raises(InputError, match=words):
        collect(*arguments, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def edit_info(root, change):
    path = root / "meta/info.json"
    info = json.loads(path.read_text())
    change(info)
    path.write_text(json.dumps(info))


@pytest.mark.parametrize(("change", "words"), [
    (lambda i: i.update(codebase_version="v2.1"), "'v2.1'"),
    (lambda i: i.update(total_frames=0), "no frames"),
    (lambda i: i.update(fps=30), "30 fps"),
    (lambda i: i["features"].pop("observation.images.front"), "camera 'front'"),
    (lambda i: i["features"]["observation.state"]["names"].__setitem__(0, "j0"), "'right_j0'"),
    (lambda i: i["features"]["action"].update(shape=[7]), "shape \\[7\\]"),
    (lambda i: i["features"].pop("action"), "no feature 'action'"),
])
def test_data_that_does_not_match_is_refused(dataset, tmp_path, change, words):
    root = shutil.copytree(dataset, tmp_path / "bad")
    edit_info(root, change)
    r = recipe()
    with pytest.raises(InputError, match=words):
        load_demonstrations(root, r.cameras, r.state, r.action)


def test_a_directory_without_a_dataset(tmp_path):
    r = recipe()
    with pytest.raises(InputError, match="not a LeRobotDataset"):
        load_demonstrations(tmp_path, r.cameras, r.state, r.action)


@pytest.mark.parametrize(("text", "words"), [
    ("optimisation: {steps: 0}", "missing"),
    ("optimisation: {steps: ten}", "missing"),
    ("nonsense", "nonsense"),
    ("a: [", "not valid YAML"),
])
def test_a_bad_recipe_is_one_sentence(tmp_path, text, words):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=words) as err:
        Recipe.load(path)
    assert "\n" not in str(err.value)


def test_a_typing_error_in_a_recipe_is_suggested(tmp_path):
    data = yaml.safe_load((share_directory() / "config/train/default.yaml").read_text())
    data["optimisation"]["learning_rat"] = 1.0
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(data))
    with pytest.raises(InputError, match="Did you mean 'learning_rate'"):
        Recipe.load(path)

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

from harness.datasets import edit_info
from harness.small_training import run_options, small_recipe, weights, write_dataset
from sim_bridge.simulated_robot import SimulatedRobotConfig
from tinyvla_ros.cli.main import main
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.resources import share_directory
from tinyvla_ros.policy.checkpoint import load_checkpoint
from tinyvla_ros.policy.normalizer import Normalizer
from training.data.collect import SEED_OFFSET, Driver, collect
from training.data.dataset import load_demonstrations
from training.experiments.evaluate import evaluate
from training.experiments.options import EvaluationOptions
from training.jobs.episodes import PolicySource
from training.learning.batches import BatchSampler
from training.learning.images import DeviceImages
from training.learning.learner import Learner
from training.learning.mixture import concatenate, load_mixture, parse_sources
from training.learning.recipe import Recipe
from training.learning.train import train

TASKS = ["reach-v3", "button-press-v3"]
SMALL = {"cameras": {n: {"height": 48, "width": 48} for n in ("side", "front", "wrist")},
         "model": {"image_channels": 8, "keypoints": 4, "condition_dim": 16,
                   "denoiser_channels": [8, 16, 16]}}


def recipe(**optimization) -> Recipe:
    data = yaml.safe_load((share_directory() / "config/train/default.yaml").read_text())
    data |= SMALL
    data["optimization"] |= {"steps": 6, "batch_size": 8, "warmup_steps": 2, "save_every": 3,
                             "precision": "float32", "validation_fraction": 0.25,
                             **optimization}
    return Recipe.model_validate(data)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    pytest.importorskip("metaworld", reason="collects with the simulator")
    root = tmp_path_factory.mktemp("data") / "demos"
    collect(TASKS, 2, 0, root, workers=1, size=48)
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


@pytest.mark.slow
def test_demonstrations_do_not_depend_on_the_number_of_workers(dataset, tmp_path):
    collect(TASKS, 2, 0, tmp_path / "again", workers=2, size=48)
    for name in ("data/chunk-000/file-000.parquet",):
        assert pq.read_table(tmp_path / "again" / name).equals(pq.read_table(dataset / name))


def test_data_and_evaluation_seeds_never_meet():
    from sim_bridge.episodes import plan_episodes
    highest = 999_999_999
    assert plan_episodes(["reach-v3"], 1, highest)[0].seed < SEED_OFFSET
    with pytest.raises(InputError, match="999999999"):
        plan_episodes(["reach-v3"], 1, SEED_OFFSET)


def test_images_and_actions_survive_the_round_trip(dataset, demonstrations):
    table = pq.read_table(dataset / "data/chunk-000/file-000.parquet")
    for row in (0, 7):
        stored = cv2.imdecode(np.frombuffer(
            table["observation.images.front"][row].as_py()["bytes"], np.uint8), 1)[:, :, ::-1]
        assert np.array_equal(demonstrations.images[row, 1], stored)
        action = np.array(table["action"][row].as_py(), np.float32).reshape(4, 4)
        assert np.array_equal(demonstrations.actions[row], action)


def test_chunks_end_with_their_episode(demonstrations):
    end = int(demonstrations.ends[0])
    actions, _, valid = demonstrations.chunk(end - 2, 32, end)
    assert valid.tolist() == [1.0] * 8 + [0.0] * 24
    assert np.array_equal(actions[:4], demonstrations.actions[end - 2])
    assert (actions[8:] == actions[7]).all()
    actions, _, valid = demonstrations.chunk(0, 10, end)
    assert valid.all()
    assert np.array_equal(actions[4:8], demonstrations.actions[1])


def test_batches_are_balanced_and_shifted_within_bounds(demonstrations):
    r = recipe(batch_size=64, shift_pixels=2, future_frames=(2, "gripper", "end"))
    batch = BatchSampler(concatenate([demonstrations], [1.0]), np.arange(4), r)[0]
    assert batch.images[0].shape == (64, 48, 48, 3)
    assert batch.actions.shape == (64, r.action.horizon, 4)
    assert batch.future.shape == (64, 3, 12)
    assert batch.noise.shape == (64 * r.optimization.noise_samples, r.action.horizon, 4)
    assert 16 < int((batch.instruction == 0).sum()) < 48
    assert batch.share == batch.valid.sum() * r.optimization.noise_samples
    assert (batch.given == 0).all(), "this network takes no committed rows"


def test_tasks_are_drawn_by_weight(demonstrations):
    r = recipe(batch_size=128)
    first, second = demonstrations.tasks
    r = r.model_copy(update={"task_weights": {second: 7.0}})
    batch = BatchSampler(concatenate([demonstrations], [1.0]), np.arange(4), r)[0]
    drawn = [int((batch.instruction == demonstrations.tasks.index(t)).sum())
             for t in (first, second)]
    assert 0 < 3 * drawn[0] < drawn[1]


def test_what_was_executed_is_given_and_the_expert_is_learned(demonstrations):
    """The disturbed rows come first, short delays most often; no loss is on what was given."""
    r = recipe(batch_size=64, noise_samples=8, free_share=0.25, committed_decay=3.0)
    r = r.model_copy(update={"model": r.model.model_copy(update={"committed_rows": 8})})
    data = concatenate([demonstrations], [1.0])
    batch = BatchSampler(data, np.arange(4), r)[0]
    assert not torch.equal(batch.executed, batch.actions), "the expert was disturbed"
    frame = int(np.where((data.states == batch.state[0].numpy()).all(1))[0][0])
    assert np.array_equal(batch.executed[0, :4], demonstrations.executed[frame])
    counts = np.bincount(batch.given, minlength=9)
    assert counts[0] == pytest.approx(128, rel=0.3)
    assert counts[1] > counts[4] > counts[8] > 0
    normalizer = Normalizer.fit(torch.zeros(2, 12), torch.tensor([[-1.0] * 4, [1.0] * 4]))
    learner = Learner(r, r.policy_config(data.tasks), normalizer)
    _, valid, _, known, given = learner.noisy_rows(batch, torch.zeros(64, 1))
    assert valid.sum() == batch.share
    assert torch.equal(given[..., 0].sum(1), batch.given.float())
    assert ((valid > 0) & (given[..., 0] > 0)).sum() == 0
    assert torch.allclose(known[8], batch.executed[1], atol=1e-6)


def test_a_plan_is_what_the_expert_does_undisturbed(tmp_path):
    """Without noise the plan is what follows; with noise it is not."""
    calm, pushed = (load(collected(tmp_path / f"noise{noise}", noise, plan_rows=16))
                    for noise in (0.0, 1.0))
    for start, end in zip(calm.starts, calm.ends, strict=True):
        for frame in range(start, end - 4):
            plan, executed, valid = calm.chunk(frame, 16, end)
            assert plan == pytest.approx(calm.actions[frame:frame + 4].reshape(16, 4), abs=1e-5)
            assert valid.all() and np.array_equal(plan, executed)
    first = range(int(pushed.ends[0]) - 4)
    following = np.stack([pushed.actions[f:f + 4].reshape(16, 4) for f in first])
    assert np.abs(following - pushed.plans[:len(following)]).max() > 0.05
    # The demonstration itself is the same with and without plans.
    plain = load(collected(tmp_path / "plain", 1.0, plan_rows=0))
    assert plain.plans is None
    assert np.array_equal(plain.states, pushed.states)
    assert np.array_equal(plain.actions, pushed.actions)
    batch = BatchSampler(concatenate([pushed], [1.0]), np.arange(1), recipe(batch_size=16))[0]
    assert batch.valid.all()
    # In a mixture, each dataset gives the chunks that it has.
    both, end = concatenate([plain, pushed], [1.0, 1.0]), len(plain.states)
    assert (both.valid_rows(np.array([end - 1, end]), 16, np.array([end, 2 * end])) == [4, 16]
            ).all()
    for frame, part, alone in ((0, plain, 0), (end - 1, plain, end - 1), (end, pushed, 0)):
        for ours, theirs in zip(both.chunk(frame, 16, end * (1 + (part is pushed))),
                                part.chunk(alone, 16, end), strict=True):
            assert np.array_equal(ours, theirs)
    with pytest.raises(InputError, match="expert_plan"):
        load(tmp_path / "noise1.0", horizon=20)


def test_a_policy_can_drive_before_the_expert_does(tmp_path):
    """What it does is recorded as executed, what the expert would do as the action."""
    pytest.importorskip("metaworld")
    driver = Driver(PolicySource(share_directory() / "checkpoints/metaworld-3task"), 40)
    collect(["reach-v3"], 2, 0, tmp_path / "d", noise=0.0, workers=1, size=48, driver=driver)
    r = recipe()
    data = load_demonstrations(tmp_path / "d", r.cameras, r.state, r.action)
    differs = (data.executed != data.actions).any((1, 2))
    for start, end in zip(data.starts, data.ends, strict=True):
        handover = int(differs[start:end].sum())
        assert handover <= 10
        assert differs[start:start + handover].all(), "the policy is first"
    assert differs.any()
    with pytest.raises(InputError, match="Unknown instruction 'open the door'"):
        collect(["door-open-v3"], 1, 0, tmp_path / "e", workers=1, driver=driver)
    robot = SimulatedRobotConfig.load().with_cameras(("front",))
    with pytest.raises(InputError, match="camera 'side'"):
        collect(["reach-v3"], 1, 0, tmp_path / "f", workers=1, config=robot, driver=driver)


def collected(root, noise: float, plan_rows: int):
    # The expert of door-open-v3 writes into the observation that it is given.
    collect(["reach-v3", "door-open-v3"], 1, 3, root, noise, workers=1, size=48,
            plan_rows=plan_rows)
    return root


def load(root, horizon: int = 16):
    r = recipe()
    action = r.action.model_copy(update={"horizon": horizon})
    return load_demonstrations(root, r.cameras, r.state, action)


def test_few_sampling_steps_can_be_all_that_is_trained(demonstrations):
    r = recipe(batch_size=16, sampled_levels=True)
    r = r.model_copy(update={"diffusion": r.diffusion.model_copy(
        update={"sample_steps": 2, "spacing": "trailing"})})
    batch = BatchSampler(concatenate([demonstrations], [1.0]), np.arange(4), r)[0]
    assert set(batch.step.tolist()) == {99, 49}


def test_a_batch_depends_on_its_number_alone(demonstrations):
    data = concatenate([demonstrations], [1.0])
    first, second = (BatchSampler(data, np.arange(4), recipe(shift_pixels=2)) for _ in range(2))
    for _ in range(3):
        first[1]
    assert torch.equal(first[2].images[0], second[2].images[0])
    assert torch.equal(first[2].noise, second[2].noise)
    assert not torch.equal(first[1].noise, first[2].noise)


@pytest.mark.parametrize("shift", [0, 3])
def test_images_kept_on_a_device_make_the_same_batches(demonstrations, shift):
    data, r = concatenate([demonstrations, demonstrations], [1.0, 1.0]), recipe(shift_pixels=shift)
    whole = BatchSampler(data, np.arange(8), r)[1]
    bare = BatchSampler(data, np.arange(8), r, with_images=False)[1]
    assert not bare.images
    images = DeviceImages(data, shift, "cpu").cut(bare.frames, bare.offsets)
    for mine, expected in zip(images, whole.images, strict=True):
        assert torch.equal(mine, expected)


def test_processes_share_a_batch(demonstrations):
    data = concatenate([demonstrations], [1.0])
    whole = BatchSampler(data, np.arange(4), recipe())[3]
    parts = [BatchSampler(data, np.arange(4), recipe(), rank=r, world_size=2)[3] for r in (0, 1)]
    for name in ("state", "actions", "noise", "step", "future"):
        assert torch.equal(torch.cat([getattr(p, name) for p in parts]), getattr(whole, name))
    assert parts[0].share * 2 == whole.share


def test_later_states_are_those_of_the_demonstration(demonstrations):
    r = recipe(future_frames=(2, "gripper", "end"), batch_size=32)
    data = concatenate([demonstrations], [1.0])
    batch = BatchSampler(data, np.array([0]), r)[0]
    end = int(data.ends[0])
    assert (batch.future[:, 2] == torch.from_numpy(data.states[end - 1])).all()
    frames = [int(np.where((data.states == s.numpy()).all(1))[0][0]) for s in batch.state]
    two_on = np.stack([data.states[min(f + 2, end - 1)] for f in frames])
    assert np.array_equal(batch.future[:, 0].numpy(), two_on)


@pytest.mark.slow
def test_train_writes_a_checkpoint_that_evaluates(dataset, tmp_path):
    assert train(recipe(), run_options(dataset), tmp_path / "run")
    out = tmp_path / "run" / "best"
    checkpoint = load_checkpoint(out)
    assert checkpoint.config.instructions == ("reach the red target", "press the red button")
    report = json.loads((tmp_path / "run" / "train.json").read_text())
    assert report["step"] == 6
    assert report["skipped_batches"] == 0
    assert [entry["step"] for entry in report["losses"]] == [3, 6]
    assert all(np.isfinite(entry["validation"]) for entry in report["losses"])
    assert list((tmp_path / "run" / "tensorboard").iterdir())
    assert str(dataset) in json.dumps(report)
    # A checkpoint is handed on: it must not tell where the data lay.
    assert str(dataset) not in (out / "training.json").read_text()
    results = evaluate(EvaluationOptions(tasks=("reach-v3",), episodes=1, checkpoint=str(out),
                                         out=tmp_path / "eval", workers=1))
    assert results["tasks"]["reach-v3"]["episodes"] == 1
    assert (tmp_path / "eval" / "reach-v3.png").is_file()


def test_fine_tuning_starts_from_the_checkpoint(dataset, tmp_path):
    start, tuned = tmp_path / "start", tmp_path / "tuned"
    train(recipe(steps=3), run_options(dataset), start)
    train(recipe(steps=1, learning_rate=1e-9), run_options(dataset, init=start / "last"), tuned)
    a, b = weights(start), weights(tuned)
    assert all(torch.allclose(a[k], b[k], atol=1e-6) for k in a)
    assert json.loads((tuned / "train.json").read_text())["init"]
    other = recipe().model_copy(update={"state": recipe().state[:-1]})
    with pytest.raises(InputError, match="'state'"):
        train(other, run_options(dataset, init=start / "last"), tmp_path / "other")


@pytest.mark.slow
def test_training_lowers_the_loss(dataset, tmp_path):
    train(recipe(steps=120, save_every=120, learning_rate=2e-3), run_options(dataset),
          tmp_path / "c")
    train(recipe(steps=1), run_options(dataset), tmp_path / "d")
    losses = [json.loads((tmp_path / n / "train.json").read_text())["losses"][-1]["validation"]
              for n in "cd"]
    assert losses[0] < 0.5 * losses[1]


def test_non_finite_batches_are_skipped_and_counted(dataset, tmp_path, monkeypatch):
    original, calls = Learner.forward, []

    def sometimes_nan(self, batch):
        loss, future = original(self, batch)
        calls.append(1)
        return (loss * float("nan") if len(calls) == 2 else loss), future
    monkeypatch.setattr(Learner, "forward", sometimes_nan)
    train(recipe(), run_options(dataset), tmp_path / "c")
    assert json.loads((tmp_path / "c" / "train.json").read_text())["skipped_batches"] == 1
    load_checkpoint(tmp_path / "c" / "last")  # finite weights


def test_a_run_that_diverged_ends_with_an_error(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(Learner, "forward", lambda self, batch: (
        self.network.denoiser.head.weight.sum() * float("nan"),
        self.network.denoiser.head.bias.sum()))
    with pytest.raises(InputError, match="non-finite loss"):
        train(recipe(steps=200, batch_size=1), run_options(dataset), tmp_path / "c")


def test_datasets_are_mixed_by_weight(tmp_path):
    a = write_dataset(tmp_path / "a", tasks=("go", "stay"))
    b = write_dataset(tmp_path / "b", tasks=("stay", "turn"), seed=1)
    r = small_recipe(batch_size=600)
    data = load_mixture([(a, 3.0), (b, 1.0)], r)
    assert data.tasks == ("go", "stay", "turn")
    batch = BatchSampler(data, np.arange(len(data.starts)), r)[0]
    shares = np.bincount(batch.instruction.numpy(), minlength=3) / 600
    assert np.allclose(shares, [3 / 8, 3 / 8 + 1 / 8, 1 / 8], atol=0.07)
    from_b = load_mixture([(b, 1.0)], r)
    rows = np.array([0, len(data.states) - 1, 3])
    assert np.array_equal(data.images[rows][1], from_b.images[[len(from_b.states) - 1]][0])
    assert np.array_equal(data.states[-1], from_b.states[-1])
    run = tmp_path / "run"
    assert train(small_recipe(steps=2), run_options(a, b), run)
    assert load_checkpoint(run / "last").config.instructions == data.tasks


@pytest.mark.parametrize(("arguments", "words"), [
    (["a=0"], "weight '0'"), (["a=-1"], "weight '-1'"), (["a=x"], "weight 'x'"),
    (["a", "a=2"], "twice")])
def test_bad_mixtures(arguments, words):
    with pytest.raises(InputError, match=words):
        parse_sources(arguments)


def test_outputs_are_never_overwritten(dataset, tmp_path):
    (tmp_path / "precious").write_text("data")
    with pytest.raises(InputError, match="nothing was overwritten"):
        train(recipe(), run_options(dataset), tmp_path)
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


@pytest.mark.parametrize(("arguments", "words"), [
    (["--config", "x.yaml"], "--data is missing"), (["--data", "d", "--out", "o"], "--config is"),
    (["--resume", "r", "--set", "seed=1"], "leave --set out"),
    (["--config", "x.yaml", "--data", "d", "--out", "o", "--processes", "0"], "--processes is 0"),
    (["--resume", "r", "--threads", "0"], "--threads is 0")])
def test_bad_train_arguments(arguments, words, capsys):
    assert main(["train", *arguments]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("device", ["nonsense", "cuda"])
def test_a_device_that_is_not_there_is_refused_before_anything_is_written(
        dataset, tmp_path, device, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=f"'{device}'.*'cpu'"):
        train(recipe(), run_options(dataset, device=device), tmp_path / "run")
    assert not (tmp_path / "run").exists()

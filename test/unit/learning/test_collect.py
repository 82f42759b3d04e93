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

"""Demonstrations of MetaWorld's scripted experts, as datasets."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from harness.metaworld_training import TASKS, recipe
from harness.policies import tiny_policy_config, write_random_checkpoint
from sim_bridge.simulated_robot import SimulatedRobotConfig
from tinyvla_ros.cli.main import main
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.resources import share_directory
from tinyvla_ros.policy.config import PolicyConfig
from training.data.collect import SEED_OFFSET, Driver, collect
from training.data.dataset import load_demonstrations
from training.jobs.episodes import PolicySource
from training.jobs.pool import work_through
from training.learning.batches import BatchSampler
from training.learning.mixture import concatenate


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


def test_a_policy_that_cannot_act_here_as_in_an_evaluation_does_not_drive(
        tmp_path, monkeypatch):
    config = tiny_policy_config()
    action = config.action.model_copy(update={"n_action_steps": 6})
    write_random_checkpoint(tmp_path / "c", config.model_copy(update={"action": action}))
    driver = Driver(PolicySource(tmp_path / "c"), 40)
    with pytest.raises(InputError, match="6 steps of a chunk"):
        collect(["reach-v3"], 1, 0, tmp_path / "d", workers=1, driver=driver)
    monkeypatch.setattr(PolicyConfig, "past_stamps", lambda self, stamp: (0,))
    with pytest.raises(InputError, match="2 observations"):
        collect(["reach-v3"], 1, 0, tmp_path / "d", workers=1, driver=driver)


def test_too_few_demonstrations_are_an_error_even_if_the_last_attempt_succeeds(
        tmp_path, monkeypatch):
    pytest.importorskip("metaworld")

    def only_the_last(jobs, finished, processes, in_order):
        *others, last = jobs
        for job in others:
            finished(job, None)
        work_through([last], finished, processes, in_order=in_order)

    monkeypatch.setattr("training.data.collect.work_through", only_the_last)
    with pytest.raises(InputError, match="Only 1 of 40"):
        collect(["reach-v3"], 2, 0, tmp_path / "d", noise=0.0, workers=1, size=48)


def test_steps_of_a_policy_need_one(tmp_path, capsys):
    for more in (["--policy-steps", "40"], ["--policy", "x", "--policy-steps", "3"]):
        assert main(["collect", "--tasks", "reach-v3", "--episodes", "1", "--out",
                     str(tmp_path / "d"), *more]) == 2
        assert "policy-steps" in capsys.readouterr().err


def collected(root, noise: float, plan_rows: int):
    # The expert of door-open-v3 writes into the observation that it is given.
    collect(["reach-v3", "door-open-v3"], 1, 3, root, noise, workers=1, size=48,
            plan_rows=plan_rows)
    return root


def load(root, horizon: int = 16):
    r = recipe()
    action = r.action.model_copy(update={"horizon": horizon})
    return load_demonstrations(root, r.cameras, r.state, action)


@pytest.mark.parametrize(("arguments", "words"), [
    ((["reach-v3"], 0, 0), "Episodes is 0"), ((["reach-v3"], 1, -1), "Seed is -1"),
    ((["reach"], 1, 0), "Unknown task 'reach'"),
])
def test_bad_collect_arguments(arguments, words, tmp_path):
    with pytest.raises(InputError, match=words):
        collect(*arguments, tmp_path / "x")
    assert not (tmp_path / "x").exists()

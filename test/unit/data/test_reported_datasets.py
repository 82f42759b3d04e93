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

"""Datasets as public bug reports describe them: read rightly, or refused by the name of the cause.

The number is that of the report in https://github.com/huggingface/lerobot/issues, where there is
one.
"""

from __future__ import annotations

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from harness.datasets import (
    SIZE,
    edit_episodes,
    edit_info,
    encode,
    to_video,
    video_path,
    write_dataset,
)
from tinyvla_ros.core.configuration import read_json
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.policy.config import ActionSpec, CameraSpec
from tinyvla_ros.policy.normalizer import Normalizer
from training.data.dataset import load_demonstrations
from training.data.lerobot.reader import read_tables
from training.data_check.check import check

FRONT = "observation.images.front"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


@pytest.fixture
def root(tmp_path):
    return write_dataset(tmp_path / "toy", ("front",))


def load(root, state=("x", "y", "angle")):
    action = ActionSpec(channels=("dx", "dy"), units=("", ""), low=(-1.0, -1.0), high=(1.0, 1.0),
                        dt=0.1, horizon=4, n_action_steps=2)
    return load_demonstrations(root, {"front": CameraSpec(height=SIZE, width=SIZE)}, state, action)


def data_file(root):
    return root / "data/chunk-000/file-000.parquet"


def replace_column(root, name, values, kind):
    table = pq.read_table(data_file(root))
    position = table.column_names.index(name)
    pq.write_table(table.set_column(position, name, pa.array(values, kind)), data_file(root))


def column(root, name):
    return pq.read_table(data_file(root))[name].to_pylist()


def refused(root, *words):
    """Assert that training refuses a dataset for the same reason as 'data check' finds."""
    with pytest.raises(InputError) as error:
        load(root)
    try:
        found = " ".join(f.text for f in check(read_tables(root)).findings if f.error)
    except InputError as err:
        found = str(err)
    for word in words:
        assert word in str(error.value)
        assert word in found


def test_info_saved_by_a_windows_editor_is_read(root):
    path = root / "meta/info.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert read_json(path)["fps"] == 10
    assert len(load(root).states) == 19


def test_unsigned_integers_are_numbers(root):
    edit_info(root, lambda i: i["features"]["observation.state"].update(dtype="uint8"))
    replace_column(root, "observation.state", [[i, 200, 3] for i in range(19)],
                   pa.list_(pa.uint8(), 3))
    np.testing.assert_array_equal(load(root).states[5], [5, 200, 3])


@pytest.mark.parametrize("names", [["x", "x", "angle"], {"x": 0, "y": 0, "angle": 1},
                                   {"x": 1, "y": 2, "angle": 3}])
def test_a_state_named_twice_or_out_of_range_is_refused(root, names):
    edit_info(root, lambda i: i["features"]["observation.state"].update(names=names))
    with pytest.raises(InputError, match=r"observation\.state.*meta/info\.json"):
        load(root, state=("x", "angle"))


def test_names_by_index_are_honored(root):  # 2158, teleoperators
    before = load(root).states
    edit_info(root, lambda i: i["features"]["observation.state"].update(
        names={"angle": 2, "y": 1, "x": 0}))
    np.testing.assert_array_equal(load(root).states, before)


def test_images_declared_as_numbers_are_named(root):  # 2867
    edit_info(root, lambda i: i["features"][FRONT].update(dtype="uint8",
                                                          names=["red", "green", "blue"]))
    found = " ".join(f.text for f in check(read_tables(root)).findings)
    assert all(word in found for word in (FRONT, "uint8", "'image'"))


def test_images_that_are_only_file_names_are_named(root):
    cells = [{"bytes": None, "path": f"images/{FRONT}/episode-000000/frame-{i:06d}.png"}
             for i in range(19)]
    replace_column(root, FRONT, cells, pa.struct({"bytes": pa.binary(), "path": pa.string()}))
    refused(root, "frame-000000.png", "embeds")


@pytest.mark.parametrize("name", ["data/chunk-000/file-000.parquet", "meta/tasks.parquet"])
def test_git_lfs_pointers_are_named(root, name):
    (root / name).write_text(POINTER)
    refused(root, name, "git lfs pull")


def test_a_git_lfs_pointer_instead_of_a_video_is_named(root):
    to_video(root, "front", "libx264")
    video_path(root, "front", 0).write_text(POINTER)
    refused(root, "file-000.mp4", "git lfs pull")


def test_files_that_a_conversion_left_are_named(root):
    table = pq.read_table(data_file(root))
    pq.write_table(table.slice(0, 6), data_file(root).with_name("episode_000000.parquet"))
    refused(root, "19 frames", "hold 25", "episode_*.parquet")


def test_data_of_the_format_before_names_the_converter(root):
    edit_info(root, lambda i: i.update(codebase_version="v2.1"))
    refused(root, "'v2.1'", "convert_dataset_v21_to_v30")


def test_a_video_path_of_the_format_before_is_refused(root):
    to_video(root, "front", "libx264")
    edit_info(root, lambda i: i.update(
        video_path="videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"))
    refused(root, "episode_chunk", "{file_index:03d}")


def test_a_wrong_file_index_of_a_converted_dataset_does_no_harm(root):  # 2401
    before = load(root)
    edit_episodes(root, lambda episodes: [e.update({"data/file_index": 7}) for e in episodes])
    after = load(root)
    np.testing.assert_array_equal(after.actions, before.actions)
    np.testing.assert_array_equal(after.starts, before.starts)


@pytest.mark.parametrize("name", ["__index_level_0__", "instruction"])
def test_tasks_as_the_index_of_a_table_are_read(root, name):  # 2467
    path = root / "meta/tasks.parquet"
    tasks = pq.read_table(path).to_pydict()
    pq.write_table(pa.table({"task_index": tasks["task_index"], name: tasks["task"]}), path)
    assert load(root).tasks == ("push the block", "pull the block")


def test_a_video_with_b_frames_gives_every_row_its_own_image(root):
    images = [cv2.imdecode(np.frombuffer(c["bytes"], np.uint8), 1)[:, :, ::-1]
              for c in column(root, FRONT)]
    expected = load(root).images[:, 0, 40, 40, 0].astype(int)
    to_video(root, "front", "libx264", split=2)
    edit_episodes(root, lambda episodes: [e.update({
        f"videos/{FRONT}/file_index": 0, f"videos/{FRONT}/from_timestamp":
        e["dataset_from_index"] / 10, f"videos/{FRONT}/to_timestamp":
        e["dataset_to_index"] / 10}) for e in episodes])
    encode(video_path(root, "front", 0), images, 10, "libx264", {"g": "12", "bf": "3"})
    decoded = load(root).images[:, 0, 40, 40, 0].astype(int)
    assert np.abs(decoded - expected).max() < 10


@pytest.mark.parametrize("frames", ["19", -19, 19.5])
def test_a_number_of_frames_that_is_none_is_refused(root, frames):
    edit_info(root, lambda i: i.update(total_frames=frames))
    refused(root, "total_frames", repr(frames))


def test_a_state_that_never_moved_in_training_may_be_elsewhere_on_the_robot():  # 211
    states = torch.tensor([[0.3, 0.1], [0.3, 0.2], [0.3, 0.6]])
    normalizer = Normalizer.fit(states, torch.zeros(3, 1))
    np.testing.assert_allclose(normalizer.state(states)[:, 0], 0.0, atol=1e-6)
    assert abs(float(normalizer.state(torch.tensor([0.5, 0.2]))[0])) <= 1.0
    assert torch.isfinite(normalizer.action(torch.zeros(3, 1))).all()

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

"""Reading a LeRobotDataset for training: images and videos, and every way it can be broken."""

from __future__ import annotations

import os
import shutil

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness import datasets
from tinyvla_ros.core.configuration import read_json
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.policy.config import ActionSpec, CameraSpec
from training.data.dataset import load_demonstrations
from training.data.fingerprint import (
    HASHES,
    fingerprint,
    is_same_data,
    of_names_and_sizes,
)

CAMERAS = {name: CameraSpec(height=64, width=64) for name in ("front", "wrist")}
STATE = ("angle", "x")
ACTION = ActionSpec(channels=("dx", "dy"), units=("m", "m"), low=(-1.0, -1.0), high=(1.0, 1.0),
                    dt=0.1, horizon=4, n_action_steps=2)
DATA = "data/chunk-000/file-000.parquet"


def load(root, cameras=CAMERAS, state=STATE, action=ACTION):
    return load_demonstrations(root, cameras, state, action, cache=root.parent / "cache")


def refused(root, words, **arguments):
    """Assert that loading is refused in one sentence, and that no images are left behind."""
    with pytest.raises(InputError, match=words) as err:
        load(root, **arguments)
    assert "\n" not in str(err.value)
    assert str(err.value).endswith(".")
    assert not [p for p in (root.parent / "cache").glob("*") if p.name != HASHES]


def difference(data, row):
    """Mean difference to what the front camera saw; that of neighboring rows is 38."""
    return np.abs(data.images[row, 0] - datasets.image(row, "front").astype(int)).mean()


def has_encoder(codec):
    try:
        av.Codec(codec, "w")
    except av.codec.codec.UnknownCodecError:
        return False
    return True


def test_values_are_found_by_name(images, tmp_path):
    data = load_demonstrations(images, CAMERAS, STATE, ACTION, cache=tmp_path)
    table = pq.read_table(images / DATA)
    states = np.array(table["observation.state"].to_pylist(), np.float32)
    assert np.array_equal(data.states, states[:, [2, 0]])
    assert data.actions.shape == (19, 1, 2)
    assert data.tasks == ("push the block", "pull the block")
    assert data.task_index.tolist() == [0] * 6 + [1] * 4 + [0] * 9
    assert data.starts.tolist() == [0, 6, 10]
    assert data.ends.tolist() == [6, 10, 19]
    for row in range(19):
        for j, camera in enumerate(CAMERAS):
            assert np.array_equal(data.images[row, j], datasets.image(row, camera))


@pytest.mark.parametrize("codec", ["libsvtav1", "libx264"])
def test_every_video_frame_comes_to_its_own_row(images, tmp_path, codec):
    if not has_encoder(codec):
        pytest.skip(f"this PyAV has no encoder {codec}")
    root = shutil.copytree(images, tmp_path / "demos")
    datasets.to_video(root, "front", codec)
    data = load(root)
    for row in range(19):
        assert difference(data, row) < 12
        assert np.array_equal(data.images[row, 1], datasets.image(row, "wrist"))


def test_video_frames_are_matched_by_time_not_counted(video_root):
    """A frame missing between episodes shifts the count but not the time stamps."""
    black = np.zeros_like(datasets.image(0, "front"))
    frames = [datasets.image(row, "front") for row in range(10)]
    datasets.encode(datasets.video_path(video_root, "front", 0),
                    [*frames[:6], black, None, black, *frames[6:]], 10, "libx264")
    data = load(video_root)
    for row in range(10):
        assert difference(data, row) < 12


def test_a_second_start_uses_the_cache(root):
    first = load(root)
    cache = root.parent / "cache"
    made = [p.stat().st_mtime_ns for p in sorted(cache.rglob("*"))]
    assert np.array_equal(load(root).images, first.images)
    assert [p.stat().st_mtime_ns for p in sorted(cache.rglob("*"))] == made
    assert len([p for p in cache.iterdir() if p.is_dir()]) == 1


def test_the_fingerprint_is_that_of_the_data(images, videos, root, video_root):
    identity = load(root).fingerprint
    moved = shutil.copytree(root, root.parent / "elsewhere", copy_function=shutil.copyfile)
    assert fingerprint(moved) == identity == fingerprint(images)
    assert fingerprint(video_root) == fingerprint(videos) != identity
    with datasets.video_path(video_root, "front", 1).open("ab") as file:
        file.write(b"\0")
    assert fingerprint(video_root) != fingerprint(videos)
    datasets.edit_info(root, lambda i: i.update(robot_type="another"))
    assert fingerprint(root) != identity


@pytest.mark.parametrize("cached", [True, False])
def test_the_fingerprint_sees_one_changed_byte(root, video_root, cached):
    for place, file in ((root, root / "data/chunk-000/file-000.parquet"),
                        (video_root, datasets.video_path(video_root, "front", 0))):
        cache = place.parent / "hashes" if cached else None
        before, earlier = fingerprint(place, cache), of_names_and_sizes(place)
        assert fingerprint(place, cache) == before
        status, data = file.stat(), bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert fingerprint(place, cache) != before
        assert of_names_and_sizes(place) == earlier  # what release 0.1.0 did not see


@pytest.mark.parametrize("content", ["", "{", "[1]"])
def test_a_damaged_file_of_hashes_is_written_anew(root, tmp_path, content):
    kept = tmp_path / "kept"
    identity = fingerprint(root, kept)
    (kept / "hashes.json").write_text(content)
    assert fingerprint(root, kept) == identity
    assert read_json(kept / "hashes.json")


def test_fingerprints_of_release_0_1_0_are_accepted(root, video_root):
    roots = [root, video_root]
    found = "+".join(map(fingerprint, roots))
    earlier = "+".join(map(of_names_and_sizes, roots))
    mixed = f"{fingerprint(root)}+{of_names_and_sizes(video_root)}"
    assert all(is_same_data(expected, found, roots) for expected in (found, earlier, mixed))
    wrong = ("0" * 16 + earlier[16:], found[:-1] + "x", fingerprint(root), found + "+" + found)
    assert not any(is_same_data(expected, found, roots) for expected in wrong)


@pytest.mark.parametrize("names", [
    {"motors": ["x", "y", "angle"]}, {"angle": 2, "x": 0, "y": 1},
    {"arm": ["x", "y"], "wrist": ["angle"]},
])
def test_names_come_as_lists_or_mappings(root, names):
    expected = load(root).states
    datasets.edit_info(root, lambda i: i["features"]["observation.state"].update(names=names))
    assert np.array_equal(load(root).states, expected)


def test_a_name_twice_does_not_matter_where_it_is_not_wanted(root):
    expected = load(root, state=("angle",)).states
    datasets.edit_info(root, lambda i: i["features"]["observation.state"].update(
        names=["gripper", "gripper", "angle"]))
    assert np.array_equal(load(root, state=("angle",)).states, expected)
    with pytest.raises(InputError, match="'gripper'"):
        load(root, state=("gripper", "angle"))


def test_scalar_features_are_vectors_of_one(root):
    path = root / DATA
    table = pq.read_table(path)
    for name in ("observation.state", "action"):
        values = pa.array([v[0] for v in table[name].to_pylist()], pa.float32())
        table = table.set_column(table.column_names.index(name), name, values)
    pq.write_table(table, path)
    datasets.edit_info(root, lambda i: (
        i["features"]["observation.state"].update(shape=[1], names=["x"]),
        i["features"]["action"].update(shape=[1], names=None)))
    action = ActionSpec(channels=("dx",), units=("m",), low=(-1.0,), high=(1.0,), dt=0.1,
                        horizon=4, n_action_steps=2)
    data = load(root, state=("x",), action=action)
    assert data.states.shape == (19, 1)
    assert data.actions.shape == (19, 1, 1)


def test_float64_and_nested_lists_are_read(root):
    expected = load(root)
    path = root / DATA
    table = pq.read_table(path)
    position = table.column_names.index("action")
    nested = pa.array([[v] for v in table["action"].to_pylist()],
                      pa.list_(pa.list_(pa.float64())))
    pq.write_table(table.set_column(position, "action", nested), path)
    datasets.edit_info(root, lambda i: i["features"]["action"].update(
        dtype="float64", shape=[1, 2], names=None))
    data = load(root)
    assert data.actions.dtype == np.float32
    assert np.array_equal(data.actions, expected.actions)


def test_old_names_of_the_task_column_and_of_cameras(root):
    tasks = root / "meta/tasks.parquet"
    table = pq.read_table(tasks).rename_columns(["task_index", "__index_level_0__"])
    pq.write_table(table, tasks)
    path = root / DATA
    data = pq.read_table(path)
    names = ["observation.front" if n == "observation.images.front" else n
             for n in data.column_names]
    pq.write_table(data.rename_columns(names), path)

    def rename(info):
        info["features"]["observation.front"] = info["features"].pop("observation.images.front")
    datasets.edit_info(root, rename)
    loaded = load(root)
    assert loaded.tasks == ("push the block", "pull the block")
    assert np.array_equal(loaded.images[3, 0], datasets.image(3, "front"))


def test_one_task_and_two_data_files(tmp_path):
    root = datasets.write_dataset(tmp_path / "demos", tasks=("push",) * 3)
    table = pq.read_table(root / DATA)
    pq.write_table(table.slice(0, 10), root / DATA)
    pq.write_table(table.slice(10), root / "data/chunk-000/file-001.parquet")
    data = load(root)
    assert data.tasks == ("push",)
    assert np.array_equal(data.images[12, 1], datasets.image(12, "wrist"))


@pytest.mark.parametrize(("column", "row", "value", "words"), [
    ("action", 12, [0.0, float("nan")], "'action'.* finite.*frame 2 of episode 2"),
    ("observation.state", 7, [0.0, 0.0, float("inf")], "'observation.state'.* finite.*"
                                                       "frame 1 of episode 1"),
    ("task_index", 8, 2, "Frame 2 of episode 1 .*task_index 2.* 0 to 1"),
    ("index", 3, 7, "Row 3 .*index 7.* 3"),
    ("episode_index", 5, 1, "Episode 0 .*row 5.*episode_index is 1"),
])
def test_bad_values(root, column, row, value, words):
    datasets.edit_column(root, column, datasets.set_value(row, value))
    refused(root, words)


@pytest.mark.parametrize(("name", "steps"), [("executed_action", 1), ("expert_plan", 4)])
def test_bad_values_in_what_collect_adds(root, name, steps):
    path = root / DATA
    table = pq.read_table(path)
    values = np.zeros((table.num_rows, 2 * steps), np.float32)
    values[12, -1] = np.nan
    pq.write_table(table.append_column(name, pa.array(values.tolist())), path)
    names = [f"{channel}.{step}" for step in range(steps) for channel in ("dx", "dy")]
    datasets.edit_info(root, lambda info: info["features"].update(
        {name: {"dtype": "float32", "shape": [2 * steps], "names": names}}))
    refused(root, f"'{name}'.* finite.*frame 2 of episode 2")


@pytest.mark.parametrize(("change", "words"), [
    (lambda e: e[1].update(dataset_from_index=5), "Episode 1 .*row 5 .*6.*overlap"),
    (lambda e: e[1].update(dataset_from_index=7), "Episode 1 .*row 7 .*6.*gap"),
    (lambda e: e[2].update(dataset_to_index=25), "Episode 2 .*row 25.*19 frames"),
    (lambda e: e[1].update(length=5), "Episode 1 .*length 5.* 6 to 10 .*4"),
    (lambda e: e[1].update(length=0, dataset_to_index=6), "Episode 1 .*no frames"),
    (lambda e: e[2].update(dataset_to_index=18, length=8), "Rows 18 to 18 .*no episode"),
    (lambda e: e[2].update(episode_index=1), "Episode 1 .*episode 2 "),
    (lambda e: e.pop(), "3 episodes.* 2"),
])
def test_an_episode_table_that_does_not_fit(root, change, words):
    datasets.edit_episodes(root, change)
    refused(root, words)


@pytest.mark.parametrize(("change", "words"), [
    (lambda i: i.update(total_frames=20), "20 frames.* 19"),
    (lambda i: i.update(fps=0), "'fps' is 0"),
    (lambda i: i.update(features=[]), "'features' must map"),
    (lambda i: i["features"]["observation.state"].update(names=None), "names None; name every"),
    (lambda i: i["features"]["observation.state"].update(shape=[4]), "the names"),
    (lambda i: i["features"]["action"].update(shape=[4], names=None), "'dx.0'"),
    (lambda i: i.update(fps=20), "control period of 0.05 s"),
    (lambda i: i["features"]["action"].update(names=["dx", "dz"]), "action 'dy'.* 'dx', 'dz'"),
    (lambda i: i["features"]["action"].update(dtype="string"), "dtype 'string'"),
    (lambda i: i["features"]["observation.images.front"].update(info={"is_depth_map": True}),
     "Camera 'front' is a depth map"),
])
def test_info_that_does_not_fit(root, change, words):
    datasets.edit_info(root, change)
    refused(root, words)


def test_a_shape_that_the_column_does_not_have(root):
    datasets.edit_info(root, lambda i: i["features"]["action"].update(
        shape=[4], names=["dx.0", "dy.0", "dx.1", "dy.1"]))
    refused(root, "'action'.* 38 values .*19 rows.* 4",
            action=ACTION.model_copy(update={"dt": 0.05}))


@pytest.mark.parametrize("name", [DATA, "meta/tasks.parquet",
                                  "meta/episodes/chunk-000/file-000.parquet"])
def test_files_cut_short_or_missing(root, name):
    content = (root / name).read_bytes()
    (root / name).write_bytes(content[:len(content) // 2])
    refused(root, f"{name} cannot be read .* copy ")
    (root / name).unlink()
    refused(root, "tasks.parquet is missing|no episode table|no data files")


def test_a_dataset_without_frames(root):
    pq.write_table(pq.read_table(root / DATA).slice(0, 0), root / DATA)
    refused(root, "holds no frames")


def test_an_image_that_cannot_be_decoded(root):
    datasets.edit_column(root, "observation.images.wrist",
                         datasets.set_value(11, {"bytes": b"no image", "path": None}))
    refused(root, "'observation.images.wrist' .*frame 1 of episode 2 .*decoded")


def test_a_missing_video(video_root):
    datasets.video_path(video_root, "front", 1).unlink()
    refused(video_root, "file-001.mp4 .*missing.*frame 0 of episode 2")


def test_a_video_cut_short(video_root):
    path = datasets.video_path(video_root, "front", 1)
    datasets.encode(path, [datasets.image(10 + i, "front") for i in range(6)], 10, "libx264")
    refused(video_root, "file-001.mp4 .*0.6000 s .*frame 6 of episode 2 .*0.5000 s")


def test_a_video_at_another_rate(video_root):
    path = datasets.video_path(video_root, "front", 1)
    datasets.encode(path, [datasets.image(10 + i, "front") for i in range(9)], 9, "libx264")
    refused(video_root, "no frame at 0.1000 s .*frame 1 of episode 2")


def test_a_damaged_video(video_root):
    path = datasets.video_path(video_root, "front", 0)
    path.write_bytes(path.read_bytes()[:200])
    refused(video_root, "file-000.mp4 .*decoded .*frame 0 of episode 0")


def test_tasks_that_are_not_numbered_from_zero(root):
    tasks = pq.read_table(root / "meta/tasks.parquet")
    pq.write_table(tasks.slice(1), root / "meta/tasks.parquet")
    refused(root, "task_index 1.* 0, 1, 2")


def test_a_missing_task_table(root):
    (root / "meta/tasks.parquet").unlink()
    refused(root, "tasks.parquet .*missing.*'meta'")

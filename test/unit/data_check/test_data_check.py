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

"""``data check``: a good dataset passes, each fault is named, sheets and report are written."""

from __future__ import annotations

import json
import re
import shutil

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from harness import datasets
from tinyvla_ros.cli.main import run_command
from tinyvla_ros.core.errors import InputError

FRONT = "observation.images.front"
DATA = "data/chunk-000/file-000.parquet"


def check(root, *arguments):
    """Run the command; return its exit code and ``report.json``."""
    out = root.parent / "out"
    code = run_command(["data", "check", str(root), "--out", str(out), *arguments])
    return code, json.loads((out / "report.json").read_text())


def texts(report, error):
    return [f["text"] for f in report["findings"] if f["error"] == error]


def finds(root, *words, error=True):
    """Assert that one finding contains all ``words``, and that the code fits."""
    code, report = check(root)
    found = texts(report, error)
    assert any(all(w in text for w in words) for text in found), found
    assert all("\n" not in text for text in found)
    assert code == (1 if texts(report, True) else 0)
    if not error:
        assert not texts(report, True)
    return report


def test_a_good_dataset(images, tmp_path, capsys):
    root = shutil.copytree(images, tmp_path / "demos")
    code, report = check(root)
    assert code == 0
    assert report["findings"] == []
    text = capsys.readouterr().out
    for words in ("demos", "3 episodes", "19 frames", "10 fps", "1.9 s", "fingerprint", "0 error",
                  "0 warning"):
        assert words in text
    assert re.search(r"push the block \| +2 \| +15 ", text)
    values = np.array(pq.read_table(root / DATA)["action"].to_pylist())
    assert report["features"][1]["channels"] == ["dx", "dy"]
    assert np.allclose(report["features"][1]["mean"], values.mean(0))
    assert np.allclose(report["features"][1]["std"], values.std(0))
    assert [c["decoded"] for c in report["cameras"]] == [19, 19]


def test_the_dataset_is_left_alone(images, root):
    before = {p: p.stat().st_mtime_ns for p in sorted(root.rglob("*"))}
    check(root)
    assert {p: p.stat().st_mtime_ns for p in sorted(root.rglob("*"))} == before
    with pytest.raises(InputError, match="inside the dataset"):
        check(root, "--out", str(root / "report"))


def test_a_contact_sheet_shows_every_camera_of_the_tasks_episodes(root):
    _, report = check(root)
    assert report["contact_sheets"] == ["task-000-push-the-block.png",
                                        "task-001-pull-the-block.png"]
    sheet = cv2.imread(str(root.parent / "out" / report["contact_sheets"][1]))[:, :, ::-1]
    colors = {tuple(c) for c in sheet.reshape(-1, 3).tolist()}
    assert (200, 0, 0) in colors  # the corner of the front camera
    assert (0, 0, 200) in colors  # of the other one
    for row in range(6, 10):  # the episode is short: all of its frames
        assert (30 + 40 * (row % 5),) * 3 in colors


def test_the_default_output_is_named_after_the_dataset(root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_command(["data", "check", "demos"]) == 0
    assert (tmp_path / "results/data_check/demos/report.json").is_file()


def test_a_directory_that_is_no_dataset(tmp_path):
    with pytest.raises(InputError, match="not a LeRobotDataset"):
        check(tmp_path)


@pytest.mark.parametrize(("column", "row", "value", "words"), [
    ("action", 12, [0.0, float("nan")],
     ("'action'", "dy", "not finite", "frame 2 of episode 2")),
    ("timestamp", 8, 0.25, ("Frame 2 of episode 1", "timestamp 0.25 s", "0.2 s", "10 fps")),
    ("timestamp", 3, 0.2, ("Time", "frame 3 of episode 0")),
    ("frame_index", 4, 9, ("Row 4", "frame_index 9", " 4 ")),
    ("index", 4, 5, ("Row 4", "index 5", "instead of 4")),
    ("task_index", 4, 9, ("Frame 4 of episode 0", "task_index 9")),
    (FRONT, 4, {"bytes": b"?", "path": None}, (f"'{FRONT}'", "frame 4 of episode 0", "decoded")),
    (FRONT, 4, {"bytes": datasets.png(np.zeros((32, 64, 3), np.uint8)), "path": None},
     (f"'{FRONT}'", "32x64", "frame 4 of episode 0", "64x64")),
])
def test_errors_in_the_data(root, column, row, value, words):
    datasets.edit_column(root, column, datasets.set_value(row, value))
    finds(root, *words)


@pytest.mark.parametrize(("change", "words"), [
    (lambda i: i.update(total_frames=18), ("18 frames", "19")),
    (lambda i: i.update(total_episodes=4), ("4 episodes", "3")),
    (lambda i: i["features"]["action"].update(shape=[3]), ("'action'", "3 per row")),
])
def test_errors_in_info(root, change, words):
    datasets.edit_info(root, change)
    finds(root, *words)


@pytest.mark.parametrize(("change", "words"), [
    (lambda i: i["features"].pop("observation.images.wrist"), ("undeclared", "images.wrist")),
    (lambda i: i["features"].update(force={"dtype": "float32", "shape": [1]}), ("lacks", "force")),
])
def test_what_training_does_not_read_is_a_warning(root, change, words):
    datasets.edit_info(root, change)
    finds(root, *words, error=False)


def test_an_episode_without_frames(root):
    datasets.edit_episodes(root, lambda e: e[1].update(length=0, dataset_to_index=6))
    finds(root, "Episode 1", "no frames")


def edit_stats(root, change):
    path = root / "meta/stats.json"
    stats = json.loads(path.read_text())
    change(stats)
    path.write_text(json.dumps(stats))


def test_statistics_that_are_not_those_of_the_data(root):
    """Only lerobot reads them."""
    edit_stats(root, lambda s: s["action"]["max"].__setitem__(1, 7.0))
    finds(root, "meta/stats.json", "max 7", error=False)
    edit_stats(root, lambda s: s["action"]["mean"].append(0.0))
    finds(root, "meta/stats.json", "mean", "3 values", "2", error=False)
    (root / "meta/stats.json").write_text("{")
    finds(root, "stats.json", "JSON", error=False)


def test_colors_that_are_not_those_of_the_images(root):
    edit_stats(root, lambda s: s[FRONT].update(mean=[[[0.9]], [[0.9]], [[0.9]]]))
    finds(root, "mean color", "0.900 0.900 0.900", error=False)


def test_warnings_about_channels(root):
    def still(values):
        return [[v[0], v[1], 0.5] for v in values]

    def switched(values):
        return [[v[0], float(np.sign(v[1]))] for v in values]
    datasets.edit_column(root, "observation.state", still)
    (root / "meta/stats.json").unlink()
    report = finds(root, "'observation.state'", "angle", "0.5 in every frame", error=False)
    assert any("meta/stats.json" in t and "missing" in t for t in texts(report, False))
    # A channel with two values is a switch, not a saturated one.
    datasets.edit_column(root, "action", switched)
    assert not any("limits" in t for t in texts(check(root)[1], False))
    datasets.edit_column(root, "action", lambda values: [
        [v[0] if i % 2 else (-1.0, 1.0)[i % 4 // 2], v[1]] for i, v in enumerate(values)])
    finds(root, "'action'", "dx", "limits -1 and 1", "53 %", error=False)


def test_warnings_about_episodes_and_tasks(tmp_path):
    root = datasets.write_dataset(
        tmp_path / "demos", cameras=("front",), lengths=(6, 6, 6, 6, 30, 2, 4),
        tasks=("push",) * 6 + (" Push ",))
    finds(root, "long", "task 0", "6", "episode 4 (30)", error=False)
    finds(root, "short", "task 0", "6", "episode 5 (2)", error=False)
    finds(root, "Tasks 0 and 1", "' Push '", error=False)


def test_dark_and_blank_images(tmp_path):
    def dark_and_blank(row, camera):
        image = datasets.image(row, camera)
        if row == 7:
            return np.full_like(image, 100)
        return image // 20 if row == 3 else image
    root = datasets.write_dataset(tmp_path / "demos", draw=dark_and_blank)
    finds(root, f"'{FRONT}'", "one single color", "frame 1 of episode 1", error=False)
    finds(root, f"'{FRONT}'", "darker", "frame 3 of episode 0", error=False)


def test_videos_pass_and_unused_frames_are_mentioned(video_root):
    report = finds(video_root, "file-000.mp4 (13 frames, 10 used)", error=False)
    assert report["cameras"][0]["dtype"] == "video"
    assert report["cameras"][0]["decoded"] == 19
    assert len(texts(report, False)) == 1


def test_a_video_that_ends_early_does_not_stop_the_check(video_root):
    datasets.encode(datasets.video_path(video_root, "front", 0),
                    [datasets.image(i, "front") for i in range(4)], 10, "libx264")
    report = finds(video_root, "no frame at 0.4000 s", "frame 4 of episode 0")
    assert report["cameras"][0]["decoded"] == 4 + 9
    assert report["contact_sheets"]


def test_spans_that_do_not_fit_the_episodes(video_root):
    begin = f"videos/{FRONT}/from_timestamp"
    end = f"videos/{FRONT}/to_timestamp"
    datasets.edit_episodes(video_root, lambda e: e[0].update({end: 0.4}))
    finds(video_root, "Episode 0", "0.6000 s", f"'{FRONT}'", "0.4000 s")
    datasets.edit_episodes(video_root, lambda e: (e[0].update({end: 0.6}),
                                                  e[1].update({begin: 0.3, end: 0.7})))
    finds(video_root, "Episodes 0 and 1", f"'{FRONT}'")


def test_videos_wait_until_the_episode_table_fits(video_root):
    datasets.edit_episodes(video_root, lambda e: e[1].update(length=3))
    finds(video_root, "Episode 1", "length 3")
    assert any("videos" in t and FRONT in t for t in texts(check(video_root)[1], False))

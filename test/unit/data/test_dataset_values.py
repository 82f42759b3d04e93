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

"""What is accepted is read rightly: actions by name, images of every kind, no false alarms."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest

from harness import datasets
from harness.odd_datasets import (
    DATA,
    FRAMES,
    Change,
    actions,
    feature,
    images,
    one,
    palette_png,
    picture,
    state,
    video,
    with_alpha,
)
from harness.raw_png import GRAY, raw_png
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.policy.config import ActionSpec, CameraSpec
from training.data.checks.declarations import Wanted
from training.data.checks.values import float32_loss, glitches, wraps
from training.data.dataset import load_demonstrations
from training.data.lerobot.reader import read_tables
from training.data_check.check import check


@pytest.fixture
def root(tmp_path):
    return datasets.write_dataset(tmp_path / "demos", ("front",), draw=picture)


def load(root, channels=("dx", "dy"), dt=0.1):
    size = len(channels)
    action = ActionSpec(channels=channels, units=("",) * size, low=(-1.0,) * size,
                        high=(1.0,) * size, dt=dt, horizon=4, n_action_steps=1)
    return load_demonstrations(
        root, {"front": CameraSpec(height=datasets.SIZE, width=datasets.SIZE)}, ("angle", "x"),
        action, root.parent / "cache")


def findings(root, check_name):
    return [f.text for f in check(read_tables(root)).findings if f.check == check_name]


@pytest.mark.parametrize(("change", "columns"), [
    (feature("action", names=["dy", "dx"]), [[1, 0]]),
    (feature("action", names={"dx": 1, "dy": 0}), [[1, 0]]),
    (actions(3, ["dx", "grip", "dy"]), [[0, 2]]),
    (actions(4, ["dx.0", "dy.0", "dx.1", "dy.1"], fps=5), [[0, 1], [2, 3]]),
    (actions(4, ["dx.0", "dx.1", "dy.0", "dy.1"], fps=5), [[0, 2], [1, 3]]),
    (actions(4, ["dx.1", "dx.2", "dy.1", "dy.2"], fps=5), [[0, 2], [1, 3]]),
    (actions(4, ["dx.1", "dy.1", "dx.0", "dy.0"], fps=5), [[2, 3], [0, 1]]),
    (actions(4, ["dx[0]", "dx[1]", "dy[0]", "dy[1]"], fps=5), [[0, 2], [1, 3]]),
    (actions(4, ["t0.dx", "t1.dx", "t0.dy", "t1.dy"], fps=5), [[0, 2], [1, 3]]),
    (actions(4, ["dx", "dx.1", "dy", "dy.1"], fps=5), [[0, 2], [1, 3]]),
    (actions(4, ["dx", "dx", "dy", "dy"], fps=5), [[0, 2], [1, 3]]),
    (actions(4, ["dx", "dy", "dx", "dy"], fps=5), [[0, 1], [2, 3]]),
    (actions(6, ["dx", "dy"], [2, 3], 10 / 3), [[0, 3], [1, 4], [2, 5]]),
    (actions(6, ["dy", "dx"], [3, 2], 10 / 3), [[1, 0], [3, 2], [5, 4]]),
    (actions(6, None, [3, 2], 10 / 3), [[0, 1], [2, 3], [4, 5]]),
])
def test_every_control_step_of_every_channel_is_found_by_name(root, change: Change, columns):
    change(root)
    rows = pq.read_table(root / DATA)["action"].to_pylist()
    stored = np.array(rows, np.float32).reshape(FRAMES, -1)
    np.testing.assert_array_equal(load(root).actions, stored[:, columns])


@pytest.mark.parametrize("names", [
    ["dx.0", "dx.0", "dy.0", "dy.0"], ["dx.0", "dx.1", "dy.0", "dy.2"],
    ["dx.3", "dy.3", "dx.4", "dy.4"], ["dx", "dx.0", "dy", "dy.0"], ["dx", "dx", "dx", "dy"],
    ["dx_0", "dx_1", "dy_0", "dy_1"], ["dx", "dy"], ["dx"], ["a", "b", "c"], {"motors": ["a"] * 3},
])
def test_steps_that_names_do_not_tell_are_refused(root, names):
    actions(4, names, fps=5)(root)
    with pytest.raises(InputError, match=r"'action'|action 'd"):
        load(root)


def test_the_arm_of_the_recipe_is_taken_and_the_other_is_not_its_next_step(root):
    names = ["left_dx", "left_dy", "right_dx", "right_dy"]
    actions(4, names)(root)
    stored = np.array(pq.read_table(root / DATA)["action"].to_pylist(), np.float32)
    data = load(root, ("right_dx", "right_dy"))
    np.testing.assert_array_equal(data.actions[:, 0], stored[:, 2:])
    assert "left_dx" in " ".join(note.text for note in data.notes)
    with pytest.raises(InputError, match="'dx'"):
        load(root, dt=0.05)


@pytest.mark.parametrize(("change", "gray", "tolerance"), [
    (images(lambda i: raw_png(i[:, :, 0], GRAY)), True, 0),
    (images(palette_png), False, 0),
    (images(lambda i: with_alpha(i, 255)), False, 0),
    (video("gray"), True, 12),
    (video("yuv420p10le"), False, 12),
])
def test_images_of_every_kind_come_out_as_they_are(root, change: Change, gray, tolerance):
    change(root)
    data = load(root)
    for row in range(FRAMES):
        wanted = picture(row).astype(int)
        if gray:
            # A video makes gray of all colors, so only what is gray already is compared.
            wanted = wanted[:, :, :1].repeat(3, 2)
        assert np.abs(data.images[row, 0] - wanted)[20:].max() <= tolerance


def test_the_frame_that_is_named_as_the_nearest_is_the_nearest(root):
    datasets.to_video(root, "front", "libx264", surplus=0)
    frames = [picture(i) for i in range(10)]
    # Nothing at 0.3, 0.4 and 0.5 s: the frame before 0.3 is nearer than the one behind.
    datasets.encode(datasets.video_path(root, "front", 0),
                    [*frames[:3], None, None, None, *frames[6:]], datasets.FPS, "libx264")
    with pytest.raises(InputError, match=r"at 0\.3000 s .*the nearest is at 0\.2000 s"):
        load(root)


def test_one_large_action_is_named_and_is_no_limit(root):
    one("action", 5, [1e6, 0.0])(root)
    assert not findings(root, "saturation")
    assert ["1e+06" in text and "5 of episode 0" in text
            for text in findings(root, "outlier")] == [True]
    with pytest.raises(InputError, match=r"1e\+06 .*-1 to 1"):
        load(root)


def test_a_saturated_channel_is_found_beside_a_large_value(root):
    values = np.where(np.arange(FRAMES) % 3 > 0, 1.0, np.linspace(-1, 0.9, FRAMES))
    values[4] = 1e6
    rows = np.array(pq.read_table(root / DATA)["action"].to_pylist())
    rows[:, 0] = values
    datasets.edit_column(root, "action", lambda _: rows.tolist())
    assert "dx" in findings(root, "saturation")[0]


@pytest.mark.parametrize("values", [
    np.where(np.arange(300) % 50 < 25, -3.14, 3.14),  # opens and closes
    np.sin(np.linspace(0, 20, 300)) * 3.1,  # between the ends, never across
    np.cumsum(np.full(300, 0.1)),  # unwrapped
    np.random.default_rng(0).uniform(-3.14, 3.14, 300),  # no motion
    np.linspace(0, 100, 300),
    np.zeros(300),
])
def test_what_is_no_angle_is_not_called_one(values):
    assert not len(wraps(values, np.arange(300) % 100 == 0)[1])


def test_an_angle_may_jump_between_episodes():
    values = np.concatenate([np.linspace(2.0, 3.1, 50), np.linspace(-3.1, -2.0, 50)])
    assert not len(wraps(values, np.arange(100) % 50 == 0)[1])
    assert wraps(values, np.arange(100) == 0)[1].tolist() == [50]


def test_few_values_far_from_all_others_are_glitches():
    rng = np.random.default_rng(0)
    for values in (rng.normal(size=2000), rng.standard_exponential(2000), np.zeros(50),
                   np.where(np.arange(2000) % 100 < 3, 1.0, 0.0), np.array([1.0, 500.0])):
        assert not glitches(values).any()
    values = rng.normal(size=2000)
    values[[7, 900]] = 1e6, -4e3
    assert np.flatnonzero(glitches(values)).tolist() == [7, 900]


def test_what_float32_loses():
    assert not float32_loss(1.0 + 1e-9 * np.arange(100.0)).any()  # a joint that stands still
    assert not float32_loss(np.linspace(-3, 3, 100)).any()
    assert not float32_loss(np.arange(100)).any()
    assert float32_loss(1.7e9 + np.linspace(0, 10, 100)).any()
    assert float32_loss(np.array([1e39, 0.0, 1.0])).tolist() == [True, False, False]
    assert float32_loss(np.array([2**24, 2**24 + 1])).tolist() == [False, True]


def test_a_state_that_stands_still_at_a_turn_is_no_angle(root):
    state(2, np.pi)(root)
    assert not findings(root, "angle")


@pytest.mark.parametrize(("height", "width", "crop", "enlarged"), [
    (64, 64, None, ""),
    (32, 32, (0.0, 0.0, 0.5, 0.5), ""),
    (48, 64, None, ""),
    (96, 96, None, "at most 64x64"),
    (64, 64, (0.0, 0.25, 1.0, 0.75), ""),  # squeezed, in one direction alone
    (48, 64, (0.0, 0.0, 0.5, 0.5), "32x32 of its 64x64"),
])
def test_a_recipe_that_enlarges_images_is_told_so(root, height, width, crop, enlarged):
    action = ActionSpec(channels=("dx", "dy"), units=("", ""), low=(-1.0, -1.0), high=(1.0, 1.0),
                        dt=0.1, horizon=4, n_action_steps=1)
    wanted = Wanted({"front": CameraSpec(height=height, width=width, crop=crop)}, ("x",), action)
    report = check(read_tables(root), wanted)
    texts = [f.text for f in report.findings if f.check == "resolution" and not f.error]
    assert len(texts) == bool(enlarged) and all(enlarged in text for text in texts)

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

"""Datasets as users record them: an arm in joint space, its commands, one or two cameras."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import yaml

from training.data.lerobot.writer import DatasetEpisode, LeRobotDatasetWriter, image_stats

JOINTS = ("shoulder", "elbow", "gripper")
LEROBOT = tuple(f"{n}.pos" for n in JOINTS)
# Of the three joints, rad; the last is one that only opens and closes.
CONTRACT = {
    "name": "own arm",
    "cameras": {"front": {"topic": "camera/front/image_raw", "rate": 30, "timeout": 0.5},
                "wrist": {"topic": "camera/wrist/image_raw", "rate": 30, "timeout": 0.5}},
    "joint_states": {"topic": "joint_states", "rate": 50, "timeout": 0.5},
    "stamps": {"tolerance": 0.04},
    "actions": {n: {"unit": "rad", "low": -1.5, "high": 1.5, "velocity": 3.0,
                    "acceleration": 20.0, "jump": 1.0, "state": n} for n in JOINTS},
    "outputs": [{"type": "joint_trajectory", "topic": "arm_controller/joint_trajectory",
                 "channels": list(JOINTS)}],
    "execution": {"max_duration": 0.5}}


def write_contract(path: Path, **changes: object) -> Path:
    """Write the contract with some fields replaced."""
    path.write_text(yaml.safe_dump(CONTRACT | changes, sort_keys=False))
    return path


def write_own_data(root: Path, names: Sequence[str] = JOINTS, fps: float = 30, steps: int = 1,
                   tasks: Sequence[str] = ("put the cube into the bowl",), episodes: int = 4,
                   frames: int = 40, unit: float = 1.0, size: tuple[int, int] = (48, 64),
                   states: Mapping[str, float] | None = None,
                   continuous: Mapping[str, Mapping[str, object]] | None = None,
                   plan_rows: int = 0, cameras: Sequence[str] = ("front", "wrist")) -> Path:
    """Write episodes of an arm whose joints swing by a radian, and whose gripper closes midway.

    Args:
        root: directory to create.
        names: of states and actions.
        fps: frames per second.
        steps: control steps per frame; the names of actions have numbers then.
        tasks: instructions, by turns.
        episodes: their number.
        frames: of each episode.
        unit: a radian in the data's unit.
        size: (height, width) of the images.
        states: further states that never change, or are NaN.
        continuous: notes of the features ``observation.state`` and ``action``.
        plan_rows: rows of an expert's plan; 0 for none.
        cameras: their names.
    """
    states, rng = dict(states or {}), np.random.default_rng(0)
    numbered = [n if steps == 1 else f"{n}.{k}" for k in range(steps) for n in names]
    features = {f"observation.images.{c}": {"dtype": "image", "shape": [*size, 3],
                                            "names": ["height", "width", "channels"]}
                for c in cameras}
    features["observation.state"] = {"dtype": "float32", "shape": [len(names) + len(states)],
                                     "names": [*names, *states]}
    features["action"] = {"dtype": "float32", "shape": [len(numbered)], "names": numbered}
    plans = [f"{n}.{k}" for k in range(plan_rows) for n in names]
    if plans:
        features["expert_plan"] = {"dtype": "float32", "shape": [len(plans)], "names": plans}
    for name, note in (continuous or {}).items():
        features[name]["continuous"] = note
    writer = LeRobotDatasetWriter(root, fps, features, "own arm")
    for episode in range(episodes):
        times = np.arange(frames * steps + plan_rows) / (fps * steps)
        swing = np.stack([np.sin(2 * times + episode + i) for i in range(len(names))], 1)
        swing[:, -1] = np.where(times > times[frames * steps // 2], 1.0, 0.0)
        swing = (swing * unit).astype(np.float32)
        rows = swing[:frames * steps].reshape(frames, steps, len(names))
        state = np.concatenate([rows[:, 0], np.tile(np.array(list(states.values()), np.float32),
                                                    (frames, 1))], 1)
        arrays = {"observation.state": state, "action": rows.reshape(frames, -1)}
        if plans:
            arrays["expert_plan"] = np.stack([swing[i * steps:i * steps + plan_rows].reshape(-1)
                                              for i in range(frames)])
        images = {c: rng.integers(60, 200, (frames, *size, 3), dtype=np.uint8) for c in cameras}
        writer.add(DatasetEpisode(
            tasks[episode % len(tasks)],
            {f"observation.images.{c}": [cv2.imencode(".png", i)[1].tobytes() for i in stack]
             for c, stack in images.items()},
            {f"observation.images.{c}": image_stats(stack) for c, stack in images.items()},
            arrays))
    writer.close()
    return root

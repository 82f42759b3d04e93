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

"""One contact sheet per task: a few episodes, a few moments of each, all cameras."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from tinyvla_ros.core.image_transform import encode_png
from training.data.consistency import episode_starts
from training.data.lerobot.reader import Tables

EPISODES, MOMENTS = 5, 6
# Thousands of tasks would make thousands of sheets.
MAX_SHEETS = 24
LABEL_HEIGHT, MARGIN, GAP = 18, 170, 4
LETTER_WIDTH = 7
INK, PAPER, MISSING = (0, 0, 0), 255, 200


@dataclass(frozen=True)
class Sheet:
    """Which frames a contact sheet shows.

    Attributes:
        task: index of the task.
        rows: per episode the rows of the data, in order of time.
    """

    task: int
    rows: list[list[int]]

    def file_name(self, tables: Tables) -> str:
        """Return a file name with the number and the words of the task."""
        words = "".join(c if c.isascii() and c.isalnum() else " " for c in
                        tables.tasks[self.task].lower()).split()
        return "-".join([f"task-{self.task:03d}", *words])[:60] + ".png"


def plan_sheets(tables: Tables) -> list[Sheet]:
    """Choose episodes spread over the dataset and moments spread over each of them."""
    starts = episode_starts(tables)
    ends = np.array([*starts[1:], tables.frames])
    tasks = tables.rows["task_index"][starts]
    known = [t for t in np.unique(tasks) if 0 <= t < len(tables.tasks)]
    sheets = []
    for task in known[:MAX_SHEETS]:
        mine = np.flatnonzero(tasks == task)
        chosen = mine[_spread(0, len(mine) - 1, EPISODES)]
        sheets.append(Sheet(int(task), [_spread(starts[e], ends[e] - 1, MOMENTS)
                                        for e in chosen]))
    return sheets


def _spread(first: int, last: int, count: int) -> list[int]:
    return np.unique(np.linspace(first, last, count).round().astype(int)).tolist()


def write_sheet(path: Path, sheet: Sheet, tables: Tables,
                cameras: Mapping[str, Mapping[int, np.ndarray]]) -> None:
    """Draw a sheet: a row of moments per episode, cameras below each other.

    Args:
        path: PNG file to write.
        sheet: the rows to show.
        tables: names episodes and times.
        cameras: camera name -> row of the data -> (height, width, 3) uint8 RGB; all images of a
            camera have one size, missing ones are drawn gray.
    """
    sizes = {name: next(iter(images.values())).shape[:2]
             for name, images in cameras.items() if images}
    blocks = [_episode(rows, tables, cameras, sizes) for rows in sheet.rows]
    width = max(block.shape[1] for block in blocks)
    title = f"{tables.root.resolve().name}, task {sheet.task}: {tables.tasks[sheet.task]}"
    lines = textwrap.wrap(title, width // LETTER_WIDTH)
    header = [_label(line, width, LABEL_HEIGHT) for line in lines]
    blocks = [cv2.copyMakeBorder(b, 0, GAP, 0, width - b.shape[1], cv2.BORDER_CONSTANT,
                                 value=(PAPER,) * 3) for b in blocks]
    # cv2.imwrite takes only UTF-8 for a name.
    path.write_bytes(encode_png(np.vstack([*header, *blocks])))


def _episode(rows: Sequence[int], tables: Tables, cameras, sizes) -> np.ndarray:
    number, length = tables.rows["episode_index"][rows[0]], rows[-1] - rows[0] + 1
    cell = max(width for _, width in sizes.values())
    strips = [np.hstack([
        _label(f"episode {number}, {length} frames", MARGIN, LABEL_HEIGHT),
        *(_label(f"frame {tables.rows['frame_index'][r]}, {tables.rows['timestamp'][r]:.2f} s",
                 cell + GAP, LABEL_HEIGHT) for r in rows)])]
    for name, (height, width) in sizes.items():
        strip = [_label(name, MARGIN, height)]
        for row in rows:
            image = cameras[name].get(row)
            if image is None or image.shape[:2] != (height, width):
                image = np.full((height, width, 3), MISSING, np.uint8)
            strip.append(cv2.copyMakeBorder(image, 0, 0, 0, cell + GAP - width,
                                            cv2.BORDER_CONSTANT, value=(PAPER,) * 3))
        strips.append(cv2.copyMakeBorder(np.hstack(strip), 0, GAP, 0, 0, cv2.BORDER_CONSTANT,
                                         value=(PAPER,) * 3))
    return np.vstack(strips)


def _label(text: str, width: int, height: int) -> np.ndarray:
    label = np.full((height, width, 3), PAPER, np.uint8)
    # OpenCV's fonts know ASCII only.
    text = text.encode("ascii", "replace").decode()
    cv2.putText(label, text, (4, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.4, INK, 1, cv2.LINE_AA)
    return label

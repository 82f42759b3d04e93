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

"""The images of a dataset, decoded once into a memory-mapped file."""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

from tinyvla_ros.core.configuration import read_json
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.files import write_json
from tinyvla_ros.core.image_transform import crop_and_shrink
from tinyvla_ros.policy.config import CameraSpec
from training.data.checks.images import CameraWatch
from training.data.consistency import Finding
from training.data.frames import camera_frames
from training.data.lerobot.reader import Tables
from training.jobs.progress import progress_bar

WARNINGS = "warnings.json"


def cached_images(path: Path, tables: Tables, cameras: dict[str, tuple[str, CameraSpec]]
                  ) -> tuple[np.ndarray, list[Finding]]:
    """Open the decoded images at ``path``; decode them first if they are not there.

    The directory appears whole or not at all, and is never written to again.

    Args:
        path: directory of this dataset as seen by these cameras.
        tables: the dataset; its episode table must fit its rows.
        cameras: camera name -> its feature and what the policy sees of it.

    Returns:
        (frames, cameras, height, width, 3) uint8 RGB, in memory if that takes less than half of
        what is free, else memory-mapped; and warnings about what they show.

    Raises:
        InputError: an image or video that cannot be used, no room.
    """
    sizes = {(spec.height, spec.width) for _, spec in cameras.values()}
    if not (path / "images.npy").is_file():
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        try:
            _decode_all(part, tables, cameras, (tables.frames, len(cameras), *sizes.pop(), 3))
            shutil.rmtree(path, ignore_errors=True)
            os.replace(part, path)
        except OSError as err:
            raise InputError(f"Cannot write the decoded images to {path} ({err.strerror}); make "
                             "room or make the directory writable, or give another one: --cache "
                             "DIR.") from None
        finally:
            shutil.rmtree(part, ignore_errors=True)
    warnings = path / WARNINGS  # not there if release 0.1.0 decoded the images
    return (_in_memory(np.load(path / "images.npy", mmap_mode="r")),
            [Finding(**f) for f in read_json(warnings)] if warnings.is_file() else [])


def _decode_all(part: Path, tables: Tables, cameras, shape: tuple[int, ...]) -> None:
    part.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(part).free
    if np.prod(shape) > free:  # writing a memory map on a full disk kills the process
        raise InputError(f"The decoded images take {np.prod(shape) / 1e9:.1f} GB and {part.parent}"
                         f" has {free / 1e9:.1f} GB free; make room, or give another directory: "
                         "--cache DIR.")
    images = open_memmap(part / "images.npy", "w+", np.uint8, shape)
    findings: list[Finding] = []
    with progress_bar(total=shape[0] * shape[1], unit="image", desc="decode images") as progress:
        for j, (feature, spec) in enumerate(cameras.values()):
            watch = CameraWatch(tables, feature)
            for row, image in camera_frames(tables, feature):
                images[row, j] = crop_and_shrink(image, spec.crop, spec.height, spec.width)
                watch.see(row, image)
                progress.update()
            findings += watch.findings()
    images.flush()
    write_json(part / WARNINGS, [asdict(f) for f in findings])


def _in_memory(images: np.ndarray) -> np.ndarray:
    """Read the cache into memory if it takes less than half of what is free.

    Random reads of a memory map are several seconds a batch where the system drops file pages.
    """
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return np.array(images) if images.nbytes < free / 2 else images

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

"""What happened to the images of a dataset before they were stored, and what is left to do.

A policy gets ``crop_and_shrink`` of the robot's image. Training must get the same pixels: an image
that was shrunk when it was stored cannot be cropped or shrunk again without becoming another one.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tinyvla_ros.core.configuration import Config, parse, read_json
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.files import write_json
from tinyvla_ros.policy.config import CameraSpec

FILE = "meta/images.json"


class StoredImages(Config):
    """How the images of a camera were made from those of the robot.

    Attributes:
        crop: (left, top, right, bottom) as fractions of the robot's image, null for all of it.
        resized: whether any of them was shrunk or enlarged after that.
    """

    crop: tuple[float, float, float, float] | None = None
    resized: bool = False


def write_stored_images(root: Path, cameras: Mapping[str, StoredImages]) -> None:
    """Note how the images of a dataset were made, by camera."""
    write_json(root / FILE, {name: made.model_dump() for name, made in cameras.items()})


def remaining_transform(root: Path, camera: str, size: tuple[int, int], wanted: CameraSpec
                        ) -> CameraSpec:
    """Return what must still be done to stored images, for the pixels that a policy gets.

    A dataset of other tools does not describe how its images were made; they count as the robot's.

    Args:
        root: the dataset.
        camera: name of the camera.
        size: (height, width) of its stored images.
        wanted: what the policy does to the robot's images.

    Raises:
        InputError: nothing that could be done gives these pixels.
    """
    notes = read_json(root / FILE) if (root / FILE).is_file() else {}
    if camera not in notes:
        return wanted
    made = parse(StoredImages, notes[camera], f"{root / FILE}: {camera}")
    if made.crop is None and not made.resized:
        return wanted
    if made.crop == wanted.crop and (not made.resized or size == (wanted.height, wanted.width)):
        return wanted.model_copy(update={"crop": None})
    raise InputError(
        f"{root}: the images of camera {camera!r} were stored with {_text(made.crop, size)}, and "
        f"the policy gets {_text(wanted.crop, (wanted.height, wanted.width))} of the robot's "
        "images: it would be trained on other pixels than it gets on the robot. Export the bags "
        "again with 'tinyvla bag export --config' and this configuration, or make cameras."
        f"{camera} agree.")


def _text(crop: tuple[float, ...] | None, size: tuple[int, int]) -> str:
    box = "no crop" if crop is None else f"crop {list(crop)}"
    return f"{box} and size {size[1]}x{size[0]}"

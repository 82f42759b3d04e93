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

"""Which image topics a contract takes, and what their cameras are called."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tinyvla_ros.robot_draft.found import FoundCamera

# Parts of topics that say what an image is, not whose.
_GENERIC = {"image", "image_raw", "image_rect", "image_color", "image_rect_color", "image_mono",
            "color", "rgb", "raw", "compressed", "camera", "cameras", "sensor", "sensors", "video",
            "stream", "image_rect_raw"}
_AROUND = re.compile(r"^(?:camera|cam)_(?=.)|(?<=.)_(?:camera|cam|image)$")


def camera_name(topic: str) -> str:
    """Return what a camera is probably called: 'front' for 'front_camera/color/image_raw'."""
    parts = [p for p in topic.split("/") if p and p not in _GENERIC]
    name = _AROUND.sub("", parts[-1]) if parts else "camera"
    return re.sub(r"\W", "_", name) or "camera"


def choose_cameras(found: Sequence[FoundCamera]
                   ) -> tuple[dict[str, FoundCamera], list[tuple[FoundCamera, str]]]:
    """Return camera name -> topic, and the topics that are left out with the reason.

    Of several topics of a camera (raw and compressed, rectified), the plainest that came is taken.
    """
    taken: dict[str, FoundCamera] = {}
    left: list[tuple[FoundCamera, str]] = []
    for camera in sorted(found, key=_plainness):
        owner = next((n for n, c in taken.items() if _device(c.topic) == _device(camera.topic)),
                     None)
        if not camera.timing.count:
            left.append((camera, "no image came"))
        elif camera.size is None:
            left.append((camera, camera.error or "no image could be decoded"))
        elif owner is not None:
            left.append((camera, f"camera {owner} is taken from {taken[owner].topic}"))
        else:
            name = camera_name(camera.topic)
            number = 2
            while name in taken:
                name = f"{camera_name(camera.topic)}_{number}"
                number += 1
            taken[name] = camera
    return dict(sorted(taken.items(), key=lambda item: item[1].topic)), left


def _plainness(camera: FoundCamera) -> tuple:
    last = camera.topic.removesuffix("/compressed").rsplit("/", 1)[-1]
    order = ["image_raw", "image", "image_color"]
    return (camera.compressed, order.index(last) if last in order else len(order), camera.topic)


def _device(topic: str) -> str:
    """Return the part of a topic that names the images of one sensor."""
    parts = topic.removesuffix("/compressed").split("/")
    return "/".join(parts[:-1]) if parts[-1] in _GENERIC else "/".join(parts)

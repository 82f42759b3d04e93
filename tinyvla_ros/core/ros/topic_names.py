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

"""Topic names: those that ROS accepts, as a type for fields of files, and what they stand for."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

# https://design.ros2.org/articles/topic_and_service_names.html
_NAME = re.compile(r"(~|(~?/)?[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*)")
_LONGEST = 245  # with what a middleware puts in front of it


def _check(name: str) -> str:
    if not _NAME.fullmatch(name):
        likely = re.sub(r"/+", "/", re.sub(r"[^A-Za-z0-9_/~]", "_", name)).rstrip("/")
        likely = re.sub(r"(^|/)(?=\d)", r"\1_", likely)
        hint = f"; did you mean {likely!r}?" if _NAME.fullmatch(likely) else ""
        raise ValueError(f"{name!r} is no topic name in ROS: give words of letters, digits and _ "
                         "that do not begin with a digit, separated by single slashes, for "
                         f"example camera/front/image_raw{hint}")
    if len(name) > _LONGEST:
        raise ValueError(f"the topic name has {len(name)} characters; give one of at most "
                         f"{_LONGEST}")
    return name


TopicName = Annotated[str, AfterValidator(_check)]


def camera_name(topic: str) -> str:
    """Return the camera's name in ``camera/<name>/image_raw``; of other topics all of it."""
    parts = topic.removesuffix("/compressed").strip("/").split("/")
    if len(parts) >= 2 and parts[-1].startswith("image"):
        parts = parts[:-1]
    if len(parts) >= 2 and parts[-2] == "camera":
        parts = [*parts[:-2], parts[-1]]
    return "/".join(parts)

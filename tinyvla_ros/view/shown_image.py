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

"""Images as viewers take them: encoded, as they came if they are."""

from __future__ import annotations

import cv2

from tinyvla_ros.core.ros.messages import image_to_array

# Hardly to be told from the original, at a tenth of its size.
JPEG_QUALITY = 85
_MAGIC = {b"\xff\xd8\xff": "jpeg", b"\x89PNG": "png"}
# What a file decodes to if its format says nothing else.
_COLORS = ("rgb8", "bgr8", "mono8", "jpeg", "jpg", "png", "")


def encoded(msg) -> tuple[bytes, str]:
    """Return an image message as a file: its bytes, and ``jpeg`` or ``png``.

    Args:
        msg: a sensor_msgs/Image, or a sensor_msgs/CompressedImage.

    Raises:
        MessageError: it cannot be decoded, or is not 8-bit color or gray.
    """
    if not hasattr(msg, "encoding"):
        kind = next((k for magic, k in _MAGIC.items()
                     if bytes(msg.data[:len(magic)]) == magic), None)
        # A mosaic of colors is a gray file.
        if kind and msg.format.partition(";")[0].strip() in _COLORS:
            return bytes(msg.data), kind
    image = cv2.cvtColor(image_to_array(msg), cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return data.tobytes(), "jpeg"

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

"""Serialized messages as they are recorded, with receive and publish times."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from tinyvla_ros.bags.definitions import typestore
from tinyvla_ros.core.errors import MessageError
from tinyvla_ros.core.ros.messages import image_to_array

# A publisher's clock that differs by more from the recorder's is not used, s.
CLOCK_TRUST_S = 1.0


class _Timed:
    """Adds ``time_ns`` to a message with ``log_ns`` and ``publish_ns``."""

    @property
    def time_ns(self) -> int:
        """When it was published; when it was received, if the two clocks do not agree."""
        agree = abs(self.log_ns - self.publish_ns) < CLOCK_TRUST_S * 1e9
        return self.publish_ns if agree else self.log_ns


@dataclass(frozen=True)
class RawMessage(_Timed):
    """A message on its way into a bag.

    Attributes:
        topic: name.
        log_ns, publish_ns: receive and publish time, ns since 1970.
        data: CDR.
        sequence: the number its publisher gave it; 0 if unknown.
    """

    topic: str
    log_ns: int
    publish_ns: int
    data: bytes
    sequence: int = 0


@dataclass(frozen=True)
class BagTopic:
    """A topic of a bag.

    Attributes:
        name: with its namespace.
        type: ``sensor_msgs/msg/Image``.
        count: messages.
        publishers: offered profiles noted when it was recorded, at least one.
    """

    name: str
    type: str
    count: int
    publishers: int


@dataclass(frozen=True)
class BagMessage(_Timed):
    """A message of a bag.

    Attributes:
        topic: its topic.
        log_ns, publish_ns: receive and publish time, ns since 1970; equal where the storage has
            no publish time, as sqlite3 has none.
        data: CDR.
    """

    topic: BagTopic
    log_ns: int
    publish_ns: int
    data: bytes


def header_stamp(data: bytes) -> int:
    """Return the stamp (ns) of a serialized message that begins with a std_msgs/Header.

    Nothing else is decoded. Bytes that are too short for it give 0 or nonsense, and no error; a
    stamp with a second or more of nanoseconds, which is none, gives 0.
    """
    order = "little" if len(data) > 1 and data[1] & 1 else "big"
    ns = int.from_bytes(data[8:12], order)
    if ns >= 1_000_000_000:
        return 0
    return int.from_bytes(data[4:8], order, signed=True) * 1_000_000_000 + ns


def as_jpeg(data: bytes, quality: int) -> bytes:
    """Return a serialized sensor_msgs/Image as a serialized sensor_msgs/CompressedImage.

    Args:
        data: CDR.
        quality: 1 (smallest) to 100 (best).

    Raises:
        MessageError: the image cannot be read.
    """
    store = typestore()
    try:
        msg = store.deserialize_cdr(data, "sensor_msgs/msg/Image")
    except Exception as err:
        raise MessageError(f"The bytes are not a sensor_msgs/Image ({err}).") from None
    image = image_to_array(msg)[:, :, ::-1]
    _, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    # Other readers take the first word for what the file decodes to: a mosaic, with bayer_rggb8.
    before = msg.encoding if msg.encoding in ("rgb8", "bgr8") else "rgb8"
    compressed = store.types["sensor_msgs/msg/CompressedImage"](
        header=msg.header, format=f"{before}; jpeg compressed bgr8",
        data=np.ascontiguousarray(jpeg.reshape(-1)))
    return bytes(store.serialize_cdr(compressed, "sensor_msgs/msg/CompressedImage"))

# SPDX-License-Identifier: Apache-2.0
"""Compress serialized images as JPEG."""

from __future__ import annotations

import functools

import cv2
import numpy as np

from tinyvla_ros.core.errors import MessageError
from tinyvla_ros.core.messages import image_to_array


def as_jpeg(data: bytes, quality: int) -> bytes:
    """Return a serialized sensor_msgs/Image as a serialized sensor_msgs/CompressedImage.

    Args:
        data: CDR.
        quality: 1 (smallest) to 100 (best).

    Raises:
        MessageError: the image cannot be read.
    """
    store = _store()
    try:
        msg = store.deserialize_cdr(data, "sensor_msgs/msg/Image")
    except Exception as err:
        raise MessageError(f"The bytes are not a sensor_msgs/Image ({err}).") from None
    image = image_to_array(msg)[:, :, ::-1]
    _, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    compressed = store.types["sensor_msgs/msg/CompressedImage"](
        header=msg.header, format=f"{msg.encoding}; jpeg compressed bgr8",
        data=np.ascontiguousarray(jpeg.reshape(-1)))
    return bytes(store.serialize_cdr(compressed, "sensor_msgs/msg/CompressedImage"))


@functools.cache
def _store():
    from rosbags.typesys import Stores, get_typestore

    return get_typestore(Stores.ROS2_JAZZY)

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

"""Image messages to RGB: encodings of sensor_msgs/Image, payloads of sensor_msgs/CompressedImage.

The names are those of ``sensor_msgs/image_encodings.hpp``, and ``nv12``, which drivers send though
it is not in that list. Whatever is not 8-bit color or gray is refused: how many of 16 bits count,
or which distance is white, is nowhere stated.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

import cv2
import numpy as np

from tinyvla_ros.core.errors import MessageError, unknown

# Rows as they are in the buffer, (n, step) uint8, and the image's width -> (h, w, 3) uint8 RGB.
_ToRgb = Callable[[np.ndarray, int], np.ndarray]

# Full matrix of BT.601 with limited range, which OpenCV's conversions of 4:2:2 and 4:2:0 use; for
# 4:4:4 it has none.
_YUV_TO_RGB = np.array([[1.164, 0.0, 1.596, -222.912], [1.164, -0.391, -0.813, 135.488],
                        [1.164, 2.018, 0.0, -276.928]], np.float32)
# OpenCV names the colors of the second row from the second column on, ROS those of the first row
# from the first: RGGB is BG.
_BAYER = {"bayer_rggb8": cv2.COLOR_BayerBG2RGB, "bayer_bggr8": cv2.COLOR_BayerRG2RGB,
          "bayer_gbrg8": cv2.COLOR_BayerGR2RGB, "bayer_grbg8": cv2.COLOR_BayerGB2RGB}
# Smaller mosaics come out black.
_LEAST_BAYER = 3
_SIXTEEN_BIT = re.compile(r"(mono|rgb|bgr|rgba|bgra|bayer_[rgb]{4})16")
_OPENCV_TYPE = re.compile(r"(\d+)([USF])C(\d*)")
# Channels of an OpenCV type -> encodings with the same bytes and a known order of the colors.
_ORDERS = {"3": "'bgr8' or 'rgb8'", "4": "'bgra8' or 'rgba8'"}
_VIDEO = re.compile(r"h\.?26[45]|hevc|av1|vp[89]")


class _Encoding(NamedTuple):
    """How an encoding is laid out.

    Attributes:
        pixel: bytes of a pixel in the first plane.
        to_rgb: the conversion.
        rows: rows of the buffer for one row of the image; more than one if planes of color
            follow the brightness.
        even: width, and height, must be even, because pixels share their color.
        least: least width and height.
    """

    pixel: int
    to_rgb: _ToRgb
    rows: Fraction = Fraction(1)
    even: tuple[bool, bool] = (False, False)
    least: int = 1


def _packed(pixel: int, code: int | None) -> _ToRgb:
    """Return the conversion of images whose pixels are ``pixel`` bytes, by OpenCV's code."""
    def to_rgb(rows: np.ndarray, width: int) -> np.ndarray:
        image = rows[:, :width * pixel].reshape(len(rows), width, pixel)
        return image if code is None else cv2.cvtColor(image, code)
    return to_rgb


def _nv24(rows: np.ndarray, width: int) -> np.ndarray:
    height, step = len(rows) // 3, rows.shape[1]
    yuv = np.empty((height, width, 3), np.uint8)
    yuv[..., 0] = rows[:height, :width]
    color = rows[height:].reshape(height, 2 * step)[:, :2 * width]
    yuv[..., 1], yuv[..., 2] = color[:, ::2], color[:, 1::2]
    return cv2.transform(yuv, _YUV_TO_RGB)


def _yuv422(code: int) -> _Encoding:
    return _Encoding(2, _packed(2, code), even=(True, False))


def _yuv420(code: int) -> _Encoding:
    return _Encoding(1, _packed(1, code), Fraction(3, 2), even=(True, True))


_MONO = _Encoding(1, _packed(1, cv2.COLOR_GRAY2RGB))
_ENCODINGS = {
    "rgb8": _Encoding(3, _packed(3, None)),
    "bgr8": _Encoding(3, _packed(3, cv2.COLOR_BGR2RGB)),
    "rgba8": _Encoding(4, _packed(4, cv2.COLOR_RGBA2RGB)),
    "bgra8": _Encoding(4, _packed(4, cv2.COLOR_BGRA2RGB)),
    "mono8": _MONO,
    "8UC1": _MONO,
    # "yuv422" and "yuv422_yuy2" are the older names of the two.
    **dict.fromkeys(("uyvy", "yuv422"), _yuv422(cv2.COLOR_YUV2RGB_UYVY)),
    **dict.fromkeys(("yuyv", "yuv422_yuy2"), _yuv422(cv2.COLOR_YUV2RGB_YUY2)),
    "nv12": _yuv420(cv2.COLOR_YUV2RGB_NV12),
    "nv21": _yuv420(cv2.COLOR_YUV2RGB_NV21),
    "nv24": _Encoding(1, _nv24, Fraction(3)),
    **{name: _Encoding(1, _packed(1, code), least=_LEAST_BAYER) for name, code in _BAYER.items()},
}


def raw_to_rgb(msg) -> np.ndarray:
    """Return a sensor_msgs/Image as (height, width, 3) uint8 RGB; ``rgb8`` without a copy.

    Raises:
        MessageError: the encoding is not 8-bit color or gray, a size is zero or does not fit the
            encoding, ``step`` is too small, or the buffer has another length.
    """
    encoding = _ENCODINGS.get(msg.encoding)
    if encoding is None:
        raise MessageError(_why_not(msg.encoding))
    height, width, step = msg.height, msg.width, msg.step
    if min(height, width) < encoding.least:
        raise MessageError(f"The image is {width}x{height}; width and height of {msg.encoding} "
                           f"must be at least {encoding.least}.")
    for what, size, even in zip(("width", "height"), (width, height), encoding.even, strict=True):
        if even and size % 2:
            raise MessageError(f"The image {what} is {size}, and pixels of {msg.encoding} share "
                               "their color in pairs; set an even size at the camera's driver.")
    if step < width * encoding.pixel:
        raise MessageError(f"The image step is {step}; {width} pixels of {msg.encoding} need at "
                           f"least {width * encoding.pixel} bytes a row.")
    count = int(height * encoding.rows)
    if count > height and step * height == len(msg.data) == count * width:
        step = width  # some drivers count the planes of color into the step
    if len(msg.data) != count * step:
        planes = f" ({count} with those of the colors)" if count > height else ""
        raise MessageError(f"The image buffer holds {len(msg.data)} bytes; {height} rows{planes} "
                           f"of step {step} are {count * step}.")
    return encoding.to_rgb(np.frombuffer(msg.data, np.uint8).reshape(count, step), width)


def _why_not(name: str) -> str:
    """Return the sentence about an encoding that is not taken."""
    if _SIXTEEN_BIT.fullmatch(name):
        return (f"Image encoding {name!r} has 16 bits, and how many of them the camera uses is "
                f"not stated; set an 8-bit format like {name[:-2] + '8'!r} at its driver.")
    opencv = _OPENCV_TYPE.fullmatch(name)
    if opencv and opencv[1] + opencv[2] == "8U" and opencv[3] in _ORDERS:
        return (f"Image encoding {name!r} does not state the order of its colors; set "
                f"{_ORDERS[opencv[3]]} where it is published.")
    if opencv:
        return (f"Image encoding {name!r} is depth or another measurement, not color; name the "
                "topic of a color image.")
    return unknown("image encoding", name, _ENCODINGS)


def compressed_to_rgb(msg) -> np.ndarray:
    """Return a sensor_msgs/CompressedImage (JPEG, PNG) as (height, width, 3) uint8 RGB.

    ``format`` may be ``jpeg``, or ``rgb8; jpeg compressed bgr8`` with the encoding before. The
    order of the colors is that of the file, as JPEG and PNG define it; an orientation that the
    file states is applied.

    Raises:
        MessageError: it cannot be decoded, is depth, or has more than 8 bits.
    """
    what = f"The compressed image of format {msg.format!r}"
    before, _, codec = (part.strip() for part in msg.format.partition(";"))
    opencv = _OPENCV_TYPE.fullmatch(before)
    if "compressedDepth" in codec or "compressedDepth" in before or (
            opencv and opencv[1] + opencv[2] != "8U"):
        raise MessageError(f"{what} is depth or another measurement, not color; name the topic "
                           "of a color image.")
    try:
        # Neither bit depth nor channels are converted, so that both can be checked.
        image = cv2.imdecode(np.frombuffer(msg.data, np.uint8),
                             cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR)
    except cv2.error:  # empty, or of a size that OpenCV refuses
        image = None
    if image is None:
        video = " It is a video, whose images need those before." \
            if _VIDEO.search(msg.format.lower()) else ""
        raise MessageError(f"{what} and {len(msg.data)} bytes cannot be decoded; send JPEG or "
                           f"PNG.{video}")
    if image.dtype != np.uint8:
        raise MessageError(f"{what} has {8 * image.itemsize} bits a channel, as depth and 16-bit "
                           "cameras send; name the topic of a color image, or set an 8-bit "
                           "format at the camera's driver.")
    if image.ndim == 3:
        # Not a reversed view: shrinking and comparing those takes several times as long.
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    # image_transport compresses a mosaic as it is.
    code = _BAYER.get(before, cv2.COLOR_GRAY2RGB)
    if before in _BAYER and min(image.shape) < _LEAST_BAYER:
        raise MessageError(f"{what} is {image.shape[1]}x{image.shape[0]}; width and height must "
                           f"be at least {_LEAST_BAYER}.")
    return cv2.cvtColor(image, code)

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

"""What cameras send becomes the colors that were before them, or is refused with the way out.

The encoders here are written from the definitions (sensor_msgs/image_encodings.hpp, the pages of
the V4L2 formats, BT.601), not from the decoder.
"""

from __future__ import annotations

import struct
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyvla_ros.core.errors import MessageError
from tinyvla_ros.core.ros.messages import image_to_array

PATCH = 8  # pixels; colors are compared in the middle, because mosaics mix at the edges
COLORS = ((230, 20, 30), (10, 200, 40), (25, 35, 220), (240, 230, 20), (128, 128, 128), (5, 5, 5))
ORDERS = {"yuyv": "YUyV", "yuv422_yuy2": "YUyV", "uyvy": "UYVy", "yuv422": "UYVy"}
MOSAICS = {"bayer_rggb8": "RGGB", "bayer_bggr8": "BGGR", "bayer_gbrg8": "GBRG",
           "bayer_grbg8": "GRBG"}


def patches(colors) -> np.ndarray:
    """Two rows of patches, (16, 8 n, 3) uint8 RGB."""
    row = np.repeat(np.array(colors, np.uint8)[None], PATCH, axis=1)
    row = np.repeat(row, PATCH, axis=0)
    return np.vstack([row, row[:, ::-1]])


def yuv(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """BT.601, limited range."""
    r, g, b = (rgb[..., i].astype(np.float64) for i in range(3))
    return (np.rint(16 + 0.2568 * r + 0.5041 * g + 0.0979 * b).astype(np.uint8),
            np.rint(128 - 0.1482 * r - 0.2910 * g + 0.4392 * b).astype(np.uint8),
            np.rint(128 + 0.4392 * r - 0.3678 * g - 0.0714 * b).astype(np.uint8))


def packed_422(rgb: np.ndarray, order: str) -> list[np.ndarray]:
    y, u, v = yuv(rgb)
    parts = {"Y": y[:, 0::2], "y": y[:, 1::2], "U": u[:, 0::2], "V": v[:, 0::2]}
    return list(np.stack([parts[o] for o in order], axis=2).reshape(len(rgb), -1))


def planes(rgb: np.ndarray, by: int, order: str) -> tuple[list[np.ndarray], list[np.ndarray]]:
    y, u, v = yuv(rgb)
    pair = (u, v) if order == "UV" else (v, u)
    color = np.stack([p[::by, ::by] for p in pair], axis=2)
    return list(y), list(color.reshape(len(color), -1))


def mosaic(rgb: np.ndarray, pattern: str) -> np.ndarray:
    """``pattern``: colors of the first two pixels of the first row, then of the second row."""
    channel = np.array(["RGB".index(c) for c in pattern]).reshape(2, 2)
    rows, columns = np.indices(rgb.shape[:2])
    return np.take_along_axis(rgb, channel[rows % 2, columns % 2][..., None], 2)[..., 0]


def encode(rgb: np.ndarray, encoding: str, padding: int = 0, big_endian: int = 0):
    """Return a sensor_msgs/Image with ``padding`` wrong bytes after each row."""
    height, width = rgb.shape[:2]
    gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    alpha = np.full((height, width, 1), 77, np.uint8)
    color: list[np.ndarray] = []
    if encoding in ("nv12", "nv21"):
        rows, color = planes(rgb, 2, "UV" if encoding == "nv12" else "VU")
    elif encoding == "nv24":
        rows, color = planes(rgb, 1, "UV")
    elif encoding in MOSAICS:
        rows = list(mosaic(rgb, MOSAICS[encoding]))
    elif encoding in ORDERS:
        rows = packed_422(rgb, ORDERS[encoding])
    else:
        pixels = {"rgb8": rgb, "bgr8": rgb[..., ::-1], "rgba8": np.dstack([rgb, alpha]),
                  "bgra8": np.dstack([rgb[..., ::-1], alpha]), "mono8": gray, "8UC1": gray}
        rows = list(pixels[encoding].reshape(height, -1))
    step = len(rows[0]) + padding
    # Planes of color have the step of the first plane; at 4:4:4 twice that.
    lines = [(row, step) for row in rows] + [(row, step * (2 if encoding == "nv24" else 1))
                                             for row in color]
    data = b"".join(row.tobytes() + b"\xa5" * (size - len(row)) for row, size in lines)
    return SimpleNamespace(height=height, width=width, encoding=encoding, step=step, data=data,
                           is_bigendian=big_endian)


COLOR_ENCODINGS = ("rgb8", "bgr8", "rgba8", "bgra8", "nv12", "nv21", "nv24", *ORDERS, *MOSAICS)


@settings(deadline=None, max_examples=15)
@given(colors=st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=1, max_size=4),
       padding=st.integers(0, 9), big_endian=st.integers(0, 1))
@pytest.mark.parametrize("encoding", COLOR_ENCODINGS)
def test_colors_come_back_whatever_the_encoding(encoding, colors, padding, big_endian):
    """8-bit values have no byte order, and bytes beyond the row are no pixels."""
    rgb = patches(colors)
    image = image_to_array(encode(rgb, encoding, padding, big_endian))
    assert image.shape == rgb.shape
    assert image.dtype == np.uint8
    middle = np.s_[PATCH // 2::PATCH, PATCH // 2::PATCH]
    # Rounding brightness and color to bytes costs up to two levels each.
    tolerance = 4 if encoding[0] in "yun" else 0
    assert np.abs(image[middle].astype(int) - rgb[middle]).max() <= tolerance


@pytest.mark.parametrize("encoding", ["mono8", "8UC1"])
def test_gray_becomes_three_equal_channels(encoding):
    msg = encode(patches(COLORS), encoding, padding=3)
    image = image_to_array(msg)
    assert (image == image[..., :1]).all()
    assert image[2, 3, 1] == msg.data[2 * msg.step + 3]


@pytest.mark.parametrize("height, width", [(3, 3), (3, 6), (5, 4), (7, 9)])
@pytest.mark.parametrize("encoding", list(MOSAICS))
def test_small_mosaics_have_their_color_up_to_the_edge(encoding, height, width):
    rgb = np.full((height, width, 3), (200, 120, 30), np.uint8)
    assert np.array_equal(image_to_array(encode(rgb, encoding)), rgb)


def test_a_step_that_counts_the_planes_of_color_is_understood():
    """sensor_msgs/Image: the buffer has step * height bytes."""
    msg = encode(patches(COLORS), "nv12")
    expected = image_to_array(msg)
    msg.step = msg.width * 3 // 2
    assert np.array_equal(image_to_array(msg), expected)


def bare(encoding, height=4, width=6, step=6, size=None):
    return SimpleNamespace(height=height, width=width, encoding=encoding, step=step,
                           data=bytes(height * step if size is None else size), is_bigendian=0)


@pytest.mark.parametrize("msg, words", [
    (bare("yuyv", width=5, step=10), ["width is 5", "even"]),
    (bare("uyvy", width=7, step=14), ["width is 7", "even"]),
    (bare("nv12", height=5, size=45), ["height is 5", "even"]),
    (bare("nv21", width=5, step=5, size=30), ["width is 5", "even"]),
    (bare("nv12"), ["24 bytes", "36", "6 with those of the colors"]),
    (bare("nv12", step=5), ["step is 5", "6 bytes"]),
    (bare("nv24", size=48), ["48 bytes", "72"]),
    (bare("yuyv"), ["step is 6", "12 bytes"]),
    (bare("bayer_rggb8", height=2, width=2, step=2), ["2x2", "at least 3"]),
    (bare("mono16", step=12), ["mono16", "16 bits", "'mono8'"]),
    (bare("bgr16", step=36), ["16 bits", "'bgr8'"]),
    (bare("rgba16", step=48), ["16 bits", "'rgba8'"]),
    (bare("bayer_gbrg16", step=12), ["16 bits", "'bayer_gbrg8'"]),
    (bare("16UC1", step=12), ["depth", "color image"]),
    (bare("32FC1", step=24), ["depth", "color image"]),
    (bare("64FC3", step=144), ["measurement", "color image"]),
    (bare("8SC1"), ["measurement"]),
    (bare("8UC2", step=12), ["measurement"]),
    (bare("8UC3", step=18), ["order of its colors", "'bgr8'", "'rgb8'"]),
    (bare("8UC4", step=24), ["order of its colors", "'bgra8'"]),
    (bare("NV12", size=36), ["'NV12'", "Did you mean 'nv12'"]),
    (bare("yuv420"), ["'yuv420'", "rgb8", "nv12"]),
    (bare(""), ["''", "rgb8"]),
])
def test_what_is_no_color_image_is_refused_with_the_way_out(msg, words):
    with pytest.raises(MessageError) as err:
        image_to_array(msg)
    for word in words:
        assert word in str(err.value)


def compressed(image: np.ndarray, form: str, kind: str = ".png"):
    quality = [] if kind == ".png" else [cv2.IMWRITE_JPEG_QUALITY, 100]
    return SimpleNamespace(format=form, data=cv2.imencode(kind, image, quality)[1].tobytes())


@pytest.mark.parametrize("form", [
    "", "png", "rgb8; png compressed", "rgb8; png compressed bgr8", "bgr8; png compressed bgr8",
    "rgb8; png compressed rgb8", "yuv422_yuy2; png compressed bgr8",
    "bayer_rggb8; png compressed bgr8", "rgb16; png compressed bgr8"])
def test_the_colors_of_a_file_are_those_that_png_defines(form):
    rgb = patches(COLORS)
    assert np.array_equal(image_to_array(compressed(rgb[..., ::-1], form)), rgb)


def test_jpeg_keeps_its_colors_and_its_orientation():
    rgb = patches(COLORS)
    msg = compressed(rgb[..., ::-1], "rgb8; jpeg compressed rgb8", ".jpg")
    # One entry in a TIFF header: orientation 6, to be turned by 90 degrees clockwise.
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0) + bytes(4)
    msg.data = (msg.data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
                + msg.data[2:])
    image, turned = image_to_array(msg), np.rot90(rgb, -1)
    assert image.shape == turned.shape
    middle = np.s_[PATCH // 2::PATCH, PATCH // 2::PATCH]
    assert np.abs(image[middle].astype(int) - turned[middle]).max() < 25


@pytest.mark.parametrize("pixels, expected", [
    (np.full((4, 6), 90, np.uint8), (90, 90, 90)),
    (np.full((4, 6, 4), (30, 20, 10, 0), np.uint8), (10, 20, 30))])
def test_gray_and_transparent_files_are_read(pixels, expected):
    assert (image_to_array(compressed(pixels, "png")) == expected).all()


@pytest.mark.parametrize("encoding", list(MOSAICS))
def test_a_mosaic_compressed_as_it_is_gets_its_colors(encoding):
    """image_transport does not convert mosaics."""
    rgb = patches(COLORS)
    msg = compressed(mosaic(rgb, MOSAICS[encoding]), f"{encoding}; png compressed ")
    middle = np.s_[PATCH // 2::PATCH, PATCH // 2::PATCH]
    assert np.array_equal(image_to_array(msg)[middle], rgb[middle])


@pytest.mark.parametrize("form", ["16UC1; png compressed", "16UC1; compressedDepth png",
                                  "32FC1; compressedDepth", "compressedDepth", "png", "",
                                  "mono16; png compressed ", "rgb8; png compressed bgr8"])
def test_depth_and_16_bit_files_are_refused(form):
    """1234 mm became 4 of 255."""
    with pytest.raises(MessageError, match="depth"):
        image_to_array(compressed(np.full((4, 6), 1234, np.uint16), form))


def test_16_bit_color_files_are_refused():
    with pytest.raises(MessageError, match="16 bits a channel"):
        image_to_array(compressed(np.full((4, 6, 3), 1234, np.uint16), "rgb16; png compressed"))


def test_depth_squeezed_into_8_bits_is_refused_too():
    with pytest.raises(MessageError, match="depth"):
        image_to_array(compressed(np.full((4, 6), 4, np.uint8), "16UC1; jpeg compressed", ".jpg"))


def test_of_a_video_it_is_said_that_it_is_one():
    with pytest.raises(MessageError, match="video"):
        image_to_array(SimpleNamespace(format="h264", data=b"\0\0\0\1\x67\x42"))

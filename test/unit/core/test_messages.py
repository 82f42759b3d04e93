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

"""Messages to arrays and back; every bad message is refused with one sentence."""

from __future__ import annotations

import math
import zlib
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyvla_ros.core.errors import MessageError
from tinyvla_ros.core.ros.messages import (
    fill_image,
    fill_trajectory,
    image_to_array,
    stamp_to_ns,
    trajectory_to_chunk,
)
from tinyvla_ros.core.types import ActionChunk


def stamp(sec=1, nanosec=0):
    return SimpleNamespace(sec=sec, nanosec=nanosec)


def header(sec=1):
    return SimpleNamespace(stamp=stamp(sec), frame_id="")


def image(encoding="rgb8", height=4, width=6, step=None, data=None):
    channels = {"mono8": 1, "rgba8": 4, "bgra8": 4}.get(encoding, 3)
    step = width * channels if step is None else step
    if data is None:
        data = bytes(i % 251 for i in range(height * step))
    return SimpleNamespace(header=header(), height=height, width=width, encoding=encoding,
                           step=step, data=data, is_bigendian=0)


def trajectory():
    return SimpleNamespace(header=header(), joint_names=[], points=[])


def new_point():
    return SimpleNamespace(positions=[], time_from_start=stamp(0))


@pytest.mark.parametrize(("encoding", "order"), [
    ("rgb8", [0, 1, 2]), ("bgr8", [2, 1, 0]), ("rgba8", [0, 1, 2]), ("bgra8", [2, 1, 0]),
    ("mono8", [0, 0, 0])])
def test_encodings_become_rgb(encoding, order):
    msg = image(encoding)
    array = image_to_array(msg)
    assert array.shape == (4, 6, 3)
    channels = msg.step // 6
    for column, channel in enumerate(order):
        assert array[2, 3, column] == msg.data[2 * msg.step + 3 * channels + channel]


def test_row_padding_is_skipped():
    rows = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 18)
    padded = np.full((4, 32), 255, np.uint8)
    padded[:, :18] = rows
    array = image_to_array(image(step=32, data=padded.tobytes()))
    assert np.array_equal(array.reshape(4, 18), rows)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_image_round_trip(height, width, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    msg = image()
    fill_image(msg, pixels)
    assert np.array_equal(image_to_array(msg), pixels)


@pytest.mark.parametrize(("msg", "words"), [
    (image("yuv420", data=b""), ["yuv420", "rgb8"]),
    (image("RGB8", data=b""), ["RGB8", "Did you mean 'rgb8'"]),
    (image(data=bytes(10)), ["10 bytes", "72"]),
    (image(data=bytes(73)), ["73 bytes", "72"]),
    (image(step=17), ["step is 17", "18"]),
    (image(step=0, data=b""), ["step is 0"]),
    (image(height=0, data=b""), ["6x0"]),
])
def test_bad_images_are_refused(msg, words):
    with pytest.raises(MessageError) as err:
        image_to_array(msg)
    for word in words:
        assert word in str(err.value)


def test_a_compressed_image_that_claims_billions_of_pixels_is_refused():
    """A header with such a size, and its checksum."""
    png = bytearray(cv2.imencode(".png", np.zeros((4, 4, 3), np.uint8))[1].tobytes())
    png[16:24] = (60_000).to_bytes(4, "big") * 2
    png[29:33] = zlib.crc32(png[12:29]).to_bytes(4, "big")
    with pytest.raises(MessageError, match="cannot be decoded"):
        image_to_array(SimpleNamespace(format="png", data=bytes(png)))


def test_compressed_png_round_trip_and_garbage():
    pixels = np.random.default_rng(0).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    data = cv2.imencode(".png", pixels[:, :, ::-1])[1].tobytes()
    msg = SimpleNamespace(format="png", data=data)
    assert np.array_equal(image_to_array(msg), pixels)
    for broken in (b"", b"not an image", data[:20]):
        with pytest.raises(MessageError, match="cannot be decoded"):
            image_to_array(SimpleNamespace(format="png", data=broken))


def test_unstamped_is_refused():
    with pytest.raises(MessageError, match="stamp"):
        stamp_to_ns(stamp(0, 0))
    with pytest.raises(MessageError, match="2000000000 ns"):
        stamp_to_ns(stamp(5, 2_000_000_000))


@given(st.integers(1, 40), st.integers(1, 10**18), st.integers(0, 2**32 - 1))
def test_chunk_round_trip_is_exact(horizon, stamp_ns, seed):
    actions = np.random.default_rng(seed).uniform(-1, 1, (horizon, 3)).astype(np.float32)
    chunk = ActionChunk(stamp_ns, ("x", "y", "z"), actions, 0.0125)
    msg = trajectory()
    fill_trajectory(msg, chunk, "do it", new_point)
    back = trajectory_to_chunk(msg, ("z", "x", "y"))
    assert back.stamp_ns == stamp_ns
    assert back.dt == 0.0125
    assert np.array_equal(back.actions, actions[:, [2, 0, 1]])
    assert msg.header.frame_id == "do it"


def bad_trajectory(change):
    chunk = ActionChunk(10**9, ("x", "y"), np.zeros((3, 2), np.float32), 0.1)
    msg = trajectory()
    fill_trajectory(msg, chunk, "", new_point)
    change(msg)
    return msg


@pytest.mark.parametrize(("change", "words"), [
    (lambda m: m.joint_names.pop(), "names x"),
    (lambda m: m.points.clear(), "no points"),
    (lambda m: m.points[1].positions.pop(), "Point 1"),
    (lambda m: m.points[2].positions.__setitem__(0, math.nan), "Point 2"),
    (lambda m: setattr(m.points[1].time_from_start, "nanosec", 1), "times"),
    (lambda m: setattr(m.header.stamp, "sec", 0), "stamp"),
])
def test_bad_chunks_are_refused(change, words):
    with pytest.raises(MessageError, match=words):
        trajectory_to_chunk(bad_trajectory(change), ("x", "y"))

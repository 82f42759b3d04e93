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

"""Time to make RGB of a camera's message, by its encoding: ``image_to_array``, one thread.

The content matters for JPEG and PNG only, whose image is smooth with a little noise on it.
"""

from __future__ import annotations

import argparse
from types import SimpleNamespace

import cv2
import numpy as np
from _figures import alternate, print_heading, print_table

from tinyvla_ros.core.ros.messages import image_to_array

# Encoding -> bytes of a row per pixel, rows of the buffer per row of the image.
RAW = {"rgb8": (3, 1), "bgr8": (3, 1), "rgba8": (4, 1), "bgra8": (4, 1), "mono8": (1, 1),
       "yuyv": (2, 1), "uyvy": (2, 1), "nv12": (1, 1.5), "nv21": (1, 1.5), "nv24": (1, 3),
       "bayer_rggb8": (1, 1)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=200, help="messages of each encoding")
    parser.add_argument("--width", type=int, default=640, help="pixels")
    parser.add_argument("--height", type=int, default=480, help="pixels")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    print_heading(f"Reading an image of {args.width}x{args.height}",
                  ("opencv-python-headless", "numpy"), rounds=args.rounds)
    messages = _messages(args.width, args.height)
    print_table(alternate({name: lambda m=m: image_to_array(m) for name, m in messages.items()},
                          args.rounds, 20, 120.0))


def _messages(width: int, height: int) -> dict[str, SimpleNamespace]:
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    messages = {}
    for name, (pixel, rows) in RAW.items():
        step = width * pixel
        messages[name] = SimpleNamespace(
            height=height, width=width, encoding=name, step=step, is_bigendian=0,
            data=np.resize(noise, int(step * height * rows)))
    padded = np.zeros((height, width * 3 + 64), np.uint8)
    messages["bgr8, 64 bytes of padding"] = SimpleNamespace(
        height=height, width=width, encoding="bgr8", step=padded.shape[1], is_bigendian=0,
        data=padded.reshape(-1))
    scene = cv2.GaussianBlur(noise, (0, 0), 20) // 8 * 8 + noise // 64
    for kind in ("jpeg", "png"):
        data = cv2.imencode(f".{kind}", scene)[1].reshape(-1)
        messages[kind] = SimpleNamespace(format=kind, data=data)
    return messages


if __name__ == "__main__":
    main()

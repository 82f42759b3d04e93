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

"""Images of the dry-run arm's cameras: a sketch from the side and from the top."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from tinyvla_ros.arm.contract import Channel
from tinyvla_ros.arm.contract_inputs import EE_STATE
from tinyvla_ros.dry_run.arm import Moment

REACH_M = 0.9
# Meters from the base to the edge of a view.
VIEW_M = 1.1
BACKGROUND, LINK, JOINT, TEXT = (205, 205, 200), (70, 90, 130), (200, 80, 40), (30, 30, 30)
# Largest value added to a pixel; a real camera never gives two identical frames.
PIXEL_NOISE = 4
# The noise is that of other pixels in each of so many images; prime, so that none is left out.
NOISE_SHIFTS = 9973


class Sketch:
    """Draws an arm as links, with a bar per action channel.

    The first angle turns the arm about the vertical axis, all others bend it; these are not the
    kinematics of a real arm. For contracts that move the end effector, two links lead to it.
    """

    def __init__(self, actions: Mapping[str, Channel], width: int, height: int):
        self._actions, self._size = actions, (height, width)
        # Drawn once: new noise for every image was half of the node's work.
        self._noise = np.random.default_rng(0).integers(
            0, PIXEL_NOISE, height * width * 3 + NOISE_SHIFTS, np.uint8)
        self._empty = np.full((height, width, 3), BACKGROUND, np.uint8)
        self._angles = {n: np.pi / 180 if c.unit.startswith("deg") else 1.0
                        for n, c in actions.items()
                        if c.unit in ("rad", "deg", "degree", "degrees")}

    def draw(self, camera: str, frame: int, moment: Moment) -> np.ndarray:
        """Return (height, width, 3) uint8 RGB; the same arguments give the same image.

        Args:
            camera: name, drawn into the image.
            frame: number of the image, drawn into it; another one has other noise.
            moment: the arm.
        """
        height, width = self._size
        image = self._empty.copy()
        points = self._points(moment)
        scale = min(width / 2, height) / (2 * VIEW_M)
        for column, up, name in ((0, 2, "side"), (1, 1, "top")):
            center = np.array([(0.25 + 0.5 * column) * width, 0.55 * height])
            flat = (center + points[:, [0, up]] * [scale, -scale]).round().astype(np.int32)
            cv2.polylines(image, [flat], False, LINK, max(2, width // 100), cv2.LINE_AA)
            for point in flat.tolist():
                cv2.circle(image, point, max(2, width // 80), JOINT, -1, cv2.LINE_AA)
            self._write(image, name, (column * width // 2 + 4, height - 18))
        self._write(image, f"{camera} {frame}", (4, 12))
        self._bars(image, moment)
        start = frame * image.shape[1] % NOISE_SHIFTS
        noise = self._noise[start:start + image.size]
        return cv2.add(image, noise.reshape(image.shape))

    def _points(self, moment: Moment) -> np.ndarray:
        """Return (n, 3) points from the base to the end effector, m."""
        angles = [moment.channels[n] * unit for n, unit in self._angles.items()]
        if len(angles) >= 2:
            bends = np.cumsum(angles[1:])
            lengths = np.linspace(1.0, 0.3, len(bends))
            lengths *= REACH_M / lengths.sum()
            out, up = np.cumsum(lengths * np.cos(bends)), np.cumsum(-lengths * np.sin(bends))
            points = np.stack([out * np.cos(angles[0]), out * np.sin(angles[0]), up], axis=1)
            return np.concatenate([np.zeros((1, 3)), points])
        hand = np.array([moment.state.get(n, 0.0) for n in EE_STATE])
        hand = np.clip(hand, -2 * VIEW_M, 2 * VIEW_M)
        return np.stack([np.zeros(3), hand / 2 + [0.0, 0.0, REACH_M / 4], hand])

    def _bars(self, image: np.ndarray, moment: Moment) -> None:
        """Draw a slider per channel along the lower edge: its value in its range."""
        height, width = self._size
        for i, (name, channel) in enumerate(self._actions.items()):
            share = (moment.channels[name] - channel.low) / (channel.high - channel.low)
            left, right = (round((i + e) * width / len(self._actions)) for e in (0.1, 0.9))
            x = round(left + min(max(share, 0.0), 1.0) * (right - left))
            cv2.line(image, (left, height - 7), (right, height - 7), LINK, 1)
            cv2.circle(image, (x, height - 7), 3, JOINT, -1, cv2.LINE_AA)

    @staticmethod
    def _write(image: np.ndarray, text: str, corner: tuple[int, int]) -> None:
        cv2.putText(image, text, corner, cv2.FONT_HERSHEY_SIMPLEX, 0.4, TEXT, 1, cv2.LINE_AA)

# SPDX-License-Identifier: Apache-2.0
"""The image transform that training and inference share."""

from __future__ import annotations

import cv2
import numpy as np


def crop_and_shrink(image: np.ndarray, crop: tuple[float, float, float, float] | None,
                    height: int, width: int) -> np.ndarray:
    """Cut out the part a policy looks at and bring it to the policy's size.

    Args:
        image: (h, w, 3) uint8.
        crop: (left, top, right, bottom) as fractions of width and height, or None for all.
        height: rows of the result.
        width: columns of the result.

    Returns:
        (height, width, 3) uint8.
    """
    if crop is not None:
        h, w = image.shape[:2]
        left, top, right, bottom = crop
        image = image[round(top * h):round(bottom * h), round(left * w):round(right * w)]
    return shrink(image, height, width)


def shrink(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize (h, w, 3) uint8; areas are averaged when it becomes smaller."""
    if image.shape[:2] == (height, width):
        return image
    smaller = image.shape[0] >= height and image.shape[1] >= width
    return cv2.resize(image, (width, height),
                      interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)

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

"""Action chunks as they were executed, and the seams between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tinyvla_ros.arm.blending import ChunkBlender
from tinyvla_ros.core.types import ActionChunk
from tinyvla_ros.report.time_axis import TimeAxis

# Rows shown of a chunk after the next one took over.
TAIL_ROWS = 12
# With more values in all chunks of an episode these rows are left out.
MAX_VALUES = 60_000


@dataclass(frozen=True)
class ChunkView:
    """A chunk from the time it took over.

    Attributes:
        t: second it took over.
        begin: second ``rows`` begin at; earlier rows were never executed.
        end: second the next one took over, or it ran out.
        dt: seconds between rows.
        channels: names.
        rows: (n, channels) rows from ``begin`` on, some beyond ``end``.
        seam: largest jump over channels from the previous chunk's row for that time, in units of
            the channels' ranges; None without a previous chunk.
        hold: it brings the arm to rest.
        latency_ms: from the image it was computed from; None if that is not in the bag.
    """

    t: float
    begin: float
    end: float
    dt: float
    channels: tuple[str, ...]
    rows: np.ndarray
    seam: float | None
    hold: bool
    latency_ms: float | None


def view_chunks(received: Sequence[tuple[int, ActionChunk, bool]], axis: TimeAxis,
                first_images: Mapping[int, int],
                limits: Mapping[str, tuple[float, float]]) -> list[ChunkView]:
    """Put chunks on the time axis, in the order they took over.

    Args:
        received: (receive time, chunk, whether it is a hold).
        first_images: stamp -> receive time of the first image with it.
        limits: (low, high) of channels where known; otherwise the commanded range is used.
    """
    if not received:
        return []
    channels = received[0][1].channels
    received = [r for r in received if r[1].channels == channels]
    # Other policies always leave frame_id empty.
    marks_holds = any(not hold for _, _, hold in received)
    blender = ChunkBlender("replace", _ranges(received, channels, limits))
    takeovers = [
        (axis.taken_over_ns(chunk.stamp_ns, log),
         replace(chunk, stamp_ns=axis.ns(chunk.stamp_ns, log)), hold and marks_holds,
         chunk.stamp_ns, log) for log, chunk, hold in received]
    takeovers.sort(key=lambda t: t[0])
    tail = TAIL_ROWS if sum(c.actions.size for _, c, *_ in takeovers) <= MAX_VALUES else 0
    views = []
    for i, (at_ns, chunk, hold, stamp_ns, log_ns) in enumerate(takeovers):
        if hold:
            blender.reset()
        seam = blender.blend(chunk, at_ns)
        if hold:
            blender.reset()
        first = max(0, chunk.index_at(at_ns))
        out_ns = chunk.stamp_ns + len(chunk.actions) * chunk.dt_ns
        end_ns = min(out_ns, takeovers[i + 1][0]) if i + 1 < len(takeovers) else out_ns
        last = max(first, chunk.index_at(max(end_ns - 1, at_ns))) + 1
        image = None if hold else first_images.get(stamp_ns)
        if image is not None and image > log_ns:
            image = None  # the stamp is a time to begin at that happens to be an image's
        views.append(ChunkView(
            axis.seconds(at_ns), axis.seconds(chunk.stamp_ns + first * chunk.dt_ns),
            axis.seconds(max(end_ns, at_ns)), chunk.dt, channels,
            chunk.actions[first:last + tail], None if seam is None else seam.position, hold,
            None if image is None else (log_ns - image) / 1e6))
    return views


def _ranges(received: Sequence, channels: tuple[str, ...],
            limits: Mapping[str, tuple[float, float]]) -> np.ndarray:
    values = np.concatenate([chunk.actions for _, chunk, _ in received])
    spans = np.maximum(np.nan_to_num(np.ptp(values, axis=0)), 1e-9)
    return np.array([limits[name][1] - limits[name][0] if name in limits else span
                     for name, span in zip(channels, spans, strict=True)])

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

"""Frames at a constant rate out of messages that come as they come.

::

    first camera   |     |     |      |     |     |    |     |     (stamps)
    frames         ^    ^    ^    ^    ^    ^    ^    ^    ^       (first stamp + i / fps)
    nearest        the image whose stamp is nearest to the frame
    hold           the last image stamped at or before the frame

Everything else of a frame is what the policy node would put together with that image: the
messages nearest to its stamp, within the tolerance (``stamp_matching``).

Nothing is filled: a frame that lacks a message is cut at the ends of an episode and refuses it
anywhere else.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.arm.observation.stamp_matching import nearest_index
from tinyvla_ros.core.errors import InputError
from training.bag_export.states import Series
from training.bag_export.streams import Recording

# A camera's measured rate may differ from the declared one by this share.
RATE_TOLERANCE = 0.1
# Cameras that are declared with 30 Hz run at 29.97.
FPS_TOLERANCE = 0.02
# Fewer messages have no rate.
LEAST_MESSAGES = 5
# A piece at an end that a hole cuts off is dropped if it has fewer frames: stray messages of the
# episode before or after.
LEAST_FRAMES = 3
# More frames than this per image of a camera mean that its stamps jump.
FRAMES_PER_IMAGE = 100
# Of frame times.
ROUNDING_NS = 1000


@dataclass(frozen=True)
class Sampling:
    """Which messages belong to a frame.

    Attributes:
        fps: frames per second.
        pick: the image of the first camera: ``nearest`` or ``hold``.
        tolerance: largest difference between the stamps of that image and the other messages, s.
    """

    fps: int
    pick: str
    tolerance: float

    @property
    def period_ns(self) -> float:
        """Time between two frames."""
        return 1e9 / self.fps

    @property
    def tolerance_ns(self) -> int:
        """The tolerance in nanoseconds."""
        return round(self.tolerance * 1e9)

    @property
    def reach_ns(self) -> int:
        """Largest difference between a frame and its image: half a frame, or one for ``hold``.

        At least the tolerance, and a little more for cameras somewhat slower than the frames.
        """
        share = 0.5 if self.pick == "nearest" else 1.0
        return max(self.tolerance_ns, round(share * (1 + FPS_TOLERANCE) * self.period_ns))

    def match(self, recording: Recording, times: np.ndarray) -> dict[str, np.ndarray]:
        """Find the messages of every frame.

        ``times`` are (frames,) int64 ns.

        Returns:
            Name as in ``Recording.measured`` -> (frames,) index of its message, -1 for none.
        """
        (lead, images), *others = recording.measured.items()
        stamps = images.stamps.tolist()
        of_frame = [self._image(stamps, at) for at in times.tolist()]
        picks = {lead: of_frame}
        for name, series in others:
            known = series.stamps.tolist()
            picks[name] = [None if i is None else nearest_index(known, stamps[i],
                                                                self.tolerance_ns)
                           for i in of_frame]
        return {name: np.array([-1 if i is None else i for i in found], np.int64)
                for name, found in picks.items()}

    def _image(self, stamps: list[int], at_ns: int) -> int | None:
        if self.pick == "nearest":
            return nearest_index(stamps, at_ns, self.reach_ns)
        index = bisect_right(stamps, at_ns) - 1
        return index if index >= 0 and at_ns - stamps[index] <= self.reach_ns else None


@dataclass(frozen=True)
class Frames:
    """The frames of an episode.

    Attributes:
        times: (frames,) int64 ns on the axis of the stamps.
        picks: name as in ``Recording.measured`` -> (frames,) index into its series.
    """

    times: np.ndarray
    picks: dict[str, np.ndarray]

    def select(self, first: int, last: int) -> Frames:
        """Return the frames from ``first`` up to and without ``last``."""
        return Frames(self.times[first:last], {n: p[first:last] for n, p in self.picks.items()})


def rate(stamps: np.ndarray) -> float | None:
    """Return messages per second, None for too few of them.

    The mean of the middle half of all periods: neither lost messages nor a last one that comes
    early count, and jitter evens out.
    """
    if len(stamps) < LEAST_MESSAGES:
        return None
    periods = np.sort(np.diff(stamps))
    quarter = len(periods) // 4
    return 1e9 / float(periods[quarter:len(periods) - quarter].mean())


def check_rates(recording: Recording, contract: RobotContract, fps: int) -> None:
    """Refuse cameras that ran at another rate than declared, or slower than the frames.

    Raises:
        InputError: one sentence with both numbers.
    """
    for name, series in recording.cameras.items():
        measured, declared = rate(series.stamps), contract.all_cameras[name].rate
        if measured is None:
            continue
        if declared and abs(measured / declared - 1.0) > RATE_TOLERANCE:
            raise InputError(
                f"{recording.path}: camera {name} ran at {measured:.4g} Hz by its stamps, the "
                f"robot contract declares {declared:g} Hz; correct 'rate' in a contract for "
                "--robot, or leave this bag out.")
        if fps > measured * (1.0 + FPS_TOLERANCE):
            raise InputError(
                f"{recording.path}: --fps {fps} is more than the {measured:.4g} Hz that camera "
                f"{name} ran at by its stamps; give --fps {max(1, int(measured * 1.01))} or less.")


def find_frames(recording: Recording, sampling: Sampling) -> Frames:
    """Lay frames over an episode, the first one at an image of the first camera.

    Every frame has a message of every series, and something was measured after it ended: what was
    commanded for a frame during which the episode ended was not executed.

    Raises:
        InputError: a hole inside, stamps that jump, or no frame at all.
    """
    measured = recording.measured
    stamps = np.unique(np.concatenate([s.stamps for s in measured.values()]))
    lead = next(iter(recording.cameras.values()))
    from_ns = 0
    while True:
        start = _first_frame(recording, lead.stamps[lead.stamps >= from_ns], sampling)
        count = int((stamps[-1] - start) / sampling.period_ns + 1e-6)
        if count > FRAMES_PER_IMAGE * len(lead.stamps):
            raise _jump(recording.path, measured)
        times = start + np.rint(np.arange(count) * sampling.period_ns).astype(np.int64)
        picks = sampling.match(recording, times)
        complete = _complete(picks) & _goes_on(stamps, times, sampling)
        pieces = _pieces(complete)
        if len(pieces) > 1 and pieces[0][1] - pieces[0][0] < LEAST_FRAMES:
            from_ns = int(times[pieces[0][1] - 1]) + 1  # another grid: stamps of the real start
            continue
        break
    while len(pieces) > 1 and pieces[-1][1] - pieces[-1][0] < LEAST_FRAMES:
        pieces.pop()
    if not pieces:
        raise _no_frame(recording.path)
    first, last = pieces[0][0], pieces[-1][1]
    frames = Frames(times, picks).select(first, last)
    _refuse_holes(recording, frames, sampling)
    return frames


def _complete(picks: dict[str, np.ndarray]) -> np.ndarray:
    return np.logical_and.reduce([index >= 0 for index in picks.values()])


def _first_frame(recording: Recording, images: np.ndarray, sampling: Sampling) -> int:
    complete = _complete(sampling.match(recording, images)) if len(images) else images
    if not complete.any():
        raise _no_frame(recording.path)
    return int(images[np.argmax(complete)])


def _goes_on(stamps: np.ndarray, times: np.ndarray, sampling: Sampling) -> np.ndarray:
    """Return whether there is a measurement in the period after each frame's own."""
    begin = times + sampling.period_ns - ROUNDING_NS
    end = times + 2.0 * sampling.period_ns + sampling.tolerance_ns
    return np.searchsorted(stamps, begin) < np.searchsorted(stamps, end, "right")


def _pieces(complete: np.ndarray) -> list[tuple[int, int]]:
    """Return begin and end (exclusive) of every run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], complete.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def _refuse_holes(recording: Recording, frames: Frames, sampling: Sampling) -> None:
    complete = _complete(frames.picks)
    if complete.all():
        return
    hole = int(np.argmin(complete))
    name = next(n for n, index in frames.picks.items() if index[hole] < 0)
    series = recording.measured[name]
    is_lead = name == next(iter(frames.picks))
    limit = sampling.reach_ns if is_lead else sampling.tolerance_ns
    after = int(np.searchsorted(series.stamps, frames.times[hole], "right"))
    begin, end = series.stamps[max(after - 1, 0)], series.stamps[min(after,
                                                                     len(series.stamps) - 1)]
    raise InputError(
        f"{recording.path}: {series.name} is silent from {begin / 1e9:.3f} s to {end / 1e9:.3f} s "
        f"({(end - begin) / 1e9:.3f} s), so that {(~complete).sum()} of {len(complete)} frames "
        f"have no message within {limit / 1e6:g} ms of "
        f"{'their time' if is_lead else 'their image'}; leave this bag out, or if that is how the "
        "topic runs, raise --tolerance.")


def _jump(path: Path, measured: dict[str, Series]) -> InputError:
    series = max(measured.values(), key=lambda s: np.diff(s.stamps).max(initial=0))
    steps = np.diff(series.stamps)
    at = int(np.argmax(steps)) if len(steps) else 0
    jump = f"{steps[at] / 1e9:.3f} s" if len(steps) else "hours"
    return InputError(f"{path}: the stamps of {series.name} jump ahead by {jump} after "
                      f"{series.stamps[at] / 1e9:.3f} s, as when a clock is set; split or leave "
                      "out this bag.")


def _no_frame(path: Path) -> InputError:
    return InputError(f"{path} has no moment with a message of every camera and state within the "
                      "tolerance; check the stamps, raise --tolerance, or leave this bag out.")

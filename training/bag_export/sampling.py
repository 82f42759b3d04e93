# SPDX-License-Identifier: Apache-2.0
"""Frames at a constant rate out of messages that come as they come.

::

    camera    |     |     |      |     |     |    |     |     (stamps)
    frames    ^    ^    ^    ^    ^    ^    ^    ^    ^       (first stamp + i / fps)
    nearest   the message whose stamp is nearest to the frame, within the tolerance
    hold      the last message stamped at or before the frame, within the tolerance

Nothing is filled: a frame that lacks a message is cut at the ends of an episode and refuses it
anywhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.core.errors import InputError
from training.bag_export.streams import Recording, Series

# A camera's measured rate may differ from the declared one by this share.
RATE_TOLERANCE = 0.1
# Cameras said to run at 30 Hz run at 29.97.
FPS_TOLERANCE = 0.02
# A rate is spoken of from so many messages on.
LEAST_MESSAGES = 5
# A piece at an end that is cut off by a hole and has less frames goes: stray messages of the
# episode before or after.
LEAST_FRAMES = 3
# More frames than this per image of a camera mean that its stamps jump.
FRAMES_PER_IMAGE = 100
# Of frame times.
ROUNDING_NS = 1000


@dataclass(frozen=True)
class Sampling:
    """Which message belongs to a frame.

    Attributes:
        fps: frames per second.
        pick: ``nearest`` or ``hold``.
        tolerance: largest difference between the stamps of frame and message, s.
    """

    fps: int
    pick: str = "nearest"
    tolerance: float = 0.02

    @property
    def period_ns(self) -> float:
        """Time between two frames."""
        return 1e9 / self.fps

    def match(self, stamps: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Find the message of every frame.

        Args:
            stamps: (n,) int64 ns, ascending.
            times: (frames,) int64 ns.

        Returns:
            (frames,) index of the message, and whether it is within the tolerance.
        """
        index = np.searchsorted(stamps, times, "right") - 1
        if self.pick == "nearest":
            after = np.clip(index + 1, 0, len(stamps) - 1)
            before = np.clip(index, 0, len(stamps) - 1)
            nearer = np.abs(stamps[after] - times) < np.abs(stamps[before] - times)
            index = np.where(nearer, after, before)
        found = (index >= 0) & (np.abs(stamps[index] - times) <= self.tolerance * 1e9)
        return np.maximum(index, 0), found


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
        measured, declared = rate(series.stamps), contract.cameras[name].rate
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
        start = _first_frame(recording.path, lead, measured, sampling, from_ns)
        count = int((stamps[-1] - start) / sampling.period_ns + 1e-6)
        if count > FRAMES_PER_IMAGE * len(lead.stamps):
            raise _jump(recording.path, measured)
        times = start + np.rint(np.arange(count) * sampling.period_ns).astype(np.int64)
        found = {n: sampling.match(s.stamps, times) for n, s in measured.items()}
        complete = np.logical_and.reduce([ok for _, ok in found.values()])
        complete &= _goes_on(stamps, times, sampling)
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
    _refuse_holes(recording.path, measured, times[first:last],
                  {n: ok[first:last] for n, (_, ok) in found.items()}, sampling)
    return Frames(times, {n: index for n, (index, _) in found.items()}).select(first, last)


def _first_frame(path: Path, lead: Series, measured: dict[str, Series], sampling: Sampling,
                 from_ns: int) -> int:
    stamps = lead.stamps[lead.stamps >= from_ns]
    complete = np.ones(len(stamps), bool)
    for series in measured.values():
        complete &= sampling.match(series.stamps, stamps)[1]
    if not complete.any():
        raise _no_frame(path)
    return int(stamps[np.argmax(complete)])


def _goes_on(stamps: np.ndarray, times: np.ndarray, sampling: Sampling) -> np.ndarray:
    """Return whether there is a measurement in the period after each frame's own."""
    begin = times + sampling.period_ns - ROUNDING_NS
    end = times + 2.0 * sampling.period_ns + sampling.tolerance * 1e9
    return np.searchsorted(stamps, begin) < np.searchsorted(stamps, end, "right")


def _pieces(complete: np.ndarray) -> list[tuple[int, int]]:
    """Return begin and end (exclusive) of every run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], complete.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def _refuse_holes(path: Path, measured: dict[str, Series], times: np.ndarray,
                  found: dict[str, np.ndarray], sampling: Sampling) -> None:
    holes = {n: np.flatnonzero(~ok) for n, ok in found.items() if not ok.all()}
    if not holes:
        return
    name = min(holes, key=lambda n: holes[n][0])
    stamps, at = measured[name].stamps, times[holes[name][0]]
    after = int(np.searchsorted(stamps, at, "right"))
    begin, end = stamps[max(after - 1, 0)], stamps[min(after, len(stamps) - 1)]
    missing = len(np.unique(np.concatenate(list(holes.values()))))
    raise InputError(
        f"{path}: {measured[name].name} is silent from {begin / 1e9:.3f} s to {end / 1e9:.3f} s "
        f"({(end - begin) / 1e9:.3f} s), so that {missing} of {len(times)} frames have no message "
        f"within {1e3 * sampling.tolerance:g} ms ({sampling.pick}); leave this bag out, or if "
        "that is how the topic runs, raise --tolerance.")


def _jump(path: Path, measured: dict[str, Series]) -> InputError:
    series = max(measured.values(), key=lambda s: np.diff(s.stamps).max(initial=0))
    steps = np.diff(series.stamps)
    at = int(np.argmax(steps)) if len(steps) else 0
    jump = f"{steps[at] / 1e9:.3f} s" if len(steps) else "out of sight"
    return InputError(f"{path}: the stamps of {series.name} jump ahead by {jump} after "
                      f"{series.stamps[at] / 1e9:.3f} s, as when a clock is set; split or leave "
                      "out this bag.")


def _no_frame(path: Path) -> InputError:
    return InputError(f"{path} has no moment with a message of every camera and state within the "
                      "tolerance; look at the stamps, raise --tolerance, or leave this bag out.")

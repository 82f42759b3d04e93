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

"""Put messages of several streams together into observations, by stamp."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from heapq import merge
from itertools import islice

import numpy as np

from tinyvla_ros.arm.observation.stamp_matching import StampedValues
from tinyvla_ros.core.types import Observation, PolicyImage
from tinyvla_ros.policy.config import DriverConfig

# At most so many are kept of each stream.
IMAGES, MESSAGES = 32, 2000
# Different sets of states that may come on one topic.
STATE_SETS = 16


class ObservationAssembler:
    """Newest observation whose parts were all taken within a tolerance.

    The first camera decides the time. The other images and the states are those nearest to its
    stamp (``stamp_matching``); the states of a stream may come in several messages. Nothing is
    filled in: without one of its parts there is no observation. ``missing`` and ``unpaired`` say
    which part. A person who drives the arm needs no camera: then the newest states decide the
    time.

    A single message that is older than the one before it is out of order and refused. A second one
    in sequence means that the clock was set back, as by a simulation that starts again:
    everything is forgotten.

    Args:
        config: names the cameras needed; there may be none.
        tolerance_ns: largest difference between the stamps of one observation.
        streams: stream -> its states, each with what messages call it. No state is in two.
    """

    def __init__(self, config: DriverConfig, tolerance_ns: int,
                 streams: Mapping[str, Mapping[str, str]]):
        self._config, self._tolerance = config, tolerance_ns
        self._cameras = {name: StampedValues(IMAGES) for name in config.cameras}
        self._names = {stream: dict(states) for stream, states in streams.items()}
        # Stream -> states that came together -> their values.
        self._states: dict[str, dict[tuple[str, ...], StampedValues]] = {n: {} for n in streams}
        # What the last message of a stream had that had none of our states.
        self._others: dict[str, tuple[str, ...]] = {}
        self.instruction: str | None = None

    def add_image(self, camera: str, stamp_ns: int, image: np.ndarray | PolicyImage) -> bool:
        """Store a camera image: (height, width, 3) uint8 RGB, or what the policy sees of it.

        Returns:
            Whether the clock was set back, so that everything before was forgotten.

        Raises:
            MessageError: it is out of order.
        """
        return self._add(self._cameras[camera], stamp_ns, image)

    def add_states(self, stream: str, stamp_ns: int, values: Mapping[str, float]) -> bool:
        """Store some or all states of a stream by name, at least one; see ``add_image``."""
        sets, key = self._states[stream], tuple(values)
        if key not in sets and len(sets) >= STATE_SETS:
            sets.clear()  # bounds the memory
        series = sets.setdefault(key, StampedValues(MESSAGES))
        clock_reset = self._add(series, stamp_ns, values)
        sets[key] = series  # also after everything was forgotten
        return clock_reset

    def note_others(self, stream: str, names: Iterable[str]) -> None:
        """Note what a message has that has none of a stream's states, for ``missing``.

        That is nothing to refuse: several publishers may share a topic.
        """
        self._others[stream] = tuple(names)

    def clear(self) -> None:
        """Forget all streams; the instruction stays."""
        for images in self._cameras.values():
            images.clear()
        for sets in self._states.values():
            for series in sets.values():
                series.clear()
            sets.clear()
        self._others.clear()

    def latest(self) -> Observation | None:
        """Return the newest complete observation, None if there is none."""
        if self.instruction is None or not all(s.stamps for s in self._cameras.values()):
            return None
        observations = map(self.at, self._moments())
        return next((o for o in observations if o is not None), None)

    def at(self, stamp_ns: int) -> Observation | None:
        """Return the observation of a moment, None if something is missing near it."""
        images = {n: s.nearest(stamp_ns, self._tolerance) for n, s in self._cameras.items()}
        if self.instruction is None or any(i is None for i in images.values()):
            return None
        state: dict[str, float] = {}
        for stream, names in self._names.items():
            near = self._near(stream, stamp_ns)
            if len(near) < len(names):
                return None
            state |= near
        return Observation(stamp_ns, images, state, self.instruction)

    def past(self, stamp_ns: int) -> list[Observation]:
        """Return the observations before a moment that the checkpoint needs, if they exist.

        The nearest to each moment of ``PolicyConfig.past_stamps``; none for most checkpoints.
        """
        if not self._cameras:
            return []
        stamps = [s for s in next(iter(self._cameras.values())).stamps if s < stamp_ns]
        nearest = (sorted(stamps, key=lambda s, at=wanted: abs(s - at))
                   for wanted in self._config.past_stamps(stamp_ns))
        found = (next((o for o in map(self.at, order) if o is not None), None)
                 for order in nearest)
        return [o for o in found if o is not None]

    def newest_state(self) -> dict[str, float]:
        """Return the newest value of every state that was received."""
        state: dict[str, float] = {}
        for sets in self._states.values():
            for series in sorted(sets.values(), key=lambda s: s.stamps[-1]):
                state |= series.values[-1]
        return state

    def complete_until(self, stream: str) -> int | None:
        """Return the stamp up to which all states of a stream came, None if one never did."""
        newest = dict.fromkeys(self._names[stream], -1)
        for key, series in self._states[stream].items():
            for name in key:
                newest[name] = max(newest[name], series.stamps[-1])
        oldest = min(newest.values())
        return None if oldest < 0 else oldest

    def missing(self) -> list[str]:
        """Name what has not been received yet, ``joint_states (joint, ...)`` for a part of it.

        States are named as soon as there are messages, with what these have in their place.
        """
        missing = [f"camera/{n}" for n, s in self._cameras.items() if not s.stamps]
        for stream, names in self._names.items():
            received = {name for key in self._states[stream] for name in key}
            if parts := [label for state, label in names.items() if state not in received]:
                others = self._others.get(stream)
                instead = "" if others is None else \
                    f"; other messages have {', '.join(others) or 'no position'}"
                missing.append(stream if others is None and not received
                               else f"{stream} ({', '.join(parts)}{instead})")
        return missing if self.instruction is not None else [*missing, "instruction"]

    def unpaired(self) -> str:
        """Say which stream has nothing near the newest image; empty if all have."""
        first, *others = self._cameras or [""]
        stamp = next(self._moments(), None)
        if stamp is None:
            return ""
        newest = f"the newest image of camera {first}" if first else "the newest message"
        near = f"within {self._tolerance / 1e9:g} s of {newest}"
        for name in others:
            if self._cameras[name].nearest(stamp, self._tolerance) is None:
                return f"camera {name} has no image {near}"
        for stream, names in self._names.items():
            found = self._near(stream, stamp)
            if parts := [label for state, label in names.items() if state not in found]:
                part = f" ({', '.join(parts)})" if found else ""
                return f"{stream}{part} has nothing {near}"
        return ""

    def _moments(self) -> Iterator[int]:
        """Yield the stamps that an observation may have, the newest first."""
        for camera in self._cameras.values():
            yield from reversed(camera.stamps)
            return
        series = [s for sets in self._states.values() for s in sets.values()]
        yield from merge(*(islice(reversed(s.stamps), IMAGES) for s in series), reverse=True)

    def _near(self, stream: str, stamp_ns: int) -> dict[str, float]:
        sets, near = self._states[stream], {}
        # Sets that hold more states come last and win: they belong to one moment.
        for key in sorted(sets, key=len):
            near |= sets[key].nearest(stamp_ns, self._tolerance) or {}
        return near

    def _add(self, series: StampedValues, stamp_ns: int, value) -> bool:
        clock_reset = series.is_clock_reset(stamp_ns)
        if clock_reset:
            self.clear()
        series.append(stamp_ns, value)
        return clock_reset

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

"""Rates, timeouts and stamps of a contract, from what was measured on a graph."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from tinyvla_ros.core.commented_yaml import TODO, Noted
from tinyvla_ros.robot_draft.found import FoundStream, Timing

# Rates that drivers are set to, and how far a measured one may be off, as a share.
USUAL_RATES = (1, 2, 5, 10, 15, 20, 24, 25, 30, 40, 50, 60, 75, 80, 90, 100, 120, 125, 150, 200,
               240, 250, 300, 400, 500, 600, 750, 800, 1000)
RATE_OFF = 0.04
# A stream whose longest gap is so many periods has no rate that could be relied on.
IRREGULAR = 6.0
# Timeouts span so many longest gaps and periods, and at least so many seconds: a machine pauses.
GAPS, PERIODS, SHORTEST_TIMEOUT = 2.0, 2.5, 0.05
SIMULATED_TIMEOUT = 60.0
# An observation older than this is a clock that is wrong, s.
WRONG_CLOCK = 1.0


def usual_rate(rate: float) -> float:
    """Return the rate that a driver is probably set to; two digits where it is none of those."""
    near = min(USUAL_RATES, key=lambda usual: abs(usual - rate))
    if abs(near - rate) <= RATE_OFF * rate:
        return float(near)
    return float(f"{rate:.2g}")


def round_up(value: float, step: float) -> float:
    """Return the next multiple of a step."""
    return float(f"{math.ceil(value / step - 1e-9) * step:.6g}")


def stream_timing(timing: Timing, simulated_time: bool) -> dict[str, Noted]:
    """Return the fields ``rate`` and ``timeout`` of a stream."""
    measured = f"measured: {timing.rate:.3g} Hz, longest gap {timing.longest_gap:.2g} s"
    if simulated_time:
        return {"timeout": Noted(SIMULATED_TIMEOUT, f"{measured}; simulated time, in lock-step it "
                                 "waits for inference; no rate, it varies with the machine")}
    if not timing.rate:
        return {"timeout": Noted(0.5, f"{TODO}{timing.count} message(s) came, too few to measure; "
                                 "seconds without one after which the arm holds")}
    wanted = max(PERIODS / timing.rate, GAPS * timing.longest_gap, SHORTEST_TIMEOUT)
    digits = 10.0 ** (math.floor(math.log10(wanted)) - 1)
    timeout = min(round_up(wanted, digits), 60.0)
    fields = {"timeout": Noted(timeout, f"{measured}")}
    if timing.longest_gap * timing.rate > IRREGULAR:
        fields["timeout"] = Noted(timeout, f"{TODO}{measured}, which is irregular: no rate; is "
                                  "the driver well?")
        return fields
    return {"rate": Noted(usual_rate(timing.rate), f"measured: {timing.rate:.4g} Hz")} | fields


def stamps(streams: Sequence[FoundStream], simulated_time: bool) -> dict[str, Noted]:
    """Return the section ``stamps``; the first stream, a camera, decides the time."""
    skew = stamp_skew(streams)
    if skew is None:
        tolerance = Noted(0.05, f"{TODO}the stamps of the streams have no time in common; largest "
                          "difference within one observation, s")
    else:
        wanted = round_up(max(1.5 * skew, 0.01), 0.005)
        tolerance = Noted(min(wanted, 1.0), f"measured: streams are up to {skew:.2g} s apart")
        if wanted > 0.1:
            tolerance = Noted(min(wanted, 1.0), f"{TODO}{tolerance.note}, is that right? a policy "
                              "would see hand and camera at different moments")
    if simulated_time:
        return {"tolerance": tolerance,
                "max_ahead": Noted(0, "simulated time: images may come before their /clock")}
    ages = np.concatenate([np.array(s.timing.ages) for s in streams if s.timing.ages] or [[0.0]])
    old, ahead = float(np.quantile(ages, 0.95)), max(0.0, -float(ages.min()))
    age = f"measured: up to {old:.2g} s from stamp to arrival"
    warning = f"{TODO}{age}; check the clocks. " if max(old, ahead) > WRONG_CLOCK else ""
    return {
        "tolerance": tolerance,
        "max_age": Noted(min(round_up(max(3 * old, 0.25), 0.05), 10.0), warning or age),
        "max_ahead": Noted(min(round_up(max(2 * ahead, 0.02), 0.01), 10.0),
                           f"measured: up to {ahead:.2g} s in the future" if ahead else
                           "measured: no stamp in the future")}


def stamp_skew(streams: Sequence[FoundStream]) -> float | None:
    """Return how far the nearest stamps of other streams are from those of the first, s.

    Of 95 % of the first one's stamps that lie within the others' times; None if there are none.
    """
    first, *others = [np.sort(np.array(s.timing.stamps, np.int64)) for s in streams]
    worst = None
    for stamps_ns in others:
        if not len(stamps_ns):
            continue
        inside = first[(first >= stamps_ns[0]) & (first <= stamps_ns[-1])]
        if not len(inside):
            continue
        after = np.clip(np.searchsorted(stamps_ns, inside), 1, max(len(stamps_ns) - 1, 1))
        near = np.minimum(np.abs(inside - stamps_ns[after - 1]),
                          np.abs(inside - stamps_ns[np.minimum(after, len(stamps_ns) - 1)]))
        skew = float(np.quantile(near, 0.95)) / 1e9
        worst = skew if worst is None else max(worst, skew)
    return worst if len(streams) > 1 else 0.0

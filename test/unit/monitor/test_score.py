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

"""How unlike a success an episode is so far, over time."""

from __future__ import annotations

import pytest

from tinyvla_ros.monitor.monitor_file import Calibration
from tinyvla_ros.monitor.score import NoveltyTrace, novelty_ratios

CALIBRATION = Calibration(
    format=1, digest="", window=0.5, pause=1.0, scale=2.0, times=(0.0, 1.0, 2.0),
    sums=(0.1, 1.0, 1.5), threshold=1.0, false_alarms=0.05, successes=40)


def last(rate: float, seconds: float, novelty=lambda s: 1.0):
    trace = NoveltyTrace(0.5, 1.0)
    for number in range(round(rate * seconds) + 1):
        level = trace.add(round(1e9 + number * 1e9 / rate), novelty(number / rate))
    return level


@pytest.mark.parametrize("rate", [5, 10, 30, 100])
def test_a_score_does_not_depend_on_the_rate_of_images(rate):
    level = last(rate, 2.0, lambda s: 1.0 if s < 1.0 else 3.0)
    assert level.seconds == pytest.approx(2.0)
    assert level.mean == pytest.approx(3.0)
    assert level.total == pytest.approx(4.0, abs=0.5)


def test_what_is_unfamiliar_is_seen_at_once_and_forgotten_after_the_window():
    ratios = [novelty_ratios(last(20, s, lambda at: 5.0 if 1.0 <= at < 1.2 else 0.1), CALIBRATION)
              for s in (0.9, 1.15, 1.9)]
    assert ratios[1][0] > 3 * max(ratios[0][0], ratios[2][0])


def test_what_is_familiar_and_takes_too_long_is_unlike_a_success():
    short, long = (novelty_ratios(last(20, s, lambda _: 0.5), CALIBRATION) for s in (2.0, 6.0))
    assert short[1] < 1.0 < long[1]
    assert long[0] == pytest.approx(short[0])


def test_a_pause_and_an_older_stamp_begin_an_episode():
    trace = NoveltyTrace(0.5, 1.0)
    assert trace.continues(5)
    trace.add(10_000_000_000, 1.0)
    assert trace.continues(10_900_000_000)
    assert not trace.continues(11_100_000_000)
    assert not trace.continues(9_900_000_000)

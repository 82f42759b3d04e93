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

"""What the monitor said, beside how the episodes ended."""

from __future__ import annotations

from sim_bridge.results.monitor_tally import ALARM, DONE, MonitorTally


def test_what_was_said_counts_once_in_its_episode():
    tally = MonitorTally()
    for episode, (success, done, score) in enumerate((
            (True, (0.1, 0.7, 0.6), 0.4), (True, (0.2,), 1.3), (False, (0.6,), 2.0),
            (False, (0.1,), 0.9))):
        for value in done[:-1]:
            tally.add(episode, DONE, value)
        tally.add(episode, ALARM, score)
        tally.end(episode, success)
        tally.add(episode, DONE, done[-1])  # its last look comes after its end
    assert tally.summary() == ("the monitor said done in 1 of 2 successes and 1 of 2 failures, "
                               "raised an alarm in 1 of 2 successes and 1 of 2 failures")


def test_without_a_monitor_there_is_nothing_to_say():
    tally = MonitorTally()
    tally.end(0, True)
    assert not tally.summary()

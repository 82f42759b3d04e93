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

"""Recording demonstrations one after the other."""

from __future__ import annotations

import pytest

from tinyvla_ros.teleop.session import DemonstrationSession


class Session:
    """A session with its events; a pause lasts 2 s."""

    def __init__(self, total: int = 3, has_reset: bool = False):
        self.events, self.resets = [], 0
        self.session = DemonstrationSession(
            total, 2.0, lambda: {"task": "pick", "instruction": "pick it", "run": "r",
                                 "commander": "human"},
            lambda e: self.events.append((e.kind, e.values["index"], e.outcome)),
            self._reset if has_reset else None)
        self.now_s = 0.0

    def _reset(self):
        self.resets += 1

    def press(self, *buttons: str) -> str:
        for button in buttons:
            self.now_s += 0.1
            text = self.session.press(button, self.now_s)
        return text

    def wait(self, seconds: float = 2.0) -> str:
        self.now_s += seconds
        return self.session.tick(self.now_s)


def test_successes_and_failures_are_counted_until_all_are_there():
    s = Session()
    s.press("start", "success")
    assert s.session.state == "pause"
    s.wait()
    s.press("start", "failure")
    s.wait()
    assert "All 3" in s.press("start", "success")
    assert s.session.state == "complete"
    assert (s.session.kept, s.session.successes) == (3, 2)
    assert "All 3" in s.press("start")
    assert s.events == [("begin", "0", "unknown"), ("end", "0", "success"),
                        ("begin", "1", "unknown"), ("end", "1", "failure"),
                        ("begin", "2", "unknown"), ("end", "2", "success")]


def test_one_that_is_thrown_away_is_recorded_again_with_its_number():
    s = Session()
    s.press("start", "discard")
    s.wait()
    s.press("start", "success")
    assert (s.session.kept, s.session.discarded) == (1, 1)
    assert s.events == [("begin", "0", "unknown"), ("abort", "0", "discarded"),
                        ("begin", "0", "unknown"), ("end", "0", "success")]


def test_next_alone_leads_through_a_session():
    s = Session(total=2)
    s.press("next", "next", "next")  # begin, success, begin after the pause
    assert s.session.state == "pause"
    assert "2 of 2" in s.wait()
    s.press("next")
    assert s.session.state == "complete" and s.session.successes == 2


def test_the_pause_lasts_at_least_as_long_as_it_should():
    s = Session()
    s.press("start", "success")
    assert s.wait(1.0) == ""
    assert "ignored while pause" in s.press("start")
    assert "Ready for demonstration 2 of 3" in s.wait(1.0)


def test_the_pause_lasts_until_the_new_scene_is_there():
    s = Session(has_reset=True)
    s.press("start", "discard")
    assert s.resets == 1 and s.session.is_resetting
    assert s.wait(10.0) == ""
    s.session.reset_done()
    assert "Ready" in s.wait(0.0)


@pytest.mark.parametrize(("before", "button"), [
    ([], "success"), ([], "failure"), ([], "discard"), (["start"], "start"),
    (["start", "success"], "start"), (["start", "success"], "discard"),
    (["start", "success"], "success")])
def test_a_button_that_means_nothing_now_is_ignored_and_named(before, button):
    s = Session()
    s.press(*before) if before else None
    events, state = list(s.events), s.session.state
    text = s.press(button)
    assert button in text and "ignored" in text
    assert s.events == events and s.session.state == state


def test_none_begins_while_the_arm_cannot_be_driven():
    s = Session()
    assert "joint_states is stale" in s.session.press("start", 1.0, "joint_states is stale")
    assert s.events == []


def test_a_session_without_a_number_never_ends():
    s = Session(total=0)
    for _ in range(5):
        s.press("start", "success")
        s.wait()
    assert s.session.kept == 5 and s.session.state == "waiting"


def test_the_end_of_the_node_aborts_the_running_one():
    s = Session()
    s.press("start")
    s.session.close()
    s.session.close()
    assert s.events[1:] == [("abort", "0", "aborted")]


def test_events_say_what_was_demonstrated_and_by_whom():
    events = []
    session = DemonstrationSession(4, 0.0, lambda: {"task": "pick", "instruction": "pick it",
                                                    "run": "r1", "commander": "human"},
                                   events.append)
    session.press("start", 0.0)
    session.press("discard", 1.0)
    assert dict(events[0].values) == {"index": "0", "total": "4", "task": "pick", "run": "r1",
                                      "instruction": "pick it", "commander": "human"}
    assert events[1].values["discard"] == "true"

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

"""A thread that runs one task after the other."""

from __future__ import annotations

import threading

import pytest

from tinyvla_ros.core.worker import Worker


def test_wait_returns_when_every_task_has_ended():
    worker, go, order = Worker("test"), threading.Event(), []
    assert worker.wait(0.0), "there was no task"
    worker.start(go.wait)
    worker.start(lambda: order.append(worker.wait(10.0)))
    assert not worker.wait(0.01)
    go.set()
    assert worker.wait(10.0)
    assert order == [True], "from inside a task there is nothing to wait for"


@pytest.mark.parametrize("spins", range(20))
def test_a_task_that_comes_as_the_one_before_ends_is_waited_for(spins):
    worker, ended, go = Worker("test"), [], threading.Event()
    worker.start(lambda: ended.append(True))
    while not ended:
        pass
    for _ in range(spins):
        pass
    worker.start(go.wait)
    assert not worker.wait(0.001)
    go.set()
    assert worker.wait(10.0)


def test_a_task_that_raises_does_not_end_the_thread(capfd):
    worker, done = Worker("test"), threading.Event()
    worker.start(lambda: 1 / 0)
    worker.start(done.set)
    assert worker.wait(10.0) and done.is_set()
    assert "ZeroDivisionError" in capfd.readouterr().err

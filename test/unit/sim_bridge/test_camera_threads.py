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

"""Images of a simulation that goes on meanwhile are of their moment."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from harness.simulator import metaworld_env

pytestmark = pytest.mark.simulator
STEP = np.array([0.5, 0.5, -1.0, 1.0])


@pytest.fixture(scope="module")
def env():
    made = metaworld_env("pick-place-v3")
    yield made
    made.close()


class Screen:
    """Renders what is published; waits with it while it is not ``open``."""

    def __init__(self):
        self.images = {}
        self.open, self.begun = threading.Event(), threading.Event()

    def publish(self, name, stamp_ns, render):
        self.begun.set()
        self.open.wait(60.0)
        self.images.setdefault(stamp_ns, {})[name] = render(name)


@pytest.fixture
def screen():
    return Screen()


@pytest.fixture
def cameras(env, screen):
    from sim_bridge.camera_threads import CameraThreads
    threads = CameraThreads(list(env.config.cameras), screen.publish)
    yield threads
    screen.open.set()
    threads.close()


def test_images_are_those_of_their_moments(env, screen, cameras):
    env.reset_unseen(4)
    live = {}
    cameras.reset(env)
    screen.open.set()
    for stamp in (1, 2):
        live[stamp] = {name: env.render_camera(name) for name in env.config.cameras}
        assert cameras.submit(env, stamp)
        for _ in range(20):
            env.control(STEP)
        cameras.wait()
    assert not np.array_equal(live[1]["wrist"], live[2]["wrist"])
    assert all(screen.images[stamp].keys() == env.config.cameras.keys() for stamp in live)
    for stamp, images in live.items():
        for name, image in images.items():
            assert np.array_equal(screen.images[stamp][name], image)
    assert len(cameras.delays) == 2


def test_a_moment_is_refused_while_another_one_is_rendered(env, screen, cameras):
    env.reset_unseen(4)
    cameras.reset(env)
    assert cameras.submit(env, 1)
    screen.begun.wait(60.0)
    assert not cameras.submit(env, 2)
    screen.open.set()
    cameras.wait()
    assert cameras.submit(env, 3)
    cameras.wait()
    assert sorted(screen.images) == [1, 3]
    assert all(images.keys() == env.config.cameras.keys() for images in screen.images.values())


def test_the_simulation_learns_that_rendering_failed(env):
    from sim_bridge.camera_threads import CameraThreads

    def publish(name, stamp_ns, render):
        raise OSError("no more images")

    threads = CameraThreads(list(env.config.cameras), publish)
    env.reset_unseen(4)
    threads.submit(env, 1)
    with pytest.raises(OSError, match="no more images"):
        threads.wait()
    with pytest.raises(OSError, match="no more images"):
        threads.submit(env, 2)
    threads.close()

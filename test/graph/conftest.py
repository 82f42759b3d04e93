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

"""Graph tests need rclpy, without which they skip with a reason, and time to start nodes."""

from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs rclpy: run 'make setup' or source ROS 2 Jazzy")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Mark all of them as slow."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("slow")


@pytest.fixture
def graph(tmp_path):
    """A recorder of everything."""
    from harness.recorder_graph import RecorderGraph
    graph = RecorderGraph(tmp_path / "episodes")
    yield graph
    graph.close()


@pytest.fixture
def start_graph(tmp_path):
    """Returns a function that starts a recorder with parameters, writing to ``episodes``."""
    from harness.recorder_graph import RecorderGraph
    graphs = []

    def start(**parameters) -> RecorderGraph:
        graphs.append(RecorderGraph(tmp_path / "episodes", **parameters))
        return graphs[-1]
    yield start
    for graph in graphs:
        graph.close()

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

"""Commands as duck-typed messages, for controllers that need no ROS."""

from __future__ import annotations

from types import SimpleNamespace

from tinyvla_ros.core.resources import share_directory

MS = 1_000_000
NOW = 1_000 * 1_000_000_000
ROBOTS = share_directory() / "config" / "robots"


def stamp(ns: int):
    return SimpleNamespace(sec=ns // 1_000_000_000, nanosec=ns % 1_000_000_000)


def point(ms: int, positions, velocities=(), **more):
    fields = {"positions": positions, "velocities": velocities, "accelerations": (), "effort": ()}
    return SimpleNamespace(time_from_start=stamp(ms * MS), **{**fields, **more})


def trajectory(*points, at_ns: int = 0, names=("a", "b")):
    return SimpleNamespace(header=SimpleNamespace(stamp=stamp(at_ns)), joint_names=list(names),
                           points=list(points))


def message(names, times, positions, velocities):
    """Return a trajectory through (points, joints) arrays at times in ns."""
    points = [point(0, p.tolist(), v.tolist()) for p, v in zip(positions, velocities, strict=True)]
    for p, ns in zip(points, (times - times[0]).tolist(), strict=True):
        p.time_from_start = stamp(ns)
    return trajectory(*points, at_ns=int(times[0]), names=names)


def array(*values):
    return SimpleNamespace(data=list(values))


def twist(at_ns: int, **components):
    axes = {f"{part}_{axis}": components.get(f"{part}_{axis}", 0.0)
            for part in ("linear", "angular") for axis in "xyz"}
    parts = {part: SimpleNamespace(**{axis: axes[f"{part}_{axis}"] for axis in "xyz"})
             for part in ("linear", "angular")}
    return SimpleNamespace(header=SimpleNamespace(stamp=stamp(at_ns)),
                           twist=SimpleNamespace(**parts))

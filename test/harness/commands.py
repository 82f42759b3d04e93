# SPDX-License-Identifier: Apache-2.0
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

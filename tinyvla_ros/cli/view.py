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

"""``tinyvla view``: a running graph or a bag in Rerun or Foxglove."""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, model_validator

from tinyvla_ros.core.configuration import Config
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.extras import require
from tinyvla_ros.core.options import Flag
from tinyvla_ros.start.local_launch import require_rclpy

if TYPE_CHECKING:
    from tinyvla_ros.bags.reader import Bag
    from tinyvla_ros.view.robot_topics import RobotTopics
    from tinyvla_ros.view.viewer import Viewer

# Of a running graph: images of each camera, and messages of each other sensor.
_LIVE_IMAGES_PER_S, _LIVE_VALUES_PER_S = 10.0, 50.0
# How often it is looked whether there was a signal, s.
LOOK_S = 0.05
_SUFFIXES = {"rerun": ".rrd", "foxglove": ".mcap"}


class ViewOptions(Config):
    """Options of ``tinyvla view``."""

    bag: Annotated[Path | None, Flag(metavar="BAG", positional=True)] = Field(
        None, description="a bag, MCAP or sqlite3; without one the running graph")
    rerun: bool = Field(False, description="show it in Rerun")
    foxglove: bool = Field(False, description="show it in Foxglove")
    robot: Path | None = Field(
        None, description="robot contract, for limits and names; default: the one in the bag")
    namespace: str = Field("", description="of the robot, if there are several")
    host: str = Field("127.0.0.1", description="address to listen on; 0.0.0.0 for all who reach "
                      "this machine")
    port: int | None = Field(None, ge=1, le=65535, description="port to listen on; default: 9876 "
                             "for Rerun, 8765 for Foxglove")
    web_port: int = Field(9090, ge=1, le=65535, description="port of Rerun's viewer for a "
                          "browser")
    image_rate: Annotated[float | None, Flag(metavar="HZ")] = Field(
        None, ge=0, description="images per second of each camera at most, 0 for all; default: 10 "
        "of a running graph, all of a bag")
    memory: Annotated[int, Flag(metavar="MB")] = Field(
        1000, ge=50, description="what Rerun's server keeps at most for viewers that connect "
        "later; the oldest goes first")
    save: Annotated[Path | None, Flag(metavar="FILE")] = Field(
        None, description="write a file instead of serving it, .rrd for Rerun or .mcap for "
        "Foxglove; of a running graph until Ctrl-C")
    layout: Annotated[Path | None, Flag(metavar="FILE")] = Field(
        None, description="where to write Foxglove's layout; default: beside --save, or a "
        "temporary folder while the command runs")

    @model_validator(mode="after")
    def _one_viewer(self):
        if self.rerun == self.foxglove:
            raise ValueError("give --rerun or --foxglove, one of them")
        if self.save is not None and self.save.suffix != _SUFFIXES[self.viewer]:
            raise ValueError(f"--save {self.save} is for --{self.viewer}, whose files end in "
                             f"{_SUFFIXES[self.viewer]}; name one")
        if self.layout is not None and not self.foxglove:
            raise ValueError("--layout is for --foxglove; Rerun gets its layout with the data")
        return self

    @property
    def viewer(self) -> str:
        """``rerun`` or ``foxglove``."""
        return "rerun" if self.rerun else "foxglove"


def view(options: ViewOptions) -> int:
    """Show it until Ctrl-C; 0.

    Raises:
        InputError: bag, contract, port or file cannot be used, or the viewer's package lacks.
    """
    from tinyvla_ros.arm.contract import RobotContract
    from tinyvla_ros.bags.reader import Bag
    from tinyvla_ros.view.bag_messages import robot_of
    from tinyvla_ros.view.robot_topics import RobotTopics

    other = "foxglove" if options.rerun else "rerun"
    require(f"tinyvla view --{options.viewer}", options.viewer, instead=f"use --{other}")
    for path in (options.save, options.layout):
        if path is not None and not path.parent.is_dir():
            raise InputError(f"{path.parent} is no directory, so {path.name} cannot be written "
                             "there; name another, or create it.")
    with _until_signal() as stop, ExitStack() as stack:
        if options.bag is not None:
            bag = stack.enter_context(Bag(options.bag, options.namespace))
            _view_bag(options, bag, robot_of(bag, options.robot), stop)
        else:
            contract = RobotContract.load(options.robot) if options.robot else None
            _view_graph(options, RobotTopics(contract, options.namespace), stop)
    return 0


def _view_bag(options: ViewOptions, bag: Bag, robot: RobotTopics, stop: _StopRequest) -> None:
    with ExitStack() as stack:
        lines: tuple[str, ...] = ()
        if options.foxglove:
            from tinyvla_ros.view.foxglove.foxglove_sinks import foxglove_file, foxglove_playback

            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tinyvla-view-")))
            path, layout = options.save or folder / "view.mcap", _layout(options, folder)
            with foxglove_file(path, layout, robot.limits) as viewer:
                count = _show(options, bag, robot, viewer, stop)
            if options.save is None:
                lines = stack.enter_context(foxglove_playback(path, layout, *_address(options)))
        else:
            viewer, lines = stack.enter_context(_rerun(options, robot))
            count = _show(options, bag, robot, viewer, stop)
        print(f"{bag.path}: {count} messages, {bag.duration_s:.1f} s", flush=True)
        if options.save is not None:
            stack.close()
            _say_saved(options)
        else:
            _wait(lines, stop.wait)


def _show(options: ViewOptions, bag: Bag, robot: RobotTopics, viewer: Viewer,
          stop: _StopRequest) -> int:
    from tinyvla_ros.view.bag_messages import show_bag
    from tinyvla_ros.view.scene import Scene

    return show_bag(bag, Scene(viewer, robot, options.image_rate or 0.0), viewer.flush,
                    stop.is_set)


def _view_graph(options: ViewOptions, robot: RobotTopics, stop: _StopRequest) -> None:
    require_rclpy()
    from tinyvla_ros.nodes.survey.graph_watch import watch_graph
    from tinyvla_ros.view.scene import Scene

    with ExitStack() as stack:
        if options.rerun:
            viewer, lines = stack.enter_context(_rerun(options, robot))
        else:
            viewer, lines = stack.enter_context(_foxglove(options, robot))
        scene = Scene(viewer, robot,
                      _LIVE_IMAGES_PER_S if options.image_rate is None else options.image_rate,
                      _LIVE_VALUES_PER_S)
        _wait(lines, lambda: watch_graph(scene, viewer.flush, options.namespace, stop.is_set,
                                         lambda text: print(text, flush=True)))
    if options.save is not None:
        _say_saved(options)


def _wait(lines, work: Callable[[], object]) -> None:
    for line in lines:
        print(line)
    print("Ctrl-C ends it.", flush=True)
    work()


def _say_saved(options: ViewOptions) -> None:
    if options.rerun:
        print(f"saved; open it with: rerun {options.save}")
    else:
        print(f"saved; open {options.save} in Foxglove, and its layout "
              f"{_layout(options, options.save.parent)} with Layouts > Import from file...")


def _layout(options: ViewOptions, folder: Path) -> Path:
    if options.layout is not None:
        return options.layout
    return options.save.with_suffix(".layout.json") if options.save else folder / "layout.json"


def _address(options: ViewOptions) -> tuple[str, int]:
    return options.host, options.port or {"rerun": 9876, "foxglove": 8765}[options.viewer]


@contextmanager
def _foxglove(options: ViewOptions, robot: RobotTopics) -> Iterator[tuple[Viewer, tuple]]:
    from tinyvla_ros.view.foxglove.foxglove_sinks import foxglove_file, foxglove_server

    if options.save is not None:
        with foxglove_file(options.save, _layout(options, options.save.parent), robot.limits
                           ) as viewer:
            yield viewer, ()
        return
    with tempfile.TemporaryDirectory(prefix="tinyvla-view-") as folder, foxglove_server(
            _layout(options, Path(folder)), robot.limits, *_address(options)) as served:
        yield served


@contextmanager
def _rerun(options: ViewOptions, robot: RobotTopics) -> Iterator[tuple[Viewer, tuple]]:
    from tinyvla_ros.view.rerun.rerun_sinks import rerun_file, rerun_server

    if options.save is not None:
        with rerun_file(options.save, robot.limits) as viewer:
            yield viewer, ()
        return
    with rerun_server(robot.limits, *_address(options), options.web_port, options.memory
                      ) as served:
        yield served


class _StopRequest:
    """Whether there was a signal.

    Not an Event: it has a lock, which the handler would wait for forever where it interrupts the
    wait that holds it.
    """

    def __init__(self):
        self._received: list[int] = []

    def handle(self, number: int, frame) -> None:
        self._received.append(number)

    def is_set(self) -> bool:
        return bool(self._received)

    def wait(self) -> None:
        while not self._received:
            time.sleep(LOOK_S)


@contextmanager
def _until_signal() -> Iterator[_StopRequest]:
    """Give what Ctrl-C and SIGTERM set: both are the usual end."""
    stop = _StopRequest()
    previous = {number: signal.signal(number, stop.handle)
                for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)

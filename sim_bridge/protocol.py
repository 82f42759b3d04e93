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

"""Protocols: under which conditions an evaluation counts (``config/protocols``); no simulator."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, Field, ValidationError, field_validator

from sim_bridge.arms import HORIZON, checked_horizon
from sim_bridge.simulated_robot import SimulatedRobotConfig
from sim_bridge.task_suites import expand_tasks
from tinyvla_ros.core.configuration import Config, parse, read_json, read_yaml
from tinyvla_ros.core.errors import InputError, unknown
from tinyvla_ros.core.resources import share_directory
from tinyvla_ros.policy.config import PolicyConfig

OptionsT = TypeVar("OptionsT", bound=Config)


class Protocol(Config):
    """What a policy is given, and how it is evaluated.

    Attributes:
        name: of the file, without its ending; the file itself has none.
        description: one line for people.
        tasks: MetaWorld tasks or names of suites.
        cameras: of the simulated robot, those that a policy may use.
        state: names of the state that a policy may use; never a position of goal or object.
        horizons: control steps within which success is counted; episodes end after the most.
        episodes: per task.
        demonstrations: per task, as many as a policy may have been trained with.
        success: ``any step``: MetaWorld's own signal at one step ends the episode.
    """

    name: str = ""
    description: str
    tasks: tuple[str, ...] = Field(min_length=1)
    cameras: tuple[str, ...] = Field(min_length=1)
    state: tuple[str, ...] = Field(min_length=1)
    horizons: tuple[Annotated[int, Field(ge=1, le=HORIZON)], ...] = Field(min_length=1)
    episodes: int = Field(ge=1, le=100000)
    demonstrations: int = Field(ge=1)
    success: Literal["any step"] = "any step"

    @classmethod
    def load(cls, name: str | Path) -> Protocol:
        """Read a protocol.

        Args:
            name: of a file in ``config/protocols``, without its ending, or the path of a file.

        Raises:
            InputError: there is none of that name, or the file cannot be used.
        """
        path = _find(str(name))
        content = read_yaml(path)
        if isinstance(content, dict):
            if "name" in content:
                raise InputError(f"{path} has the name {content['name']!r}, and a protocol is "
                                 "called as its file; leave the name out.")
            content = content | {"name": path.stem}
        protocol = parse(cls, content, str(path))
        try:
            robot = SimulatedRobotConfig.of(protocol.tasks)
            known = robot.arm.state_names
            for state in protocol.state:
                if state not in known:
                    raise InputError(unknown("state", state, known))
            robot.with_cameras(protocol.cameras)
            for task in protocol.tasks:
                robot.instruction(task)
        except InputError as err:
            raise InputError(f"{path}: {err}") from None
        return protocol

    @field_validator("tasks")
    @classmethod
    def _expand(cls, tasks: tuple[str, ...]) -> tuple[str, ...]:
        return _each_once(expand_tasks(tasks))

    @field_validator("cameras")
    @classmethod
    def _cameras_once(cls, cameras: tuple[str, ...]) -> tuple[str, ...]:
        return _each_once(cameras)

    @field_validator("state")
    @classmethod
    def _state_once(cls, state: tuple[str, ...]) -> tuple[str, ...]:
        return _each_once(state)

    @field_validator("horizons")
    @classmethod
    def _sort(cls, horizons: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(sorted(_each_once(horizons)))

    @property
    def horizon(self) -> int:
        """Control steps after which an episode ends."""
        return self.horizons[-1]

    def check_run(self, tasks: Iterable[str], episodes: int, horizon: int) -> None:
        """Check that a run is this protocol's or a part of it: some of its tasks, fewer episodes.

        Raises:
            InputError: it contradicts the protocol.
        """
        self._check_tasks(tasks)
        if episodes > self.episodes:
            raise InputError(f"Episodes is {episodes}, and the protocol {self.name} has "
                             f"{self.episodes} a task; give at most that.")
        if horizon != self.horizon:
            raise InputError(f"The horizon is {horizon}, and that of the protocol {self.name} is "
                             f"{self.horizon} steps; leave it out.")

    def check_demonstrations(self, tasks: Iterable[str], episodes: int,
                             cameras: Iterable[str]) -> None:
        """Check that a policy may be trained with such demonstrations.

        Args:
            tasks: of the demonstrations.
            episodes: per task.
            cameras: that are recorded.

        Raises:
            InputError: it may not.
        """
        self._check_tasks(tasks)
        if episodes > self.demonstrations:
            raise InputError(f"Episodes is {episodes}, and the protocol {self.name} allows "
                             f"{self.demonstrations} demonstrations a task; give at most that.")
        self.check_cameras(cameras, "The demonstrations have")

    def _check_tasks(self, tasks: Iterable[str]) -> None:
        for task in tasks:
            if task not in self.tasks:
                raise InputError(unknown(f"task of the protocol {self.name}", task, self.tasks))

    def is_whole(self, tasks: Iterable[str], episodes: int) -> bool:
        """Return whether a run is all of the protocol, not a part."""
        return set(tasks) == set(self.tasks) and episodes == self.episodes

    def check_cameras(self, cameras: Iterable[str], who: str = "The policy uses") -> None:
        """Check that only cameras of the protocol are used.

        Raises:
            InputError: there is another one.
        """
        self._check("camera", cameras, self.cameras, who)

    def check_policy(self, config: PolicyConfig, demonstrations: int | None) -> None:
        """Check that a policy uses only what it may.

        Args:
            config: of the policy.
            demonstrations: per task that it was trained with, None where that is not known.

        Raises:
            InputError: a camera, a state or demonstrations beyond the protocol's.
        """
        self.check_cameras(config.cameras)
        self._check("state", config.state, self.state, "The policy uses")
        if demonstrations is not None and demonstrations > self.demonstrations:
            raise InputError(f"The policy was trained with {demonstrations} demonstrations of a "
                             f"task, and the protocol {self.name} allows {self.demonstrations}; "
                             "train with fewer, or evaluate it without the protocol.")

    def _check(self, kind: str, used: Iterable[str], allowed: tuple[str, ...], who: str) -> None:
        beyond = [name for name in used if name not in allowed]
        if beyond:
            raise InputError(f"{who} the {kind} {', '.join(beyond)}, and the protocol "
                             f"{self.name} allows {', '.join(allowed)} alone; leave the protocol "
                             "out, or what is beyond it.")


def check_scenes(protocol: str, scenes: str) -> None:
    """Raise ``InputError`` for a protocol with other scenes than the standard ones."""
    if protocol and scenes not in ("", "standard"):
        raise InputError(f"Scenes are {scenes}, and the protocol {protocol} is of the standard "
                         "ones; leave one of them out.")


def protocol_names() -> list[str]:
    """Return the names of the protocols that come with the package."""
    return sorted(p.stem for p in (share_directory() / "config" / "protocols").glob("*.yaml"))


def _find(name: str) -> Path:
    if name in protocol_names():
        return share_directory() / "config" / "protocols" / f"{name}.yaml"
    path = Path(name)
    if path.suffix or "/" in name:
        ours = share_directory() / "config" / "protocols" / path.name
        if path.stem in protocol_names() and path.resolve() != ours.resolve():
            raise InputError(f"{name} is not the protocol {path.stem} that comes with the "
                             "package, and results would say so; give the file another name.")
        return path
    raise InputError(unknown("protocol", name, protocol_names()))


def _each_once(values: tuple) -> tuple:
    twice = [v for v in dict.fromkeys(values) if values.count(v) > 1]
    if twice:
        raise ValueError(f"{twice[0]} is given twice; give it once")
    return values


def under_protocol(options: OptionsT) -> tuple[OptionsT, Protocol | None]:
    """Return options with what their protocol says where they say nothing.

    Args:
        options: with ``protocol``, ``tasks``, ``episodes`` and ``horizon``.

    Returns:
        The options with tasks expanded and the horizon in steps, and the protocol; None without
        one.

    Raises:
        InputError: the protocol cannot be read, or an option contradicts it.
    """
    protocol = Protocol.load(options.protocol) if options.protocol else None
    said = {} if protocol is None else {
        name: getattr(protocol, name) for name in ("tasks", "episodes", "horizon")
        if name not in options.model_fields_set}
    options = options.model_copy(update=said)
    tasks = expand_tasks(options.tasks)
    options = options.model_copy(update={
        "tasks": tasks, "horizon": checked_horizon(tasks, options.horizon)})
    if protocol is not None:
        protocol.check_run(options.tasks, options.episodes, options.horizon)
    return options, protocol


def trained_with(checkpoint: str | Path) -> int | None:
    """Return the most demonstrations of a task that a checkpoint was trained with.

    None where its ``training.json`` does not tell: it was imported, or training began with another
    checkpoint whose demonstrations are not known (``training.learning.lineage``). Checkpoints of
    release 0.1.0 tell how many there were of all tasks; of them it is the mean.

    Raises:
        InputError: ``training.json`` is damaged.
    """
    file = Path(checkpoint) / "training.json"
    if not file.is_file():
        return None
    try:
        report = _Training.model_validate(read_json(file))
    except ValidationError as err:
        where = ".".join(map(str, err.errors()[0]["loc"])) or "it"
        raise InputError(f"{file} is damaged ({where}: {err.errors()[0]['msg'].lower()}); copy or "
                         "train the checkpoint again.") from None
    if report.all_demonstrations:
        return max(report.all_demonstrations.values())
    if report.init is not None:
        return None
    if report.demonstrations:
        return max(report.demonstrations.values())
    if report.episodes is None:
        return None
    total = report.episodes + report.held_out_episodes
    return -(-total // len(PolicyConfig.load(checkpoint).instructions))


class _Training(BaseModel):
    """What ``training.json`` says of the data; demonstrations by instruction."""

    all_demonstrations: dict[str, int] | None = None
    demonstrations: dict[str, int] | None = None
    episodes: int | None = None
    held_out_episodes: int = 0
    init: object = None

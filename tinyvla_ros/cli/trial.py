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

"""``tinyvla trial``: policies tried on an arm without a success signal, judged by a person."""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated

from pydantic import Field

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.bags.metadata import METADATA
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.files import checkpoint_digest
from tinyvla_ros.core.options import Flag
from tinyvla_ros.core.resources import use_middleware_profile
from tinyvla_ros.start.graph import ExecutionSettings, PolicyOptions, policy_graph
from tinyvla_ros.start.local_launch import RunningGraph, require_rclpy
from tinyvla_ros.trial.log import EPISODES, LOGS, JudgedTrial, TrialLog
from tinyvla_ros.trial.protocol import Trial, TrialProtocol, plan_trials
from tinyvla_ros.trial.summary import summary

JUDGMENTS = {"s": "success", "p": "partial", "f": "failure"}
KEYS = "s success, p partial, f failure, each with a note if you like; d discard and repeat"
SHOWN_LINES = 15


class TrialOptions(ExecutionSettings):
    """Options of ``tinyvla trial``."""

    protocol: Annotated[Path, Flag(metavar="PROTOCOL", positional=True)] = Field(
        description="what is tried, a YAML file (docs/trial.md)")
    robot: Path = Field(description="robot contract")
    checkpoints: Annotated[tuple[Path, ...], Flag("--checkpoint", metavar="CHECKPOINT")] = Field(
        min_length=1, max_length=20, description="checkpoint directories; of several nobody is "
        "told which one moves the arm")
    out: Path = Field(description="directory for everything; the same command again continues")
    seed: int = Field(0, ge=0, description="of the order of the trials")


class _Stopped(Exception):
    """The operator wants no more trials now."""


class _Lines:
    """Lines of the operator, read by a thread so that time can pass meanwhile."""

    def __init__(self):
        self._lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, name="operator", daemon=True).start()

    def forget(self) -> None:
        """Forget what was typed before it was asked for."""
        while not self._lines.empty():
            if self._lines.get_nowait() is None:
                self._lines.put(None)
                return

    def next(self) -> str | None:
        """Return a line without its end, None if there is none yet.

        Raises:
            _Stopped: there will be none.
        """
        try:
            line = self._lines.get_nowait()
        except queue.Empty:
            return None
        if line is None:
            self._lines.put(None)
            raise _Stopped
        return line

    def _read(self) -> None:
        try:
            for line in sys.stdin:
                self._lines.put(line.strip())
        finally:
            self._lines.put(None)


def trial(options: TrialOptions) -> int:
    """Run the trials that were not judged yet; 130 if some are left.

    Raises:
        InputError: protocol, robot, checkpoints or directory cannot be used.
    """
    protocol, contract = TrialProtocol.load(options.protocol), RobotContract.load(options.robot)
    for path in options.checkpoints:  # what is wrong is said before anybody arranges anything
        _graph(options, path)
    digests = [checkpoint_digest(path) for path in options.checkpoints]
    if len(set(digests)) < len(digests):
        raise InputError(f"--checkpoint {' '.join(map(str, options.checkpoints))} gives the same "
                         "policy twice; give each once.")
    plan = plan_trials(protocol, len(digests), options.seed)
    log = TrialLog(options.out, {
        "protocol": protocol.model_dump(mode="json"), "checkpoints": digests,
        "seed": options.seed, "pace": options.pace, "join": options.join})
    left = [t for t in plan if t.number not in log.trials]
    if left:
        require_rclpy()
        os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        use_middleware_profile()
        sys.stdin.reconfigure(errors="replace")
        lines = _Lines()
        signals: list[int] = []
        # An exception in the middle of rclpy would come out as another one.
        previous = signal.signal(signal.SIGINT, lambda number, _: signals.append(number))
        try:
            for attempt in left:
                while not _run(options, contract, protocol, attempt, len(plan), digests, log,
                               lines, signals):
                    print("Once more.", flush=True)
        except _Stopped:
            print(f"\nStopped; {len(log.trials)} of {len(plan)} trials are judged and saved. The "
                  "same command goes on.", flush=True)
            return 130
        finally:
            signal.signal(signal.SIGINT, previous)
    print(f"\n{summary(log.trials.values(), dict(zip(digests, _names(options), strict=True)))}\n\n"
          f"trials: {options.out}/trials.jsonl, bags: {options.out}/{EPISODES}")
    return 0


def _names(options: TrialOptions) -> list[str]:
    names = [p.resolve().name for p in options.checkpoints]
    return names if len(set(names)) == len(names) else list(map(str, options.checkpoints))


def _graph(options: TrialOptions, checkpoint: Path):
    return policy_graph(PolicyOptions(
        robot=str(options.robot), checkpoint=str(checkpoint), record=True,
        out=str(options.out / EPISODES),
        # Whatever a parameter file says: the arm moves when the operator has pressed Enter.
        enabled=False, autostart=True, takeover="",
        **{name: getattr(options, name) for name in ExecutionSettings.model_fields
           if name in options.model_fields_set}))


def _bags(folder: Path) -> set[Path]:
    """Return the bags that are there; none where all were discarded."""
    return {path.parent for path in folder.glob(f"*/{METADATA}")}


def _run(options: TrialOptions, contract: RobotContract, protocol: TrialProtocol, attempt: Trial,
         total: int, digests: list[str], log: TrialLog, lines: _Lines,
         signals: list[int]) -> bool:
    """Run one trial; return whether it was judged."""
    print(f"\nTrial {attempt.number} of {total}: {attempt.instruction}", flush=True)
    if attempt.card:
        print(f"  Arrange: {attempt.card}", flush=True)
    before = _bags(options.out / EPISODES)
    place = options.out / LOGS / f"{attempt.number:04d}.log"
    place.parent.mkdir(exist_ok=True)
    # Its lines would tell which checkpoint it is.
    with place.open("a", encoding="utf-8") as file:
        def write(line: str) -> None:
            print(line, file=file, flush=True)
        nodes = _graph(options, options.checkpoints[attempt.checkpoint])
        with RunningGraph(nodes, write) as graph:
            judged = _judge(graph, contract, protocol, attempt, options, lines, signals, place)
            if judged is None:
                return False
            outcome, note, seconds = judged
            made = sorted(_bags(options.out / EPISODES) - before)
            log.add(JudgedTrial(
                number=attempt.number, scene=attempt.scene, instruction=attempt.instruction,
                card=attempt.card, checkpoint=digests[attempt.checkpoint], outcome=outcome,
                seconds=round(seconds, 2), note=note, episode=made[-1].name if made else "",
                date=datetime.now().astimezone().isoformat(timespec="seconds")))
    return True


def _judge(graph: RunningGraph, contract: RobotContract, protocol: TrialProtocol, attempt: Trial,
           options: TrialOptions, lines: _Lines, signals: list[int], place: Path
           ) -> tuple[str, str, float] | None:
    """Let the policy act until the operator judges; return outcome, note and seconds."""
    from tinyvla_ros.nodes.trial_robot import trial_robot

    def check() -> None:
        if signals and not robot_ends:
            raise _Stopped
        if (ended := graph.ended()) is not None:
            tail = "\n".join(place.read_text(encoding="utf-8").splitlines()[-SHOWN_LINES:])
            raise InputError(f"{ended[0].executable} ended with exit code {ended[1]}; its last "
                             f"lines, from {place}:\n{tail}")

    robot_ends: list[bool] = []  # what is ended is ended in full, whatever is pressed
    with trial_robot(contract, options.absolute_namespace, check) as robot:
        robot.tell(attempt.instruction)
        values = {"index": attempt.number, "total": 0, "task": attempt.instruction,
                  "instruction": attempt.instruction}
        while True:
            lines.forget()
            print("  Enter: start   q: stop for now", flush=True)
            line = _line(robot.wait, lines)
            if line.lower() == "q":
                raise _Stopped
            if line:
                continue
            if not (problem := robot.begin(values)):
                break
            print(f"  Not started: {problem}.", flush=True)
        began = time.monotonic()
        lines.forget()
        print(f"  Running ... {KEYS}", flush=True)
        try:
            judged = _verdict(robot, lines, began, protocol.limit)
        except BaseException:
            robot_ends.append(True)
            robot.abort()
            raise
        robot_ends.append(True)
        if judged is None:
            robot.abort()
        else:
            try:
                robot.end(judged[0] == "success")
            except InputError as err:  # the judgment counts, with or without a bag
                print(f"  {err}", flush=True)
        return judged


def _verdict(robot, lines: _Lines, began: float, limit: float) -> tuple[str, str, float] | None:
    """Return outcome, note and seconds; None for a trial that is to be repeated."""
    held_s = None
    while True:
        line = _line(robot.wait, lines, began + limit if held_s is None else None)
        if line is None:
            robot.hold()
            held_s = time.monotonic() - began
            print(f"  {limit:g} s are over, the arm holds. {KEYS}", flush=True)
            continue
        letter, _, note = line.partition(" ")
        if letter.lower() in JUDGMENTS:
            return JUDGMENTS[letter.lower()], note.strip(), held_s or time.monotonic() - began
        if letter.lower() == "d":
            return None
        print(f"  {line!r} is no judgment: {KEYS}", flush=True)


def _line(wait: Callable[..., None], lines: _Lines, until_s: float | None = None) -> str | None:
    """Wait for a line of the operator; None if the time is over."""
    while True:
        if (line := lines.next()) is not None:
            return line
        if until_s is not None and time.monotonic() > until_s:
            return None
        wait(0.05)

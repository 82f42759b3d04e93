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

"""Results of a long command, saved one by one, so that it can be continued after a stop."""

from __future__ import annotations

import fcntl
import json
import shlex
import sys
from datetime import datetime, timezone
from pathlib import Path

from tinyvla_ros.core.configuration import read_json
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.files import refuse_to_overwrite, write_json

PLAN = "plan.json"
# Name of the results of evaluation episodes, in every log that has them.
EPISODES = "episodes"


class ResultsLog:
    """A directory with ``plan.json``, what is to be done, and ``<name>.jsonl`` with results.

    Args:
        path: directory; new, empty, or of the same plan.
        plan: what the results depend on, plain data.
        names: names of the result files.

    Attributes:
        path: the directory.
        plan: the plan.
        started: date of the first start and command line of every start.
        records: per name, the results so far.

    Raises:
        InputError: the directory holds something else or results of another plan, is in use by
            another process, or cannot be written.
    """

    def __init__(self, path: str | Path, plan: dict, names: tuple[str, ...]):
        self.path = Path(path)
        plan = json.loads(json.dumps(plan))
        if not (self.path / PLAN).is_file():
            refuse_to_overwrite(self.path)
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        stored = {"plan": plan, "date": now, "commands": []}
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            # Held until this process ends; two at once would train into the same directories.
            self._lock = (self.path / ".lock").open("wb")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if (self.path / PLAN).is_file():
                stored = read_json(self.path / PLAN)
                self._same(stored["plan"], plan)
            command = shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])
            if command not in stored["commands"]:
                stored["commands"].append(command)
            write_json(self.path / PLAN, stored)
        except BlockingIOError:
            raise InputError(f"Output {path} is in use by another process; wait for it, or choose "
                             "another directory.") from None
        except OSError as err:
            raise InputError(f"Cannot write to {path} ({err.strerror}); choose a writable "
                             "directory.") from None
        self.plan, self.started = plan, {"date": stored["date"], "commands": stored["commands"]}
        self.records = {name: self._read(name) for name in names}

    def __enter__(self) -> ResultsLog:
        return self

    def __exit__(self, *error) -> None:
        self._lock.close()

    def add(self, name: str, record: dict) -> None:
        """Append a result to its file."""
        self.records[name].append(record)
        with self._file(name).open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def _file(self, name: str) -> Path:
        return self.path / f"{name}.jsonl"

    def _read(self, name: str) -> list[dict]:
        """Return the results; a last line that is incomplete is removed from the file."""
        file = self._file(name)
        if not file.exists():
            return []
        text = file.read_bytes()
        whole = text[:text.rfind(b"\n") + 1]
        if len(whole) < len(text):
            file.write_bytes(whole)
        return [json.loads(line) for line in whole.splitlines()]

    def _same(self, stored: dict, plan: dict) -> None:
        differing = [key for key in {**stored, **plan} if stored.get(key) != plan.get(key)]
        if differing:
            key = differing[0]
            raise InputError(f"Output {self.path} was made with {key} {_short(stored.get(key))}, "
                             f"now it is {_short(plan.get(key))}; repeat the command it was made "
                             "with, or choose another directory.")


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."

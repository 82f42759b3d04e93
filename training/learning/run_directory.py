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

"""The directory of a training run: saves that survive being killed at any moment.

::

    RUN/train.json               everything needed to repeat the run, and its course so far
    RUN/steps/00000250/          a checkpoint; with `state.safetensors` if it is the last
    RUN/last -> steps/00000250   the newest checkpoint
    RUN/best -> steps/00000250   the one with the lowest validation loss
    RUN/tensorboard/

A save is written beside its place and renamed, then the links are switched; nothing that a link
points to is ever changed or removed before the link points elsewhere.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import safetensors
import torch
from safetensors.torch import save_file

from tinyvla_ros.core.configuration import read_json
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.files import create_directory, refuse_to_overwrite, write_json
from tinyvla_ros.policy.checkpoint import load_tensors

STATE, REPORT, STEPS, LAST, BEST = "state.safetensors", "train.json", "steps", "last", "best"


class RunDirectory:
    """A run's files; make one with ``create`` or ``open``."""

    def __init__(self, path: Path):
        self.path = path

    @classmethod
    def create(cls, path: str | Path) -> RunDirectory:
        """Take a new or empty directory.

        Raises:
            InputError: it holds something, or cannot be created.
        """
        path = Path(path)
        create_directory(path, _hint(path))
        return cls(path)

    @classmethod
    def check_new(cls, path: Path) -> None:
        """Raise ``InputError`` if the directory holds something."""
        refuse_to_overwrite(path, _hint(path))

    @classmethod
    def open(cls, path: str | Path) -> RunDirectory:
        """Open a run that was started before, to continue it.

        Raises:
            InputError: not a run.
        """
        run = cls(Path(path))
        run.report()
        for part in (run.path / STEPS).glob("*.part"):
            shutil.rmtree(part, ignore_errors=True)  # of a save that was killed
        return run

    @property
    def saved(self) -> bool:
        """Whether there is a save to continue from."""
        return (self.path / LAST / STATE).is_file()

    def report(self) -> dict:
        """Return the content of ``train.json``.

        Raises:
            InputError: there is none.
        """
        if not (self.path / REPORT).is_file():
            raise InputError(f"{self.path} is not a training run (no {REPORT}); give the "
                             "directory that 'tinyvla train --out' made.")
        return read_json(self.path / REPORT)

    def write_report(self, report: dict) -> None:
        """Write ``train.json``."""
        self._guard(lambda: write_json(self.path / REPORT, report))

    def snapshots(self) -> list[Path]:
        """Return the checkpoints there are, oldest first."""
        return sorted(p for p in (self.path / STEPS).iterdir() if p.name.isdigit())

    def save(self, step: int, write_checkpoint: Callable[[Path], None],
             tensors: Mapping[str, torch.Tensor], progress: dict, best: bool,
             snapshot_every: int) -> None:
        """Save a step.

        Args:
            step: its number.
            write_checkpoint: writes the policy's checkpoint into a directory.
            tensors: the trainer's state.
            progress: the rest of its state, plain data.
            best: the validation loss is the lowest so far.
            snapshot_every: checkpoints of multiples of this stay after later saves; 0 for none.

        Raises:
            InputError: the disk is full or broken; what was saved before is untouched.
        """
        place = self.path / STEPS / f"{step:08d}"
        part = place.with_name(place.name + ".part")

        def write() -> None:
            shutil.rmtree(part, ignore_errors=True)
            part.mkdir(parents=True)
            write_checkpoint(part)
            save_file(dict(tensors), part / STATE, {"progress": json.dumps(progress)})
            for file in part.rglob("*"):
                if file.is_file():
                    _sync(file)
            shutil.rmtree(place, ignore_errors=True)  # a save killed before it was linked
            os.replace(part, place)
            self._link(LAST, place)
            if best:
                self._link(BEST, place)

        self._guard(write, lambda: shutil.rmtree(part, ignore_errors=True))
        self._tidy(place, snapshot_every)

    def load_state(self, shapes: Mapping[str, tuple[int, ...]]) -> tuple[dict, dict]:
        """Return the tensors and the plain data of the last save.

        Args:
            shapes: names and shapes the tensors must have.

        Raises:
            InputError: damaged, or of another network.
        """
        path = self.path / LAST / STATE
        tensors = load_tensors(path, shapes, {_name_in_0_1_0(name): name for name in shapes})
        with safetensors.safe_open(path, "pt") as file:
            return tensors, json.loads(file.metadata()["progress"])

    def _link(self, name: str, target: Path) -> None:
        part = self.path / f"{name}.part"
        part.unlink(missing_ok=True)
        part.symlink_to(target.relative_to(self.path))
        os.replace(part, self.path / name)

    def _tidy(self, newest: Path, snapshot_every: int) -> None:
        """Remove checkpoints that no link points to and that are no snapshots."""
        best = (self.path / BEST).resolve()
        for place in self.snapshots():
            if place == newest:
                continue
            (place / STATE).unlink(missing_ok=True)
            kept = snapshot_every and int(place.name) % snapshot_every == 0
            if not kept and place.resolve() != best:
                part = place.with_name(place.name + ".part")
                shutil.rmtree(part, ignore_errors=True)
                os.replace(place, part)  # never a half-removed checkpoint under its own name
                shutil.rmtree(part, ignore_errors=True)

    def _guard(self, write: Callable[[], None], clean: Callable[[], None] = lambda: None) -> None:
        try:
            write()
        except (OSError, safetensors.SafetensorError) as err:
            clean()
            raise InputError(
                f"Cannot save to {self.path} ({getattr(err, 'strerror', None) or err}); earlier "
                f"saves are untouched: make room, then continue with --resume {self.path}."
            ) from None


def _hint(path: Path) -> str:
    return f" (or continue it: --resume {path})" if (path / REPORT).is_file() else ""


def _name_in_0_1_0(name: str) -> str:
    """Return the name that release 0.1.0 gave a tensor of the trainer's state."""
    return name.replace("optimizer.", "optimiser.", 1).replace("auxiliary_head.", "future.", 1)


def _sync(path: Path) -> None:
    """Wait until a file is on the disk: a power cut must not leave a link to an empty one."""
    with path.open("rb") as file:
        os.fsync(file.fileno())

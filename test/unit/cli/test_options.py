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

"""From a model to command-line options: types, flags, messages, and every command there is."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field, field_validator, model_validator

from tinyvla_ros.cli.main import COMMANDS, load_command, main, run_command
from tinyvla_ros.core.configuration import Config
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.options import Flag, add_options, default_text, read_options, valid_values


class Example(Config):
    """One field of every kind."""

    old_names = {"executed": "steps"}

    place: Annotated[Path, Flag(metavar="DIR", positional=True)] = Field(description="where")
    steps: int = Field(10, ge=1, le=50, description="how many, 100 % of them")
    share: float = Field(0.5, gt=0, lt=1, description="how much")
    rate: float | None = Field(None, ge=0.5, description="how fast")
    mode: Literal["slow", "fast"] = Field("slow", description="how")
    tasks: Annotated[tuple[str, ...], Flag(metavar="TASK")] = Field(("a", "b"), description="what")
    delays: tuple[Annotated[float, Field(ge=0)], ...] = Field((), description="when")
    settings: Annotated[tuple[str, ...], Flag("--set", metavar="K=V", repeated=True)] = ()
    names: Annotated[tuple[str, ...], Flag(separator=",")] = Field((), description="which")
    record: bool = Field(False, description="record it")
    size: str = Field("96", description="of what")

    @field_validator("size")
    @classmethod
    def _even(cls, size: str) -> str:
        if int(size) % 2:
            raise ValueError("give an even number")
        return size

    @model_validator(mode="after")
    def _fast_needs_a_rate(self):
        if self.mode == "fast" and self.rate is None:
            raise ValueError("--mode fast needs --rate")
        return self


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="example")
    add_options(made, Example)
    return made


def read(*arguments: str) -> Example:
    return read_options(Example, parser().parse_args(["here", *arguments]))


def test_defaults_and_types():
    assert read() == Example(place=Path("here"))
    assert read("--steps", "7", "--share", "0.25", "--rate", "2", "--mode", "fast", "--tasks",
                "x", "y", "z", "--delays", "0", "1.5", "--set", "a=1", "--set", "b=2",
                "--names", "p, q", "--record", "--size", "4") == Example(
        place=Path("here"), steps=7, share=0.25, rate=2.0, mode="fast", tasks=("x", "y", "z"),
        delays=(0.0, 1.5), settings=("a=1", "b=2"), names=("p", "q"), record=True, size="4")


@pytest.mark.parametrize(("arguments", "named"), [
    (("--steps", "x"), ("--steps", "x", "whole number", "1", "50")),
    (("--steps", "1.5"), ("--steps", "1.5", "whole number")),
    (("--steps", "51"), ("--steps", "51", "1", "50")),
    (("--share", "nan"), ("--share", "nan", "above 0", "below 1")),
    (("--rate", "0.1"), ("--rate", "0.1", "0.5")),
    (("--mode", "fost"), ("--mode", "fost", "slow", "fast", "'fast'?")),
    (("--delays", "1", "-2"), ("--delays", "-2", "0")),
    (("--size", "95"), ("--size", "95", "even")),
    (("--mode", "fast"), ("--mode fast", "--rate")),
])
def test_a_bad_value_is_named_with_what_is_valid(arguments, named):
    with pytest.raises(InputError) as caught:
        read(*arguments)
    for text in named:
        assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_old_flag_is_accepted_with_a_warning(caplog):
    assert read("--executed", "3").steps == 3
    assert "executed" in caplog.text
    assert "steps" in caplog.text
    assert "--executed" not in parser().format_help()


def test_the_help_shows_flags_choices_and_defaults(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    text = parser().format_help()
    for part in ("DIR", "--steps STEPS", "100 % of them (default: 10)", "{slow,fast}",
                 "TASK [TASK ...]", "what (default: a b)", "--set K=V", "--record"):
        assert part in text
    assert "(default: None)" not in text
    assert "(default: False)" not in text


def test_words_for_valid_values():
    fields = Example.model_fields
    assert valid_values(fields["mode"]) == "slow or fast"
    assert valid_values(fields["steps"]) == "a whole number from 1 to 50"
    assert default_text(fields["tasks"]) == "a b"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_described_options(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([*command.split(), "--help"])
    assert ended.value.code == 0
    assert COMMANDS[command][1].split()[0] in capsys.readouterr().out
    model = load_command(command)[1]
    assert all(field.description for field in model.model_fields.values())


@pytest.mark.parametrize(("arguments", "named"), [
    ("nonsense", ("nonsense", "sim-eval")),
    ("evaluate --nonsense", ("--nonsense", "tinyvla evaluate --help")),
    ("collect --tasks reach-v3", ("--out", "tinyvla collect --help")),
    ("evaluate --scenes shard", ("--scenes", "shard", "standard", "shared")),
    ("train --resume run --set a=1", ("--resume", "run", "--set")),
    ("train --config c --data d", ("--out", "--resume")),
    ("diagnose", ("--config", "--checkpoint")),
])
def test_a_bad_command_line_is_one_sentence(arguments, named, capsys):
    assert main(arguments.split()) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    for text in named:
        assert text in error


def test_run_command_raises():
    with pytest.raises(InputError, match="episodes"):
        run_command(["evaluate", "--episodes", "none"])


def test_options_load_nothing_heavy():
    """Help and bad options answer at once: torch, simulator and ROS load when they are used."""
    code = ("import sys; from tinyvla_ros.cli.main import COMMANDS, load_command\n"
            "[load_command(name) for name in COMMANDS]\n"
            "print([m for m in ('torch', 'mujoco', 'metaworld', 'rclpy', 'pyarrow', 'cv2') "
            "if m in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_current_directory_that_was_deleted_is_one_sentence(tmp_path):
    tinyvla = Path(sys.executable).with_name("tinyvla")
    done = subprocess.run(["sh", "-c", f"rmdir {tmp_path}; exec {tinyvla} data check /nowhere"],
                          capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 2
    assert "directory" in done.stderr and done.stderr.count("\n") == 1, done.stderr

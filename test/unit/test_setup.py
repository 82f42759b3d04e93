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

"""``make setup``: which Python it takes, when it makes ``.venv`` anew; no package is installed."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HERE = "{}.{}".format(*sys.version_info)
# Without the packages of a virtual environment.
PYTHON = Path(sys.base_prefix) / "bin" / f"python{HERE}"
TOOLS = ("bash", "cat", "cut", "dirname", "env", "grep", "rm", "sed", "sha256sum")
VERSION = "import sys; sys.version_info = ({}, {}, 0, 'final', 0)\n"


class Machine:
    """A checkout on a machine with some Pythons, all of them this one under another number."""

    def __init__(self, folder: Path, *versions: str):
        self._bin, self.checkout, self._folder = folder / "bin", folder / "checkout", folder
        self._bin.mkdir()
        for tool in TOOLS:
            (self._bin / tool).symlink_to(shutil.which(tool))
        for file in ("scripts/setup.sh", "setup.py", "requirements.txt", "requirements-dev.txt",
                     "requirements-vlm.txt", "requirements-ray.txt", "requirements-ros.txt"):
            (self.checkout / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / file, self.checkout / file)
        for version in versions:
            self.install(f"python{version}", version)

    def install(self, name: str, version: str) -> Path:
        """Install a program that is this Python and says it was another version."""
        site = self._folder / f"site-{version}"
        site.mkdir(exist_ok=True)
        (site / "sitecustomize.py").write_text(VERSION.format(*version.split(".")))
        path = self._bin / name
        path.write_text(f'#!/bin/sh\nPYTHONPATH="{site}:$PYTHONPATH" exec "{PYTHON}" "$@"\n')
        path.chmod(0o755)
        return path

    def plan(self, **variables) -> subprocess.CompletedProcess:
        """Say what would be done."""
        known = {"PATH": str(self._bin), "HOME": str(self._folder)}
        return subprocess.run([self.checkout / "scripts/setup.sh", "plan"], env=known | variables,
                              capture_output=True, text=True, check=False)

    def set_up(self, version: str = HERE, folder: Path | None = None) -> Path:
        """Make a ``.venv`` without packages and note it as ``setup.sh`` does."""
        venv = self.checkout / ".venv"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
        files = [*sorted(self.checkout.glob("requirements*.txt")), self.checkout / "setup.py",
                 self.checkout / "scripts/setup.sh"]
        digest = hashlib.sha256(b"".join(f.read_bytes() for f in files)).hexdigest()
        (venv / ".ready").write_text(f"{version} wheels {digest} {folder or self.checkout}\n")
        return venv


def takes(done: subprocess.CompletedProcess, version: str) -> bool:
    assert done.returncode == 0, done.stderr
    return f"Python {version})" in done.stdout


@pytest.mark.parametrize("version", ["3.10", "3.11", "3.12", "3.13", "3.14"])
def test_the_systems_python_will_do(tmp_path, version):
    machine = Machine(tmp_path)
    machine.install("python3", version)
    assert takes(machine.plan(), version)


def test_a_python_with_the_simulator_comes_first(tmp_path):
    machine = Machine(tmp_path, "3.9", "3.12")
    machine.install("python3", "3.14")
    assert takes(machine.plan(), "3.12")
    assert takes(machine.plan(PYTHON="python3"), "3.14"), "unless the user names another"


@pytest.mark.parametrize("version", ["3.9", "3.15"])
def test_another_python_is_refused_by_its_version(tmp_path, version):
    machine = Machine(tmp_path)
    named = machine.install("python3", version)
    done = machine.plan()
    assert done.returncode == 1
    assert f"Python {version}" in done.stderr and "make setup PYTHON=" in done.stderr
    assert "apt-get" not in done.stderr, "a python3 is installed"
    done = machine.plan(PYTHON=str(named))
    assert done.returncode == 1
    assert all(word in done.stderr for word in (str(named), version, "3.10", "3.13"))


def test_without_any_python_it_says_what_to_install(tmp_path):
    done = Machine(tmp_path).plan()
    assert done.returncode == 1
    assert "sudo apt-get install -y python3 python3-venv" in done.stderr


def test_the_python_that_was_named_must_run(tmp_path):
    done = Machine(tmp_path, "3.12").plan(PYTHON="/no/python")
    assert done.returncode == 1 and "/no/python" in done.stderr


def test_a_venv_that_fits_is_kept(tmp_path):
    machine = Machine(tmp_path, "3.12")
    machine.set_up()
    assert machine.plan().stdout == "keep .venv\n"
    assert machine.plan(PYTHON=sys.executable).stdout == "keep .venv\n"


def anew(machine: Machine, *words: str, **variables) -> None:
    done = machine.plan(**variables)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("make .venv"), done.stdout
    assert all(word in done.stdout for word in words), done.stdout


def test_a_venv_is_made_anew_if_its_python_is_another_now(tmp_path):
    """An upgrade of the system puts a new Python below the packages for the old one."""
    machine = Machine(tmp_path, "3.12")
    machine.set_up(version="3.9")
    anew(machine, "3.9", HERE)


def test_a_venv_is_made_anew_if_its_python_is_gone(tmp_path):
    machine = Machine(tmp_path, "3.12")
    (machine.set_up() / "bin/python").unlink()
    anew(machine, HERE)


def test_a_venv_is_made_anew_in_a_copy_of_its_folder(tmp_path):
    """Its programs would run the code of the original."""
    machine = Machine(tmp_path, "3.12")
    machine.set_up(folder=tmp_path / "original")
    anew(machine, str(tmp_path / "original"))


def test_a_venv_is_made_anew_for_another_python_that_is_named(tmp_path):
    machine = Machine(tmp_path, "3.12")
    machine.set_up()
    other = machine.install("other", "3.10" if HERE != "3.10" else "3.11")
    anew(machine, HERE, str(other), PYTHON=str(other))


@pytest.mark.parametrize("note", ["", "0123456789abcdef-wheels"])
def test_a_venv_that_was_not_finished_is_made_anew(tmp_path, note):
    machine = Machine(tmp_path, "3.12")
    (machine.set_up() / ".ready").write_text(note)
    anew(machine)


def test_a_venv_is_made_anew_for_other_packages_with_the_python_it_has(tmp_path):
    machine = Machine(tmp_path)
    machine.install("python3", "3.10" if HERE != "3.10" else "3.11")
    machine.set_up()
    with (machine.checkout / "requirements.txt").open("a") as file:
        file.write("six==1.17.0\n")
    anew(machine, f"Python {HERE})")


@pytest.fixture
def ros(tmp_path) -> dict[str, str]:
    """The environment of a shell in which a ROS 2 of another Python is sourced."""
    package = tmp_path / "ros" / "rclpy"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('no _rclpy_pybind11')\n")
    return {"ROS_DISTRO": "jazzy", "PYTHONPATH": str(package.parent)}


def test_a_ros_for_another_python_is_refused(tmp_path, ros):
    done = Machine(tmp_path, "3.12").plan(**ros, PYTHON="python3.12")
    assert done.returncode == 1
    assert all(word in done.stderr for word in ("jazzy", "3.12", "make setup PYTHON="))


def test_another_python_is_taken_if_a_sourced_ros_is_for_that(tmp_path, ros):
    machine = Machine(tmp_path, "3.12")
    machine.install("python3", "3.11")
    package = Path(ros["PYTHONPATH"]) / "rclpy/__init__.py"
    package.write_text("import sys\nif sys.version_info[:2] != (3, 12): raise ImportError\n")
    assert takes(machine.plan(**ros), "3.12")


def test_a_sourced_ros_is_used(tmp_path, ros):
    (Path(ros["PYTHONPATH"]) / "rclpy/__init__.py").write_text("")
    machine = Machine(tmp_path, "3.12")
    machine.set_up()
    anew(machine, "jazzy", "wheels", **ros, PYTHON="python3.12")
    assert "jazzy" not in machine.plan(**ros | {"ROS_DISTRO": ""}, PYTHON="python3.12").stdout


def test_the_name_of_a_distribution_alone_is_no_ros(tmp_path):
    """Images of Docker set it without sourcing anything."""
    machine = Machine(tmp_path, "3.12")
    assert "wheels" in machine.plan(ROS_DISTRO="jazzy", PYTHON="python3.12").stdout


def test_a_venv_that_belongs_to_another_folder_is_left_as_it_is(tmp_path):
    machine = Machine(tmp_path)
    other = tmp_path / "other"
    shutil.move(machine.set_up(folder=other), other)
    (machine.checkout / ".venv").symlink_to(other)
    done = subprocess.run([machine.checkout / "scripts/setup.sh"], capture_output=True, text=True,
                          check=False, env={"PATH": str(tmp_path / "bin"), "HOME": str(tmp_path),
                                            "PYTHON": sys.executable, "PIP_NO_INDEX": "1"})
    assert done.returncode != 0, "there is nothing to install from"
    assert (other / ".ready").is_file() and (other / "bin/python").is_symlink()
    assert not (machine.checkout / ".venv").is_symlink(), done.stderr

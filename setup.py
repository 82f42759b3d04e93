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

"""ament_python package; also installable with pip on a machine without ROS."""

import runpy
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.develop import develop

# Of setuptools, which provides it under this name since Python 3.12.
from distutils.command.build_scripts import build_scripts  # isort: skip

NAME = "tinyvla_ros"
SHARE = Path("share") / NAME


def shared(folder: str) -> list[tuple[str, list[str]]]:
    """List the files below a folder as data files under ``share/tinyvla_ros``."""
    files = sorted(p for p in Path(folder).rglob("*") if p.is_file() and "__pycache__" not in
                   p.parts)
    folders = sorted({p.parent for p in files})
    return [(str(SHARE / f), [str(p) for p in files if p.parent == f]) for f in folders]


def node_python() -> str:
    """Return what the executables of a colcon build start with.

    The Python of the active environment, or of the one that ``make setup`` made here: colcon
    itself runs on the system's Python. A path that the kernel cannot read in a first line gives
    way to the ``python3`` that is first in PATH.
    """
    finder = Path(__file__).resolve().parent / "launch" / "environment_python.py"
    try:
        python = runpy.run_path(str(finder))["find_python"](("pydantic", "torch"))
    except RuntimeError:
        python = ""
    return python if python and " " not in python and len(python) < 120 else "/usr/bin/env python3"


class BuildScripts(build_scripts):
    """Executables for the Python that has our dependencies; for ``colcon build``."""

    def finalize_options(self):
        super().finalize_options()
        self.executable = node_python()


class Develop(develop):
    """The same for ``colcon build --symlink-install``."""

    def write_script(self, script_name, contents, mode="t", *rest):
        code = contents.partition("\n")[2]
        super().write_script(script_name, f"#!{node_python()}\n{code}", mode, *rest)


setup(
    name=NAME,
    version="0.1.0",
    packages=find_packages(include=["tinyvla_ros*", "sim_bridge*", "training*"]),
    package_data={f"{NAME}.report": ["templates/*", "vendor/uplot/*"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (str(SHARE), ["package.xml"]),
        *shared("launch"), *shared("config"), *shared("checkpoints"),
    ],
    python_requires=">=3.10",
    # MuJoCo and MetaWorld, and so the simulation, end at 3.13; everything else works on 3.14.
    classifiers=[f"Programming Language :: Python :: 3.{minor}" for minor in range(10, 15)],
    install_requires=["setuptools"],
    # colcon test looks here for pytest; versions are in requirements-dev.txt.
    extras_require={"test": ["pytest", "pytest-randomly", "pytest-timeout", "pytest-xdist",
                             "hypothesis", "selenium"]},
    cmdclass={"build_scripts": BuildScripts, "develop": Develop},
    zip_safe=False,
    author="tinyvla_ros maintainers",
    maintainer="tinyvla_ros maintainers",
    maintainer_email="maintainers@tinyvla-ros.invalid",
    description="A TinyVLA-style diffusion policy as a ROS 2 node, with MetaWorld on topics",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "tinyvla = tinyvla_ros.cli.main:main",
            *(f"{node} = tinyvla_ros.start.executables:main" for node in (
                "policy_node", "sim_bridge_node", "eval_node", "episode_recorder_node",
                "dry_run_arm_node", "dry_run_report_node")),
        ],
    },
)

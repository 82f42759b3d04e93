# SPDX-License-Identifier: Apache-2.0
"""ament_python package; also installable with pip on a machine without ROS."""

from pathlib import Path

from setuptools import find_packages, setup

NAME = "tinyvla_ros"
SHARE = Path("share") / NAME


def shared(folder: str) -> list[tuple[str, list[str]]]:
    """List the files below a folder as data files under ``share/tinyvla_ros``."""
    files = sorted(p for p in Path(folder).rglob("*") if p.is_file() and "__pycache__" not in
                   p.parts)
    folders = sorted({p.parent for p in files})
    return [(str(SHARE / f), [str(p) for p in files if p.parent == f]) for f in folders]


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

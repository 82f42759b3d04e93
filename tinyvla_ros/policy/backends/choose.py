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

"""Which backend runs a checkpoint, and why not another."""

from __future__ import annotations

import logging
from importlib import metadata

from tinyvla_ros.core import extras
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.files import COMPILED
from tinyvla_ros.policy.backends.backend import (
    Backend,
    BackendChoice,
    BackendName,
    check_device_name,
)
from tinyvla_ros.policy.backends.compiled_file import CompiledFile
from tinyvla_ros.policy.saved_checkpoint import SavedCheckpoint

# Backend -> what it imports, and what of PyPI provides that: the first one has its version.
MODULES = {"onnxruntime": ("onnxruntime",), "openvino": ("openvino",),
           "tensorrt": ("onnxruntime",), "torch": ("torch",)}
PACKAGES = {"onnxruntime": ("onnxruntime", "onnxruntime-gpu"), "openvino": ("openvino",),
            "tensorrt": ("onnxruntime-gpu", "onnxruntime"), "torch": ("torch",)}


def choose_backend(checkpoint: SavedCheckpoint, name: BackendName, device: str,
                   sample_steps: int | None = None) -> BackendChoice:
    """Choose a backend; imports none.

    ``auto`` is torch for a checkpoint that is loaded in torch, and on CUDA. On the CPU it is
    onnxruntime, if that is installed and the checkpoint has a ``policy.onnx`` that fits; if it
    has one that does not, a warning says why torch is taken.

    Args:
        checkpoint: to run.
        name: of the backend.
        device: to run it on.
        sample_steps: of the sampler, None for what the backend takes by itself.

    Raises:
        InputError: an argument is not valid, the backend's package is not installed, the backend
            does not run on the device, or it cannot run the checkpoint.
    """
    index = check_device_name(device)
    most = checkpoint.config.diffusion.train_steps
    if sample_steps is not None and not 1 <= sample_steps <= most:
        raise InputError(f"Sample steps is {sample_steps}; give a number from 1 to {most}.")
    if name == "auto":
        name = _automatic(checkpoint, index, sample_steps)
    if name not in PACKAGES:
        raise InputError(f"Unknown backend {name!r}; give one of auto, {', '.join(PACKAGES)}.")
    version = installed_version(name)
    if name == "torch":
        steps = sample_steps or checkpoint.config.diffusion.sample_steps
        return BackendChoice(name, version, steps)
    if (index is None) == (name == "tensorrt"):
        wanted = "cuda, and the device is" if name == "tensorrt" else "cpu, and the device is"
        raise InputError(f"Backend {name} runs on {wanted} {device!r}; give the other device, or "
                         "use backend torch.")
    file = CompiledFile.of(checkpoint, sample_steps)
    return BackendChoice(name, version, file.sample_steps)


def make_backend(choice: BackendChoice, checkpoint: SavedCheckpoint, device: str,
                 threads: int) -> Backend:
    """Load the network into the backend that was chosen.

    Raises:
        CheckpointError: the checkpoint cannot be loaded.
        InputError: the device is not available.
    """
    if choice.name == "torch":
        from tinyvla_ros.policy.backends.torch_backend import TorchBackend

        return TorchBackend.load(checkpoint, device, threads, choice.sample_steps)
    file = CompiledFile.of(checkpoint, choice.sample_steps)
    if choice.name == "openvino":
        from tinyvla_ros.policy.backends.openvino_backend import OpenVinoBackend

        return OpenVinoBackend(file, checkpoint.config, threads)
    from tinyvla_ros.policy.backends.onnxruntime_backend import OnnxRuntimeBackend

    return OnnxRuntimeBackend(file, checkpoint.config, threads, check_device_name(device))


def installed_version(name: str) -> str:
    """Return the version of a backend's package.

    Raises:
        InputError: it is not installed.
    """
    if is_installed(name):
        for package in PACKAGES[name]:
            try:
                return metadata.version(package)
            except metadata.PackageNotFoundError:
                continue
        return "of unknown version"
    others = [n for n in ("onnxruntime", "openvino", "torch") if is_installed(n)]
    instead = f"use backend {' or '.join(others)}" if others else ""
    if name == "torch":
        extras.require("Backend torch", "torch", instead=instead)
    raise InputError(f"Backend {name} needs {MODULES[name][0]}, which is not installed; type: "
                     f"pip install {PACKAGES[name][0]}{instead and ', or '}{instead}.")


def is_installed(name: str) -> bool:
    """Whether what a backend imports is installed."""
    return all(map(extras.is_installed, MODULES[name]))


def _automatic(checkpoint: SavedCheckpoint, index: int | None, sample_steps: int | None) -> str:
    """Return the name of the backend that ``auto`` stands for."""
    is_loaded = hasattr(checkpoint, "network")
    if is_loaded or index is not None:
        return "torch"
    if is_installed("torch") and not (checkpoint.path / COMPILED).is_file():
        return "torch"
    try:
        installed_version("onnxruntime")
        CompiledFile.of(checkpoint, sample_steps)
        return "onnxruntime"
    except InputError as err:
        if not is_installed("torch"):
            raise
        logging.getLogger(__name__).warning("%s Running on torch, which is slower.", err)
        return "torch"

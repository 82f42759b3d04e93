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

"""``policy.onnx`` in ONNX Runtime: on the CPU, or with its TensorRT provider."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime

from tinyvla_ros.core.errors import CheckpointError, InputError
from tinyvla_ros.policy.backends.backend import NetworkInputs
from tinyvla_ros.policy.backends.compiled_file import CompiledFile
from tinyvla_ros.policy.backends.compiled_inputs import ACTIONS, CompiledInputs
from tinyvla_ros.policy.config import PolicyConfig

CPU, TENSORRT = "CPUExecutionProvider", "TensorrtExecutionProvider"
ERRORS_ONLY = 3  # of ONNX Runtime's severities


class OnnxRuntimeBackend:
    """Runs a compiled policy in ONNX Runtime.

    Args:
        file: it.
        config: of its policy.
        threads: CPU threads.
        tensorrt: number of a CUDA device to run it on with TensorRT, None for the CPU.

    Raises:
        CheckpointError: the file cannot be run.
        InputError: this ONNX Runtime has no TensorRT.
    """

    def __init__(self, file: CompiledFile, config: PolicyConfig, threads: int,
                 tensorrt: int | None = None):
        providers: list = [CPU]
        if tensorrt is not None:
            if TENSORRT not in onnxruntime.get_available_providers():
                raise InputError(
                    "This onnxruntime has no TensorRT (it has "
                    f"{', '.join(onnxruntime.get_available_providers())}); install "
                    "onnxruntime-gpu and TensorRT, or use backend torch with device cuda.")
            providers.insert(0, (TENSORRT, {"device_id": tensorrt}))
        self._session = open_session(file.path, threads, "export the checkpoint again with "
                                                         "'tinyvla export'", providers)
        self.noise_shape = file.noise_shape
        self._inputs = CompiledInputs(config)

    def infer(self, inputs: NetworkInputs) -> np.ndarray:
        """Return (horizon, channels) float32 actions in the robot's units, not yet limited."""
        return self._session.run([ACTIONS], self._inputs(inputs))[0][0]


def open_session(path: Path, threads: int, remedy: str, providers: Sequence = (CPU,)
                 ) -> onnxruntime.InferenceSession:
    """Return a session of a file.

    Args:
        path: the file.
        threads: CPU threads.
        remedy: what to do if it cannot be loaded.
        providers: of ONNX Runtime, the preferred one first.

    Raises:
        CheckpointError: it cannot be loaded.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = ERRORS_ONLY
    try:
        return onnxruntime.InferenceSession(str(path), options, list(providers))
    except Exception as err:  # its own types, which share no other base
        raise CheckpointError(f"{path} cannot be loaded by onnxruntime "
                              f"{onnxruntime.__version__} ({_brief(err)}); {remedy}.") from None


def _brief(err: Exception) -> str:
    return " ".join(str(err).split())[:200]

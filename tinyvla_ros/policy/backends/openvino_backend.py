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

"""``policy.onnx`` in OpenVINO, on the CPU."""

from __future__ import annotations

import numpy as np
import openvino

from tinyvla_ros.core.errors import CheckpointError
from tinyvla_ros.policy.backends.backend import NetworkInputs
from tinyvla_ros.policy.backends.compiled_file import CompiledFile
from tinyvla_ros.policy.backends.compiled_inputs import CompiledInputs
from tinyvla_ros.policy.config import PolicyConfig

# In bfloat16, which it would choose where a processor has it, actions differ by up to 0.02.
OPTIONS = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1}


class OpenVinoBackend:
    """Runs a compiled policy in OpenVINO, in float32.

    Args:
        file: it.
        config: of its policy.
        threads: CPU threads.

    Raises:
        CheckpointError: the file cannot be run.
    """

    def __init__(self, file: CompiledFile, config: PolicyConfig, threads: int):
        try:
            model = openvino.Core().compile_model(
                str(file.path), "CPU", {**OPTIONS, "INFERENCE_NUM_THREADS": threads})
        except RuntimeError as err:
            raise CheckpointError(f"{file.path} cannot be loaded by openvino "
                                  f"{openvino.__version__} ({' '.join(str(err).split())[:200]}); "
                                  "export the checkpoint again with 'tinyvla export'.") from None
        self._request = model.create_infer_request()
        self.noise_shape = file.noise_shape
        self._inputs = CompiledInputs(config)

    def infer(self, inputs: NetworkInputs) -> np.ndarray:
        """Return (horizon, channels) float32 actions in the robot's units, not yet limited."""
        self._request.infer(self._inputs(inputs), share_inputs=True)
        return self._request.get_output_tensor().data[0].copy()

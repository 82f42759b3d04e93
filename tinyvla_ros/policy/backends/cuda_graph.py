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

"""A function of tensors as CUDA graphs: its kernels are launched together, not one by one."""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch

# Before a capture, so that libraries have chosen their kernels and allocated what they keep.
WARM_UP_CALLS = 3


class CudaGraphs:
    """Calls a function through a graph per combination of shapes and types.

    If a capture fails, the function is called as it is from then on, and a warning says why.

    Args:
        function: of CUDA tensors, returns one; it must neither wait for the device nor depend on
            values.
    """

    def __init__(self, function: Callable[..., torch.Tensor]):
        self._function = function
        self._graphs: dict[tuple, tuple[torch.cuda.CUDAGraph, list[torch.Tensor],
                                        torch.Tensor]] = {}
        self._works = True

    def __call__(self, *inputs: torch.Tensor) -> torch.Tensor:
        """Return the function's output, in memory of its own."""
        key = tuple((tuple(t.shape), t.dtype) for t in inputs)
        if self._works and key not in self._graphs:
            try:
                self._graphs[key] = self._capture(inputs)
            except RuntimeError as err:
                self._works = False
                logging.getLogger(__name__).warning(
                    "No CUDA graph could be made (%s); inference goes on without, slower.",
                    " ".join(str(err).split())[:200])
        if not self._works:
            return self._function(*inputs)
        graph, places, output = self._graphs[key]
        for place, tensor in zip(places, inputs, strict=True):
            place.copy_(tensor)
        graph.replay()
        return output.clone()

    def _capture(self, inputs: tuple[torch.Tensor, ...]):
        places = [tensor.clone() for tensor in inputs]
        stream = torch.cuda.Stream(inputs[0].device)
        stream.wait_stream(torch.cuda.current_stream(inputs[0].device))
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP_CALLS):
                self._function(*places)
        torch.cuda.current_stream(inputs[0].device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            output = self._function(*places)
        return graph, places, output

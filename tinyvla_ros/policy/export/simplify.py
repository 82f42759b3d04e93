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

"""Take out of the unrolled sampler what is the same in every step."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass


def share_condition(model: ir.Model) -> int:
    """Compute once what the denoiser's layers make of the condition; in place.

    Each step multiplies a vector by the FiLM layers of all blocks: the condition, which is the
    same in all steps, beside the embedding of the step, which is known beforehand::

        W [silu(condition), silu(step)] + b  =  W1 silu(condition)  +  (W2 silu(step) + b)
                                                once                   a constant per step

    A graph without this pattern stays as it is.

    Returns:
        Products that were replaced.
    """
    graph, replaced = model.graph, 0
    activated: dict[ir.Value, ir.Value] = {}
    shared: dict[tuple[ir.Value, ir.Value], ir.Value] = {}
    for concat in [node for node in graph if node.op_type == "Concat"]:
        if len(concat.inputs) != 2 or concat.attributes["axis"].as_int() != 1:
            continue
        condition, step = concat.inputs
        if step.const_value is None or condition.const_value is not None:
            continue
        vector = step.const_value.numpy()
        constant = vector / (1.0 + np.exp(-vector))
        for gemm in _products_of_silu(concat.outputs[0]):
            weight, *biases = gemm.inputs[1:]  # the exporter leaves out a bias of zeros
            columns = weight.const_value.numpy().shape[1] - vector.shape[1]
            first, second = np.split(weight.const_value.numpy(), [columns], axis=1)
            if condition not in activated:
                sigmoid = ir.node("Sigmoid", [condition])
                silu = ir.node("Mul", [condition, sigmoid.outputs[0]])
                graph.insert_before(concat, [sigmoid, silu])
                activated[condition] = silu.outputs[0]
            key = condition, weight
            if key not in shared:
                part = _constant(graph, f"{weight.name}.condition", first)
                product = ir.node("Gemm", [activated[condition], part], {"transB": 1})
                graph.insert_before(gemm, product)
                shared[key] = product.outputs[0]
            fixed = constant @ second.T + sum(b.const_value.numpy() for b in biases)
            total = ir.node("Add", [shared[key], _constant(
                graph, f"{gemm.outputs[0].name}.step", fixed.astype(np.float32))])
            total.outputs[0].shape, total.outputs[0].type = (gemm.outputs[0].shape,
                                                             gemm.outputs[0].type)
            graph.insert_before(gemm, total)
            ir.convenience.replace_all_uses_with(gemm.outputs[0], total.outputs[0])
            replaced += 1
    RemoveUnusedNodesPass()(model)
    return replaced


def _products_of_silu(value: ir.Value) -> list[ir.Node]:
    """Return the nodes that multiply ``silu(value)`` by a constant."""
    found = []
    for sigmoid in value.consumers():
        if sigmoid.op_type != "Sigmoid":
            continue
        for silu in sigmoid.outputs[0].consumers():
            if silu.op_type == "Mul" and set(silu.inputs) == {value, sigmoid.outputs[0]}:
                found += silu.outputs[0].consumers()
    return [node for node in found if node.op_type == "Gemm" and "transB" in node.attributes
            and node.attributes["transB"].as_int() == 1
            and all(v.const_value is not None for v in node.inputs[1:])]


def _constant(graph: ir.Graph, name: str, array: np.ndarray) -> ir.Value:
    value = ir.Value(name=name, shape=ir.Shape(array.shape),
                     type=ir.TensorType(ir.DataType.FLOAT),
                     const_value=ir.tensor(np.ascontiguousarray(array), name=name))
    graph.register_initializer(value)
    return value

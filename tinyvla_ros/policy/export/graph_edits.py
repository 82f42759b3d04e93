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

"""What the simplifications of a graph share: constants, new nodes, and what is known of values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir


def constant(graph: ir.Graph, name: str, array: np.ndarray) -> ir.Value:
    """Return a new initializer; one of that name is taken for the same."""
    if name in graph.initializers:
        return graph.initializers[name]
    value = ir.Value(name=name, shape=ir.Shape(array.shape),
                     const_value=ir.tensor(np.ascontiguousarray(array), name=name))
    value.type = ir.TensorType(value.const_value.dtype)
    graph.register_initializer(value)
    return value


def insert(before: ir.Node, kind: str, inputs: Sequence[ir.Value],
           attributes: Mapping | None = None, shape: Sequence[int] | None = None) -> ir.Value:
    """Put a node of one output before another; it is float32 if its shape is given."""
    node = ir.node(kind, inputs, attributes or {})
    if shape is not None:
        note_shape(node.outputs[0], shape)
    before.graph.insert_before(before, node)
    return node.outputs[0]


def note_shape(value: ir.Value, shape: Sequence[int]) -> None:
    """Note that a value is float32 and has a shape."""
    value.shape, value.type = ir.Shape(shape), ir.TensorType(ir.DataType.FLOAT)


def affine(before: ir.Node, value: ir.Value, scale: ir.Value, shift: ir.Value) -> ir.Value:
    """Scale and shift the channels of a value, (1, C, ...), by vectors (C,).

    As a batch normalization that normalizes nothing: one pass over the value instead of two, and
    none of the broadcasting, which is slow where rows are short.
    """
    graph, channels = before.graph, value.shape[1]
    zeros = constant(graph, f"zeros_{channels}", np.zeros(channels, np.float32))
    ones = constant(graph, f"ones_{channels}", np.ones(channels, np.float32))
    return insert(before, "BatchNormalization", [value, scale, shift, zeros, ones],
                  {"epsilon": 0.0}, value.shape)


def array_of(value: ir.Value | None) -> np.ndarray | None:
    """Return what a constant is, None for other values."""
    return None if value is None or value.const_value is None else value.const_value.numpy()


def only_user(value: ir.Value, kind: str) -> ir.Node | None:
    """Return the one node that uses a value if it is of a kind."""
    uses = value.uses()
    return uses[0].node if len(uses) == 1 and uses[0].node.op_type == kind else None


def other_input(node: ir.Node, value: ir.Value) -> ir.Value:
    """Return what a node of two inputs has beside a value."""
    first, second = node.inputs
    return second if first is value else first

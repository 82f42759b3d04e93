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

"""The graph of a compiled policy in fewer and faster operations; its outputs stay the same."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from tinyvla_ros.policy.export.graph_edits import (
    affine,
    array_of,
    constant,
    insert,
    only_user,
    other_input,
)
from tinyvla_ros.policy.export.shared_condition import share_condition
from tinyvla_ros.policy.export.two_dimensional import make_two_dimensional


def simplify(model: ir.Model) -> None:
    """Simplify a graph in place; what it does not contain stays as it is."""
    for change in (share_condition, join_scale_and_shift, scale_weights, make_two_dimensional):
        change(model.graph)
        RemoveUnusedNodesPass()(model)


def join_scale_and_shift(graph: ir.Graph) -> None:
    """Make one operation of a scale and a shift of every channel, as normalizations end with."""
    for mul in [node for node in graph if node.op_type == "Mul"]:
        add = only_user(mul.outputs[0], "Add")
        value = next((v for v in mul.inputs if v.const_value is None and len(v.shape or ()) > 2
                      and v.shape == mul.outputs[0].shape), None)
        if add is None or value is None:
            continue
        pair = other_input(mul, value), other_input(add, mul.outputs[0])
        vectors = [_per_channel(add, v, value.shape) for v in pair]
        if None not in vectors:
            ir.convenience.replace_all_uses_with(add.outputs[0], affine(add, value, *vectors))


def _per_channel(user: ir.Node, value: ir.Value, shape: ir.Shape) -> ir.Value | None:
    """Return (C,) numbers of channels as what broadcasts to a shape; None for other values."""
    wanted = (shape[1], *(1 for _ in shape[2:]))
    own = tuple(value.shape or ())
    if own not in (wanted, (1, *wanted)) or (value.const_value is None and shape[0] != 1):
        return None
    if (array := array_of(value)) is not None:
        return constant(user.graph, f"{value.name}.vector", array.ravel())
    length = constant(user.graph, "vector", np.array([-1]))
    return insert(user, "Reshape", [value, length], shape=(shape[1],))


def scale_weights(graph: ir.Graph) -> None:
    """Give the division of an image's values to the weights of the convolution that reads them."""
    for div in [node for node in graph if node.op_type == "Div"]:
        divisor = array_of(div.inputs[1])
        sub = only_user(div.outputs[0], "Sub")
        offset = array_of(sub.inputs[1]) if sub is not None else None
        conv = only_user(sub.outputs[0], "Conv") if offset is not None else None
        weight = array_of(conv.inputs[1]) if conv is not None else None
        if weight is None or divisor is None or divisor.size != 1 or offset.size != 1:
            continue
        moved = insert(conv, "Sub", [div.inputs[0], constant(
            graph, f"{div.outputs[0].name}.middle", (divisor * offset).astype(np.float32))],
            shape=sub.outputs[0].shape)
        conv.replace_input_with(0, moved)
        conv.replace_input_with(1, constant(
            graph, f"{conv.inputs[1].name}.scaled", (weight / divisor).astype(np.float32)))

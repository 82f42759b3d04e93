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

"""Compute once what is the same in every step of the unrolled sampler."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import onnx_ir as ir

from tinyvla_ros.policy.export.graph_edits import (
    affine,
    array_of,
    constant,
    insert,
    note_shape,
    only_user,
    other_input,
)


class _Film(NamedTuple):
    """Where a product's halves s and t end: (1 + s) value + t."""

    value: ir.Value
    result: ir.Node


def share_condition(graph: ir.Graph) -> None:
    """Compute once what the denoiser's layers make of the condition; in place.

    Each step multiplies a vector by the FiLM layers of all blocks: the condition, which is the
    same in all steps, beside the embedding of the step, which is known beforehand::

        W [silu(condition), silu(step)] + b  =  W1 silu(condition)  +  (W2 silu(step) + b)
                                                once                   a constant per step

    W1 is that of all blocks, below each other.
    """
    shared: dict[tuple[ir.Value, ...], ir.Value] = {}  # by condition and weights
    for concat in [node for node in graph if node.op_type == "Concat"]:
        if len(concat.inputs) != 2 or concat.attributes["axis"].as_int() != 1:
            continue
        condition, step = concat.inputs
        products = _products_of_silu(concat.outputs[0])
        if array_of(step) is None or array_of(condition) is not None or not products:
            continue
        weights = tuple(gemm.inputs[1] for gemm in products)
        key = (condition, *weights)
        if key not in shared:
            shared[key] = _product(concat, condition, step, weights)
        _replace(products, shared[key], array_of(step))


def _products_of_silu(value: ir.Value) -> list[ir.Node]:
    """Return the nodes that multiply ``silu(value)`` by a constant, with their bias."""
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


def _product(before: ir.Node, condition: ir.Value, step: ir.Value,
             weights: tuple[ir.Value, ...]) -> ir.Value:
    """Return W1 silu(condition) as a vector."""
    sigmoid = insert(before, "Sigmoid", [condition])
    silu = insert(before, "Mul", [condition, sigmoid])
    columns = array_of(weights[0]).shape[1] - array_of(step).shape[1]
    rows = np.concatenate([array_of(w)[:, :columns] for w in weights])
    product = insert(before, "Gemm", [silu, constant(
        before.graph, f"{weights[0].name}.condition", rows)], {"transB": 1})
    return insert(before, "Reshape", [product, constant(before.graph, "vector", np.array([-1]))],
                  shape=(len(rows),))


def _replace(products: list[ir.Node], shared: ir.Value, step: np.ndarray) -> None:
    """Put the parts of a shared product, with what a step adds, in the place of products."""
    first, graph = products[0], products[0].graph
    silu = step / (1.0 + np.exp(-step))
    films = [_film(gemm.outputs[0]) for gemm in products]
    added, lengths = [], []
    for gemm, film in zip(products, films, strict=True):
        weight, *bias = map(array_of, gemm.inputs[1:])  # the exporter leaves out one of zeros
        part = (silu @ weight[:, -step.shape[1]:].T + sum(bias)).ravel()
        half = len(part) // 2
        if film:
            part[:half] += 1.0
        added.append(part)
        lengths += [half, half] if film else [len(part)]
    total = insert(first, "Add", [shared, constant(
        graph, f"{first.outputs[0].name}.step", np.concatenate(added).astype(np.float32))])
    split = ir.node("Split", [total, constant(graph, f"{first.inputs[1].name}.lengths",
                                              np.array(lengths))], num_outputs=len(lengths))
    graph.insert_before(first, split)
    parts = iter(split.outputs)
    for part, length in zip(split.outputs, lengths, strict=True):
        note_shape(part, (length,))
    for gemm, film in zip(products, films, strict=True):
        if film:
            scaled = affine(film.result, film.value, next(parts), next(parts))
            ir.convenience.replace_all_uses_with(film.result.outputs[0], scaled)
        else:
            row = constant(graph, "row", np.array([1, -1]))
            flat = insert(gemm, "Reshape", [next(parts), row], shape=gemm.outputs[0].shape)
            ir.convenience.replace_all_uses_with(gemm.outputs[0], flat)


def _film(value: ir.Value) -> _Film | None:
    """Return where a value (1, 2 C) scales and shifts C channels, None if it does not."""
    unsqueeze = only_user(value, "Unsqueeze")
    split = only_user(unsqueeze.outputs[0], "Split") if unsqueeze else None
    if split is None or len(split.outputs) != 2 or split.attributes["axis"].as_int() != 1:
        return None
    plus = only_user(split.outputs[0], "Add")
    one = array_of(other_input(plus, split.outputs[0])) if plus else None
    mul = only_user(plus.outputs[0], "Mul") if one is not None and (one == 1.0).all() else None
    add = only_user(mul.outputs[0], "Add") if mul else None
    if add is None or other_input(add, mul.outputs[0]) is not split.outputs[1]:
        return None
    return _Film(other_input(mul, plus.outputs[0]), add)

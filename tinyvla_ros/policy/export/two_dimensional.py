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

"""Convolutions along time as 2-D ones, which ONNX Runtime computes in its blocked layout.

It lowers 1-D convolutions to products of matrices, which for the few rows of a chunk are mostly
padding; as images of height 1 they take about half the time.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from tinyvla_ros.policy.export.graph_edits import array_of, constant, insert

HEIGHT = 2  # axis of the images
# What can be done to images as to sequences; the first input is one.
ELEMENTWISE = {"Add", "Sub", "Mul", "Div", "Sigmoid", "Relu", "Tanh", "Softplus", "Gelu",
               "BatchNormalization"}
# Transposed convolutions that double a sequence, of one group and without padding of the output.
DOUBLING = {"kernel_shape": [4], "strides": [2], "pads": [1, 1]}


def make_two_dimensional(graph: ir.Graph) -> None:
    """Replace 1-D convolutions, and what lies between them, by 2-D ones; in place."""
    images = _Images()
    found = [node for node in graph if node.op_type in ("Conv", "ConvTranspose")
             and (weight := array_of(node.inputs[1])) is not None and weight.ndim == 3
             and node.outputs[0].shape is not None]
    for node in found:
        images.replace_convolution(node)
    images.give_to_reshapes()


class _Images:
    """Values (B, C, T) as (B, C, 1, T), made when somebody needs them so."""

    def __init__(self):
        self._made: dict[ir.Value, ir.Value] = {}
        self._flattened: list[tuple[ir.Value, ir.Value]] = []

    def replace_convolution(self, node: ir.Node) -> None:
        """Put a 2-D convolution in the place of a 1-D one, and its output flattened."""
        data, sequence = self._image(node, node.inputs[0]), node.outputs[0]
        image = self._doubled(node, data) if _doubles(node) else self._convolved(node, data)
        flat = insert(node, "Squeeze", [image, self._axis(node)], shape=sequence.shape)
        self._made[flat] = image
        self._flattened.append((image, flat))
        ir.convenience.replace_all_uses_with(sequence, flat)

    def give_to_reshapes(self) -> None:
        """Spare reshapes the flattening before them."""
        for image, flat in self._flattened:
            for reshape, index in list(flat.uses()):
                if reshape.op_type == "Reshape" and index == 0 and _fits_images(reshape):
                    reshape.replace_input_with(0, image)

    def _convolved(self, node: ir.Node, data: ir.Value) -> ir.Value:
        attributes = {name: attribute.value for name, attribute in node.attributes.items()}
        for name, neutral in (("kernel_shape", 1), ("strides", 1), ("dilations", 1),
                              ("output_padding", 0)):
            if name in attributes:
                attributes[name] = [neutral, *attributes[name]]
        if "pads" in attributes:
            before, after = attributes["pads"]
            attributes["pads"] = [0, before, 0, after]
        weight = self._image(node, node.inputs[1])
        return insert(node, node.op_type, [data, weight, *node.inputs[2:]], attributes,
                      _image_shape(node.outputs[0]))

    def _doubled(self, node: ir.Node, data: ir.Value) -> ir.Value:
        """Return a transposed convolution as one for even and one for odd places."""
        weight, graph = array_of(node.inputs[1]), node.graph  # (inputs, outputs, 4)
        none = np.zeros_like(weight[..., 0])
        even = np.stack([weight[..., 3], weight[..., 1], none], -1)
        odd = np.stack([none, weight[..., 2], weight[..., 0]], -1)
        both = np.concatenate([even, odd], 1).swapaxes(0, 1)[:, :, None]
        inputs = [data, constant(graph, f"{node.inputs[1].name}.both", both)]
        if len(node.inputs) > 2:
            inputs.append(constant(graph, f"{node.inputs[2].name}.both",
                                   np.tile(array_of(node.inputs[2]), 2)))
        batch, channels, places = node.outputs[0].shape
        convolved = insert(node, "Conv", inputs, {"kernel_shape": [1, 3], "pads": [0, 1, 0, 1]},
                           (batch, 2 * channels, 1, places // 2))
        apart = insert(node, "Reshape", [convolved, constant(
            graph, f"apart_{channels}", np.array([batch, 2, channels, -1]))])
        side_by_side = insert(node, "Transpose", [apart], {"perm": [0, 2, 3, 1]})
        shape = _image_shape(node.outputs[0])
        return insert(node, "Reshape", [side_by_side, constant(
            graph, f"image_{channels}_{places}", np.array(shape))], shape=shape)

    def _image(self, user: ir.Node, value: ir.Value) -> ir.Value:
        """Return a value as an image, made just before a node."""
        if value.shape is not None and len(value.shape) < 3:  # a number for channels, or for all
            return value
        if value not in self._made:
            self._made[value] = self._make(user, value)
        return self._made[value]

    def _make(self, user: ir.Node, value: ir.Value) -> ir.Value:
        if (array := array_of(value)) is not None:
            return constant(user.graph, f"{value.name}.image", np.expand_dims(array, HEIGHT))
        node, shape = value.producer(), _image_shape(value)
        kind = node.op_type if node is not None else ""
        if kind in ELEMENTWISE or (kind == "Concat" and node.attributes["axis"].value == 1):
            return insert(user, kind, [self._image(user, v) for v in node.inputs], {
                name: attribute.value for name, attribute in node.attributes.items()}, shape)
        if kind == "Reshape" and shape and _fits_images(node):
            return insert(user, "Reshape", [node.inputs[0], constant(
                user.graph, f"{value.name}.shape", np.array(shape))], shape=shape)
        return insert(user, "Unsqueeze", [value, self._axis(user)], shape=shape)

    def _axis(self, user: ir.Node) -> ir.Value:
        return constant(user.graph, "height", np.array([HEIGHT]))


def _doubles(node: ir.Node) -> bool:
    given = {name: attribute.value for name, attribute in node.attributes.items()}
    return (node.op_type == "ConvTranspose" and given.get("group", 1) == 1
            and not any(given.get("output_padding", ()))
            and all(list(given.get(name, ())) == wanted for name, wanted in DOUBLING.items()))


def _fits_images(reshape: ir.Node) -> bool:
    """Return whether a reshape does the same to an image: it copies no length from axis 2 on."""
    shape = array_of(reshape.inputs[1])
    return shape is not None and bool((shape[HEIGHT:] != 0).all())


def _image_shape(value: ir.Value) -> tuple[int, ...] | None:
    return None if value.shape is None else (*value.shape[:HEIGHT], 1, *value.shape[HEIGHT:])

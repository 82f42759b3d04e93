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

"""A graph that needs no training, written as ``policy.onnx`` without torch and without onnx.

ONNX is protobuf: a message is a sequence of fields, each a number, a wire type and a value.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from tinyvla_ros.policy.backends.compiled_file import BYTES, FORMAT, KEY, METADATA, VALUE, VARINT
from tinyvla_ros.policy.backends.compiled_inputs import (
    ACTIONS,
    IMAGE,
    INSTRUCTION,
    KNOWN,
    NOISE,
    STATE,
    WEIGHTS,
)
from tinyvla_ros.policy.config import PolicyConfig

# Of ONNX: the version of the file format, that of the operators, and numbers of element types.
_IR_VERSION, _OPERATORS = 8, 17
_TYPES = {"float32": 1, "uint8": 2, "int64": 7}


def write_noise_policy(path: Path, config: PolicyConfig, digest: str, middle: np.ndarray,
                       reach: np.ndarray) -> None:
    """Write a policy whose actions are its noise, around the middle of each channel's range.

    It looks at nothing, but takes the inputs of any compiled policy, and keeps committed rows.

    Args:
        path: file to write.
        config: that the inputs are for.
        digest: of the checkpoint that the file belongs to.
        middle: (channels,) float32 around which the actions lie.
        reach: (channels,) float32, how far from it they may lie.
    """
    rows, channels = config.action.horizon, len(config.action.channels)
    inputs = {**{IMAGE + name: ((1, c.height, c.width, 3), "uint8")
                 for name, c in config.cameras.items()},
              STATE: ((1, len(config.state)), "float32"),
              INSTRUCTION: ((1,), "int64"), NOISE: ((1, rows, channels), "float32"),
              KNOWN: ((1, rows, channels), "float32"), WEIGHTS: ((1, rows), "float32")}
    constants = {"low": np.float32(-1), "high": np.float32(1), "middle": middle, "reach": reach,
                 "last_axis": np.array([2])}
    graph = _message({1: [
        _operation("Clip", NOISE, "low", "high", out="clipped"),
        _operation("Mul", "clipped", "reach", out="offset"),
        _operation("Add", "offset", "middle", out="free"),
        _operation("Unsqueeze", WEIGHTS, "last_axis", out="share"),
        # known * share + free * (1 - share)
        _operation("Sub", KNOWN, "free", out="missing"),
        _operation("Mul", "missing", "share", out="correction"),
        _operation("Add", "free", "correction", out=ACTIONS)],
        2: ["policy"], 5: [_tensor(n, value) for n, value in constants.items()],
        11: [_value(name, *kind) for name, kind in inputs.items()],
        12: [_value(ACTIONS, (1, rows, channels), "float32")]})
    described = {"format": FORMAT, "digest": digest, "sample_steps": 1,
                 "noise_shape": (rows, channels)}
    path.write_bytes(_message({
        1: [_IR_VERSION], 7: [graph], 8: [_message({1: [""], 2: [_OPERATORS]})],
        METADATA: [_message({KEY: [name], VALUE: [json.dumps(value)]})
                   for name, value in described.items()]}))


def _operation(kind: str, *inputs: str, out: str) -> bytes:
    return _message({1: inputs, 2: [out], 4: [kind]})


def _tensor(name: str, value: np.ndarray) -> bytes:
    value = np.asarray(value)
    return _message({1: value.shape, 2: [_TYPES[value.dtype.name]], 8: [name],
                     9: [value.astype(value.dtype.newbyteorder("<")).tobytes()]})


def _value(name: str, shape: tuple[int, ...], dtype: str) -> bytes:
    size = _message({1: [_message({1: [n]}) for n in shape]})
    return _message({1: [name], 2: [_message({1: [_message({1: [_TYPES[dtype]], 2: [size]})]})]})


def _message(fields: Mapping[int, Iterable[int | str | bytes]]) -> bytes:
    """Return a protobuf message of fields by number, each of which may occur several times."""
    parts = []
    for number, values in fields.items():
        for value in values:
            if isinstance(value, int):
                parts += [_varint(number << 3 | VARINT), _varint(value)]
            else:
                content = value.encode() if isinstance(value, str) else value
                parts += [_varint(number << 3 | BYTES), _varint(len(content)), content]
    return b"".join(parts)


def _varint(value: int) -> bytes:
    digits = []
    while value >= 0x80:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*digits, value])

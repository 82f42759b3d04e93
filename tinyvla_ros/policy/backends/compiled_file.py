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

"""The file ``policy.onnx`` of a checkpoint: what it says about itself, and whether it fits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tinyvla_ros.core.errors import CheckpointError, InputError
from tinyvla_ros.core.files import COMPILED
from tinyvla_ros.policy.saved_checkpoint import SavedCheckpoint

# Of inputs, outputs and metadata; another one is refused.
FORMAT = 1
# Fields of ONNX's ModelProto and StringStringEntryProto (onnx.proto), and protobuf's wire types.
METADATA, KEY, VALUE = 14, 1, 2
VARINT, EIGHT_BYTES, BYTES, FOUR_BYTES = 0, 1, 2, 5


@dataclass(frozen=True)
class CompiledFile:
    """A compiled policy on disk.

    Attributes:
        path: the file.
        digest: of the checkpoint it was made of.
        sample_steps: steps of the sampler, unrolled.
        noise_shape: shape of the noise that one chunk takes, without the batch.
    """

    path: Path
    digest: str
    sample_steps: int
    noise_shape: tuple[int, ...]

    @classmethod
    def read(cls, path: Path) -> CompiledFile:
        """Read what a file says about itself.

        Raises:
            CheckpointError: it is damaged, or of another format.
        """
        again = "make it again with 'tinyvla export'"
        try:
            found = read_metadata(path.read_bytes())
            values = {k: json.loads(found[k]) for k in ("format", "digest", "sample_steps",
                                                        "noise_shape")}
            file = cls(path, values["digest"], int(values["sample_steps"]),
                       tuple(values["noise_shape"]))
        except (ValueError, KeyError, TypeError, IndexError) as err:
            raise CheckpointError(f"{path} is damaged or was not made by 'tinyvla export' "
                                  f"({type(err).__name__}: {err}); {again}.") from None
        if values["format"] != FORMAT:
            raise CheckpointError(f"{path} has format {values['format']!r}, this version reads "
                                  f"{FORMAT}; {again}.")
        return file

    @classmethod
    def of(cls, checkpoint: SavedCheckpoint, sample_steps: int | None = None) -> CompiledFile:
        """Return the file of a checkpoint.

        Args:
            checkpoint: it must have been made of.
            sample_steps: of the sampler, None for any.

        Raises:
            CheckpointError: there is none, it is damaged, or it was made of other weights.
            InputError: it has other sampling steps.
        """
        path, again = checkpoint.path / COMPILED, f"type: tinyvla export {checkpoint.path}"
        if not path.is_file():
            raise CheckpointError(f"Checkpoint {checkpoint.path} has no {COMPILED}; {again}, or "
                                  "use backend torch.")
        file = cls.read(path)
        if file.digest != checkpoint.digest:
            raise CheckpointError(f"{path} was made of checkpoint {file.digest}, and the one "
                                  f"beside it is {checkpoint.digest}; {again}, or use backend "
                                  "torch.")
        if sample_steps not in (None, file.sample_steps):
            raise InputError(f"{path} was made for {file.sample_steps} sampling steps, not "
                             f"{sample_steps}; {again} --sample-steps {sample_steps}, or use "
                             "backend torch.")
        return file


def read_metadata(model: bytes) -> dict[str, str]:
    """Return the metadata of an ONNX model.

    Read here because no backend's package need be the one that is installed.

    Raises:
        ValueError, IndexError: it is no ONNX model.
    """
    metadata = {}
    for number, content in _fields(memoryview(model)):
        if number == METADATA:
            entry = dict(_fields(content))
            metadata[bytes(entry[KEY]).decode()] = bytes(entry[VALUE]).decode()
    return metadata


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield number and content of the length-delimited fields of a protobuf message."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == VARINT:
            _, at = _varint(message, at)
        elif kind == BYTES:
            size, at = _varint(message, at)
            if at + size > len(message):
                raise ValueError("it is cut off")
            yield tag >> 3, message[at:at + size]
            at += size
        elif kind in (EIGHT_BYTES, FOUR_BYTES):
            at += 8 if kind == EIGHT_BYTES else 4
        else:
            raise ValueError(f"wire type {kind}")


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at

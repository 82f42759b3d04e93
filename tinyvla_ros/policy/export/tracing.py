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

"""A network in torch becomes a graph in ONNX."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from tinyvla_ros.core.errors import InputError
from tinyvla_ros.policy.checkpoint import Checkpoint
from tinyvla_ros.policy.export.simplify import simplify


def write_onnx(network: nn.Module, example: tuple, inputs: Sequence[str],
               outputs: Sequence[str], metadata: Mapping[str, str], checkpoint: Checkpoint,
               path: Path) -> None:
    """Trace a network of a checkpoint and write it.

    Args:
        network: what to trace.
        example: inputs of the right shapes and types.
        inputs: their names.
        outputs: names of what it returns.
        metadata: of the file.
        checkpoint: what the network is of.
        path: file to write.

    Raises:
        InputError: it cannot be traced.
    """
    # The exporter prints its progress, and logs each operation that it takes from elsewhere.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with torch.no_grad(), contextlib.redirect_stdout(io.StringIO()), \
                warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(network.eval(), example, dynamo=True, verbose=False,
                                        input_names=inputs, output_names=outputs)
    except Exception as err:  # of many types, with reports of many pages
        model = checkpoint.config.model
        kind = getattr(getattr(model, "encoder", None), "kind", model.kind)
        first = next((line for line in str(err.__cause__ or err).splitlines() if line.strip()),
                     type(err).__name__)
        raise InputError(f"The network {kind} of checkpoint {checkpoint.path} cannot be exported "
                         f"({first.strip()[:200]}); it runs on backend torch.") from None
    simplify(program.model)
    for node in program.model.graph:  # where in the source each comes from, a sixth of the file
        node.metadata_props.clear()
    program.model.metadata_props.update(metadata)
    program.save(path)


@contextlib.contextmanager
def part_of(out: Path) -> Iterator[Path]:
    """Yield a file to write beside an output, and put it in its place at the end.

    Raises:
        InputError: it cannot be written. Nothing is left of it then, nor after any other error.
    """
    part = out.with_name(out.name + ".part")
    try:
        yield part
        os.replace(part, out)
    except OSError as err:
        raise InputError(f"{out} cannot be written ({err.strerror}); give --out with a file in a "
                         "directory you may write to.") from None
    finally:
        part.unlink(missing_ok=True)


def check_exportable(checkpoint: Checkpoint) -> None:
    """Raise ``InputError`` if a checkpoint's network is known not to become a graph."""
    encoder = getattr(checkpoint.config.model, "encoder", None)
    if encoder is not None and encoder.kind == "vlm":
        raise InputError(f"Checkpoint {checkpoint.path} has the encoder vlm ({encoder.model}), "
                         "which cannot be exported; it runs on backend torch.")

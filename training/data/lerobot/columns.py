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

"""Columns of parquet files as arrays of numbers, or one sentence on why they are none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tinyvla_ros.core.errors import InputError


def read_columns(path: Path, columns: Sequence[str]) -> pa.Table:
    """Read some columns of a parquet file.

    Raises:
        InputError: the file cannot be read, or a column is missing.
    """
    try:
        with pq.ParquetFile(path) as file:
            missing = [c for c in columns if c not in file.schema_arrow.names]
            if not missing:
                return file.read(columns=list(columns)).select(list(columns))
    except (pa.ArrowException, OSError) as err:
        raise unreadable(path, err) from None
    raise InputError(f"{path} has no column {missing[0]!r}; write the dataset again with lerobot "
                     "or 'tinyvla collect'.")


def is_lfs_pointer(path: Path) -> bool:
    """Tell whether a file is what 'git clone' leaves without Git LFS."""
    try:
        with path.open("rb") as file:
            return file.read(24) == b"version https://git-lfs."
    except OSError:
        return False


def unreadable(path: Path, err: Exception) -> InputError:
    """Return the error for a file that is damaged or cut short."""
    if is_lfs_pointer(path):
        return InputError(f"{path} is a Git LFS pointer, not the file itself; fetch the content "
                          "with 'git lfs pull'.")
    reason = " ".join(str(err).split("\n")[0].split())
    return InputError(f"{path} cannot be read ({reason}); copy the file again, it is missing, "
                      "damaged or cut short.")


def _is_list(kind: pa.DataType) -> bool:
    return (pa.types.is_list(kind) or pa.types.is_large_list(kind)
            or pa.types.is_fixed_size_list(kind))


def column_values(table: pa.Table, name: str, size: int, dtype: np.dtype, path: Path
                  ) -> np.ndarray:
    """Return a column as (rows, size), whether stored as scalars, lists or nested lists.

    Args:
        table: rows of the file.
        name: of the column.
        size: values per row, as declared.
        dtype: as declared; floating numbers come as stored.
        path: of the file, for messages.

    Raises:
        InputError: it holds something else than is declared.
    """
    parts = [np.empty((0, size), dtype)]
    for chunk in table[name].chunks:
        if isinstance(chunk, pa.ExtensionArray):
            chunk = chunk.storage
        rows, nulls, each = len(chunk), chunk.null_count, 1
        while not nulls and len(chunk) and _is_list(chunk.type):
            lengths = np.unique(pc.list_value_length(chunk).to_numpy(zero_copy_only=False))
            if len(lengths) > 1:
                raise InputError(f"{path}: column '{name}' has rows of {lengths[0]} and of "
                                 f"{lengths[-1]} values, meta/info.json declares {size} for every "
                                 "one; remove those episodes or write them again.")
            each *= int(lengths[0])
            chunk = chunk.flatten()
            nulls = chunk.null_count
        if nulls and not pa.types.is_floating(chunk.type):
            raise InputError(f"{path}: column '{name}' has empty cells; fill them or remove those "
                             "episodes.")
        kind = chunk.type
        if not any(f(kind) for f in (pa.types.is_integer, pa.types.is_floating,
                                     pa.types.is_boolean)):
            raise InputError(f"{path}: column '{name}' holds {kind}, meta/info.json declares "
                             f"{dtype}; make 'dtype' agree (images are 'image').")
        if rows and each != size:
            raise InputError(f"{path}: column '{name}' holds {rows * each} values in {rows} rows, "
                             f"meta/info.json declares {size} per row; make 'shape' agree.")
        if rows:
            parts.append(_as_declared(chunk, dtype, name, path).reshape(rows, size))
    return np.concatenate(parts) if len(parts) != 2 else parts[1]


def _as_declared(chunk: pa.Array, dtype: np.dtype, name: str, path: Path) -> np.ndarray:
    """Return numbers in the declared dtype; floating ones as stored, which may be more exact.

    Raises:
        InputError: it holds numbers that the declared dtype cannot hold.
    """
    values = chunk.to_numpy(zero_copy_only=False)
    if dtype.kind == "f" and values.dtype.kind == "f":
        return values
    with np.errstate(all="ignore"):
        converted = values.astype(dtype)
    # A float beyond the integers wraps around to a number that is itself again.
    inside = True if dtype.kind not in "iu" else \
        (values >= np.iinfo(dtype).min) & (values <= np.iinfo(dtype).max)
    wrong = np.flatnonzero(~((converted == values) & inside))
    if len(wrong):
        raise InputError(f"{path}: column '{name}' holds {values[wrong[0]]}, which {dtype} of "
                         "meta/info.json cannot hold; declare the dtype of the column.")
    return converted

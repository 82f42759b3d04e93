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

"""Markdown tables that also read well in a terminal, and the numbers in them."""

from __future__ import annotations

from collections.abc import Sequence


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table with columns of equal width.

    Args:
        head: names of the columns.
        rows: as many cells each; the first column is left-aligned, the others right-aligned.
    """
    from tabulate import tabulate  # not at import: nodes that print no table start without it

    alignment = ["left", *["right"] * (len(head) - 1)]
    # With parsing, "1e3" and "0010" would be printed as other numbers.
    return tabulate([list(row) for row in rows], list(head), tablefmt="pipe",
                    colalign=alignment if rows else None, disable_numparse=True)


def number(value: float | None) -> str:
    """Return three significant digits without an exponent, or "-" for None."""
    if value is None:
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:#.3g}".rstrip(".")

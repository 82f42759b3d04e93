# SPDX-License-Identifier: Apache-2.0
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

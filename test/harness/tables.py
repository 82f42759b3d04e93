# SPDX-License-Identifier: Apache-2.0
"""Markdown tables that a command printed."""

from __future__ import annotations


def table_cells(text: str, first: str) -> list[str]:
    """Return the cells after the first one, in the row that begins with ``first``."""
    rows = ([cell.strip() for cell in line.strip("|").split("|")]
            for line in text.splitlines() if line.startswith("|"))
    return next(cells for name, *cells in rows if name == first)

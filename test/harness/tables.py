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

"""Markdown tables that a command printed."""

from __future__ import annotations


def table_cells(text: str, first: str) -> list[str]:
    """Return the cells after the first one, in the row that begins with ``first``."""
    rows = ([cell.strip() for cell in line.strip("|").split("|")]
            for line in text.splitlines() if line.startswith("|"))
    return next(cells for name, *cells in rows if name == first)

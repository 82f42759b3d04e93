# SPDX-License-Identifier: Apache-2.0
"""Progress bars with an ETA, that do not fill a log file."""

from __future__ import annotations

import sys

from tqdm import tqdm

LOG_SECONDS = 10.0


def progress_bar(iterable=None, **options) -> tqdm:
    """Return a ``tqdm`` bar; where the output goes to a file it prints every ten seconds."""
    return tqdm(iterable, mininterval=update_seconds(), **options)


def update_seconds() -> float:
    """Return the least time between two updates of a bar, s."""
    return 0.1 if sys.stderr.isatty() else LOG_SECONDS

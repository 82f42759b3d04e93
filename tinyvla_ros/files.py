# SPDX-License-Identifier: Apache-2.0
"""Files that appear whole or not at all, and the digest of a checkpoint directory."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

CONFIG, WEIGHTS, NORMALIZER = "config.json", "model.safetensors", "normalizer.safetensors"


def write_json(path: Path, data: object) -> None:
    """Write JSON so that a reader sees the old file or the new one, never a part."""
    text = json.dumps(data, indent=2) + "\n"
    replace_file(path, lambda part: part.write_text(text, encoding="utf-8"))


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` make a temporary file, then put it in the place of ``path``."""
    part = path.with_name(path.name + ".part")
    write(part)
    os.replace(part, path)


def checkpoint_digest(path: str | Path) -> str:
    """Return the digest that identifies a checkpoint in diagnostics, bags and reports.

    First 16 hex digits of the SHA-256 over configuration, weights and normaliser.
    """
    digest = hashlib.sha256()
    for name in (CONFIG, WEIGHTS, NORMALIZER):
        digest.update((Path(path) / name).read_bytes())
    return digest.hexdigest()[:16]

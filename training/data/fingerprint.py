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

"""Tell datasets apart by their content."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from tinyvla_ros.core.configuration import read_json
from tinyvla_ros.core.errors import InputError
from training.data.lerobot.reader import parquet_files

# Fingerprints of release 0.1.0 have no prefix and cover only names and sizes of large files.
PREFIX = "sha256-"
HASHES = "hashes.json"
PIECE = 1 << 20


def fingerprint(root: str | Path, cache: Path | None = None) -> str:
    """Return a short text that identifies the data, wherever the directory is.

    SHA-256 over the content of ``info.json`` and of every table, data and video file. One core
    hashes 0.4 GB or more a second, which is little beside decoding the images in these files.

    Args:
        root: the dataset directory.
        cache: directory that keeps the hash of every file, None to hash all again. A file is
            hashed again when its size, its inode or the time of its last change (``st_ctime``,
            which no program can set) differs.
    """
    root = Path(root)
    digest = hashlib.sha256()
    stored = _read_hashes(cache)
    hashes = dict(stored)
    for path in _files(root):
        status, place = path.stat(), str(path.resolve())
        key = [status.st_size, status.st_ino, status.st_ctime_ns]
        *known, value = stored.get(place, [None])
        hashes[place] = [*key, value if known == key else _hash(path)]
        digest.update(f"{path.relative_to(root).as_posix()} {hashes[place][-1]}\n".encode())
    if cache and hashes != stored:
        _write_hashes(cache, hashes)
    return PREFIX + digest.hexdigest()[:16]


def is_same_data(expected: str, found: str, roots: Sequence[Path]) -> bool:
    """Tell whether datasets are those that a run was trained on.

    Args:
        expected: fingerprints that the run has stored, joined by ``+``; those of release 0.1.0
            are accepted.
        found: fingerprints of the datasets, joined likewise.
        roots: directories of the datasets.
    """
    old = expected.split("+")
    return len(old) == len(roots) and all(
        before == (now if before.startswith(PREFIX) else of_names_and_sizes(root))
        for root, before, now in zip(roots, old, found.split("+"), strict=True))


def of_names_and_sizes(root: str | Path) -> str:
    """Return the fingerprint of release 0.1.0: the content of tables, names and sizes of files."""
    root = Path(root)
    digest = hashlib.sha256()
    for path in _files(root):
        name = path.relative_to(root).as_posix()
        if name.startswith("meta/"):
            digest.update(f"{name}\n".encode())
            digest.update(path.read_bytes())
        else:
            digest.update(f"{name} {path.stat().st_size}\n".encode())
    return digest.hexdigest()[:16]


def _files(root: Path) -> list[Path]:
    videos = (p for p in (root / "videos").rglob("*.mp4") if not p.name.startswith("."))
    return [root / "meta" / "info.json", root / "meta" / "tasks.parquet",
            *parquet_files(root / "meta" / "episodes"), *parquet_files(root / "data"),
            *sorted(videos)]


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _read_hashes(cache: Path | None) -> dict:
    if cache is not None and (cache / HASHES).is_file():
        with suppress(InputError):  # damaged: all files are hashed again
            hashes = read_json(cache / HASHES)
            return hashes if isinstance(hashes, dict) else {}
    return {}


def _write_hashes(cache: Path, hashes: dict) -> None:
    part = cache / f"{HASHES}.{os.getpid()}.part"  # several processes may start at once
    with suppress(OSError):  # a cache that others own: the files are hashed again next time
        cache.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(hashes), encoding="utf-8")
        os.replace(part, cache / HASHES)

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

"""Files that appear whole or not at all, output directories, the digest of a checkpoint."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from tinyvla_ros.core.errors import InputError

CONFIG, WEIGHTS, NORMALIZER = "config.json", "model.safetensors", "normalizer.safetensors"
# The network compiled for one graph runtime (docs/deployment.md); not part of the digest.
COMPILED = "policy.onnx"
# What watches it (docs/monitor.md); not part of the digest either.
MONITOR = "monitor.onnx"
# Directories that only checkpoints with a pretrained encoder have: what was trained beside the
# base model, or, where all of it was, what describes it.
ADAPTER, BACKBONE = "adapter", "backbone"


def write_json(path: Path, data: object) -> None:
    """Write JSON so that a reader sees the old file or the new one, never a part."""
    text = json.dumps(data, indent=2) + "\n"
    replace_file(path, lambda part: part.write_text(text, encoding="utf-8"))


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` make a temporary file, then put it in the place of ``path``."""
    part = path.with_name(path.name + ".part")
    write(part)
    os.replace(part, path)


def refuse_to_overwrite(path: Path, hint: str = "") -> None:
    """Raise ``InputError`` if an output exists and is not an empty directory.

    Args:
        path: the output.
        hint: what follows "choose a new one" in the message.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(f"Output {path} exists and is not an empty directory; choose a new one"
                         f"{hint}, nothing was overwritten.")


def check_new_directory(path: Path) -> None:
    """Check that a directory for output can be made, without making it.

    Raises:
        InputError: as ``refuse_to_overwrite``, or it cannot be written.
    """
    refuse_to_overwrite(path)
    _require_writable(path)


def _require_writable(path: Path) -> None:
    # Made and removed again: only the attempt shows what a mount or a special folder allows.
    absent = [p for p in (path.absolute(), *path.absolute().parents) if not p.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
        if not os.access(path, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as err:
        raise InputError(f"Output directory {path} cannot be written ({err.strerror}); give one "
                         "you may write to.") from None
    finally:
        for made in absent:
            with contextlib.suppress(OSError):  # never made, or not empty: another run uses it
                made.rmdir()


def begin_or_go_on(directory: Path, settings: Mapping[str, object]) -> None:
    """Create a directory for work that may be gone on with, or check that it is of the same work.

    Args:
        directory: new or empty, or begun with the same settings.
        settings: what decides the result, plain data; kept in ``settings.json``.

    Raises:
        InputError: it was begun with others, holds something else, or cannot be created.
    """
    file, settings = directory / "settings.json", json.loads(json.dumps(settings))
    if not file.is_file():
        create_directory(directory)
        write_json(file, settings)
        return
    try:
        begun = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as err:
        raise InputError(f"{file} is no JSON ({err}); restore it, or give another --out."
                         ) from None
    for name, value in settings.items():
        if begun.get(name) != value:
            raise InputError(f"{directory} was begun with another {name} "
                             f"({_short(begun.get(name))}, now {_short(value)}); give the same "
                             "to go on, or another --out.")


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else text[:77] + "..."


def check_new_file(path: Path) -> None:
    """Check that a file for output can be made, without making it.

    Raises:
        InputError: it exists, or its folder does not or cannot be written.
    """
    if path.exists():
        raise InputError(f"Output {path} exists; give another file with --out, or move it away: "
                         "nothing was overwritten.")
    folder = path.parent
    if not folder.is_dir():
        raise InputError(f"Output {path} cannot be written, there is no folder {folder}; make it, "
                         "or give another file with --out.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"Output {path} cannot be written ({os.strerror(errno.EACCES)}); give a "
                         "file with --out in a folder you may write to.")


def write_new_file(path: Path, text: str) -> None:
    """Write a text file that appears whole, and never in the place of another.

    Raises:
        InputError: as ``check_new_file``, or the disk does not take it.
    """
    check_new_file(path)
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(text, encoding="utf-8")
        os.replace(part, path)
    except OSError as err:
        raise InputError(f"Output {path} cannot be written ({err.strerror}); give another file "
                         "with --out.") from None


def create_directory(path: Path, hint: str = "") -> None:
    """Create a directory for output; as ``refuse_to_overwrite``, or it cannot be created."""
    refuse_to_overwrite(path, hint)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise InputError(f"Cannot create {path}: {err.strerror}; choose a writable directory."
                         ) from None


def check_output_directory(path: str | Path) -> Path:
    """Return the path of a directory for results that can be made, without making it.

    A run that fails at its start leaves nothing, so that the corrected command may use the same
    directory.

    Raises:
        InputError: it cannot be created or written, or holds results of an evaluation.
    """
    path = Path(path)
    _require_writable(path)
    # An empty file is what a run left that never began.
    if any(file.exists() and file.stat().st_size
           for file in (path / "results.json", path / "episodes.jsonl")):
        raise InputError(f"Output directory {path} holds results already; give another one, "
                         "nothing was overwritten.")
    return path


def prepare_output_directory(path: str | Path) -> Path:
    """Create a directory for results and return it; errors as ``check_output_directory``."""
    path = check_output_directory(path)
    path.mkdir(parents=True, exist_ok=True)
    return path


def checkpoint_digest(path: str | Path) -> str:
    """Return the digest that identifies a checkpoint in diagnostics, bags and reports.

    First 16 hex digits of the SHA-256 over configuration, weights and normalizer;
    then over those of a pretrained encoder, if there are any.
    """
    digest = hashlib.sha256()
    for name in (CONFIG, WEIGHTS, NORMALIZER):
        digest.update((Path(path) / name).read_bytes())
    for file in sorted(f for d in (ADAPTER, BACKBONE) for f in (Path(path) / d).glob("*")):
        digest.update(file.relative_to(path).as_posix().encode() + b"\n" + file.read_bytes())
    return digest.hexdigest()[:16]

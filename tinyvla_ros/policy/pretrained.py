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

"""Pretrained models of others: found locally or on the hub, as safetensors and JSON only."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tinyvla_ros.core.errors import InputError

# Everything the libraries' loaders read of a model, and nothing that runs code on load.
FILES = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja", "*/*.json", "*/*.safetensors")
DESCRIPTION = ("*.json", "*.txt", "*.model", "*.jinja")
SAMPLE = 1 << 20
# A checkpoint names its base model as the machine that trained it did.
ELSEWHERE = "TINYVLA_BASE_MODELS"


@dataclass(frozen=True)
class BaseModelSource:
    """Where the base model of an encoder comes from.

    Attributes:
        directory: of its configuration, None to go by its name.
        weights: whether to load its weights too; without, they have no sensible values.
        download: whether the hub may be asked; a robot must not wait for a network.
    """

    directory: Path | None = None
    weights: bool = True
    download: bool = False

    def find(self, model: str, what: str, needed: Sequence[str]) -> Path:
        """Return the directory of a base model.

        Where the environment variable ``TINYVLA_BASE_MODELS`` names a directory that holds one by
        the last part of the model's name, that one is taken.

        Raises:
            InputError: it is unavailable; the message names the files to place and where.
        """
        if self.directory is not None:
            return self.directory
        elsewhere = os.environ.get(ELSEWHERE)
        if elsewhere and (Path(elsewhere) / Path(model).name).is_dir():
            model = str(Path(elsewhere) / Path(model).name)
        return local_copy(model, what, needed, self.download)


def local_copy(model: str, what: str, needed: Sequence[str] = ("config.json",),
               download: bool = True) -> Path:
    """Return the directory of a pretrained model; from the hub or its cache if it is an id there.

    Args:
        model: directory, or hub id such as ``HuggingFaceTB/SmolVLM-256M-Instruct``.
        what: what it is for, for the message.
        needed: patterns of files that must be there beside ``*.safetensors``.
        download: whether the hub may be asked; else only its cache on this machine.

    Raises:
        InputError: it is unavailable; the message names the files to place and where.
    """
    listing = ", ".join((*needed, "*.safetensors"))
    path = Path(model).expanduser()
    if path.is_dir():
        for pattern in (*needed, "*.safetensors"):
            if not any(path.glob(pattern)):
                raise InputError(f"The {what} {path} has no {pattern}; a directory with {listing} "
                                 "is needed (other weight formats run code on load and are not "
                                 "read).")
        return path
    if path.is_absolute() or model.startswith((".", "~")) or model.count("/") != 1:
        raise InputError(f"The {what} {model} is not a directory; place {listing} there, or give "
                         "an id of the Hugging Face hub such as owner/name.")
    try:
        from huggingface_hub import snapshot_download
        found = Path(snapshot_download(model, allow_patterns=list(FILES),
                                       local_files_only=not download))
    except Exception as err:  # its own, requests' and the operating system's types
        reason = type(err).__name__
        raise InputError(
            f"The {what} {model} is not a directory here, and the Hugging Face hub did not "
            f"provide it ({reason}); place its {listing} in a directory and give that, or fill "
            f"the hub cache ({os.environ.get('HF_HOME', '~/.cache/huggingface')}) where there is "
            "a network.") from None
    return local_copy(str(found), what, needed)


def copy_description(model: str, into: Path) -> None:
    """Copy what describes a base model, and no weights: configuration, tokenizer, statistics.

    Args:
        model: directory, or hub id whose files are on this machine.
        into: directory to make.
    """
    path = BaseModelSource().find(model, "base model", ("config.json",))
    into.mkdir(exist_ok=True)
    for pattern in DESCRIPTION:
        for file in path.glob(pattern):
            if not file.name.endswith(".index.json"):
                shutil.copyfile(file, into / file.name)


def fingerprint(path: Path) -> str:
    """Return 16 hex digits that tell one base model from another.

    SHA-256 over name, size, first and last megabyte of every safetensors file: reading gigabytes
    at every start would take long, and the first bytes hold all names and shapes.
    """
    digest = hashlib.sha256()
    for file in sorted(path.glob("*.safetensors")):
        size = file.stat().st_size
        digest.update(f"{file.name} {size}\n".encode())
        with file.open("rb") as stream:
            digest.update(stream.read(SAMPLE))
            stream.seek(max(0, size - SAMPLE))
            digest.update(stream.read(SAMPLE))
    return digest.hexdigest()[:16]

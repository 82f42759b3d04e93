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

"""From an instruction's words to the tokens of a pretrained language model."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.extras import require
from tinyvla_ros.policy.language import embed
from tinyvla_ros.policy.language_config import HashedWords, TokenizedWords, fold

PADDING = -1


def tokenize(language: TokenizedWords, path: Path, texts: Sequence[str]) -> np.ndarray:
    """Tokenize instructions as the base model's own tokenizer does, with a newline at the end.

    Args:
        language: its ``max_tokens``.
        path: directory of the base model.
        texts: N instructions.

    Returns:
        (N, max_tokens) int64 token ids, -1 for padding at the end.

    Raises:
        InputError: a text is too long, or there is no tokenizer.
    """
    tokenizer = _tokenizer(path)
    rows = np.full((len(texts), language.max_tokens), PADDING, np.int64)
    for row, text in zip(rows, texts, strict=True):
        # SmolVLA's prompts end in a newline too.
        ids = tokenizer(fold(text) + "\n")["input_ids"]
        if len(ids) > language.max_tokens:
            raise InputError(f"The instruction {text[:60]!r} has {len(ids)} tokens, and "
                             f"language.max_tokens is {language.max_tokens}; use fewer "
                             "words, or train with a larger max_tokens.")
        row[:len(ids)] = ids
    return rows


def most_like(text: str, known: Sequence[str]) -> str:
    """Return the known wording that shares most words with a text, for messages."""
    vectors = embed(HashedWords(kind="hashed"), [text, *known])
    return known[int((vectors[1:] @ vectors[0]).argmax())]


@lru_cache(maxsize=2)
def _tokenizer(path: Path):
    require(f"The tokenizer {path}, which reads new words,", "vlm",
            instead="use one of the known instructions")
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(path, trust_remote_code=False,
                                             local_files_only=True)
    except Exception as err:  # its own and the tokenizers' types
        reason = " ".join(str(err).split())[:200]
        raise InputError(f"The tokenizer of {path} cannot be loaded ({reason}); place the "
                         "tokenizer files of the base model there, or use one of the known "
                         "instructions.") from None

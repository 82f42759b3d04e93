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

"""The section ``language`` of a recipe and a checkpoint: how a policy reads instructions."""

from __future__ import annotations

import unicodedata
from typing import Annotated, Literal

from pydantic import Field

from tinyvla_ros.core.configuration import Config
from tinyvla_ros.core.errors import InputError

# Longer than any command to an arm, and short enough that no text model cuts it off unseen.
MAX_CHARACTERS = 400


class LearnedTable(Config):
    """A learned vector per instruction; other words are refused."""

    kind: Literal["table"] = "table"


class HashedWords(Config):
    """Words and their trigrams hashed into a vector: needs no text model, knows no synonyms.

    Attributes:
        dim: length of the vector.
        min_similarity: a new wording whose cosine with every known one is less is refused.
    """

    kind: Literal["hashed"]
    dim: int = Field(512, ge=64, le=8192)
    min_similarity: float = Field(0.4, ge=-1.0, le=1.0)


class SentenceEmbedding(Config):
    """A frozen sentence encoder, read by sentence-transformers.

    The embeddings of the known wordings are in the checkpoint; the encoder is needed to train and
    for new wordings only.

    Attributes:
        model: directory, or id on the Hugging Face hub.
        dim: length of its embeddings.
        min_similarity: as above.
    """

    kind: Literal["sentence"]
    model: str = Field("sentence-transformers/all-MiniLM-L6-v2", min_length=1)
    dim: int = Field(384, ge=1, le=65536)
    min_similarity: float = Field(0.5, ge=-1.0, le=1.0)


class TokenizedWords(Config):
    """The tokens of a pretrained language model, which is the encoder itself (kind ``vlm``).

    Attributes:
        max_tokens: longest instruction; shorter ones are padded, and cost as much.
    """

    kind: Literal["tokens"]
    max_tokens: int = Field(32, ge=2, le=512)


LanguageConfig = Annotated[LearnedTable | HashedWords | SentenceEmbedding | TokenizedWords,
                           Field(discriminator="kind")]


def fold(text: str) -> str:
    """Return an instruction as it is compared: one Unicode form, case and blanks evened out."""
    return " ".join(unicodedata.normalize("NFKC", text).split()).casefold()


def check_text(text: str) -> None:
    """Check what holds for every instruction.

    Raises:
        InputError: it is empty, too long, or holds control characters.
    """
    if not text.strip():
        raise InputError("The instruction is empty; give words, for example "
                         "'reach the red target'.")
    if len(text) > MAX_CHARACTERS:
        raise InputError(f"The instruction has {len(text)} characters ({text[:30]!r}...); give at "
                         f"most {MAX_CHARACTERS}.")
    strange = next((c for c in text if unicodedata.category(c) in ("Cc", "Cs") and
                    not c.isspace()), None)
    if strange is not None:
        raise InputError(f"The instruction {text[:60]!r} holds the control character "
                         f"{strange!r}; give plain text.")

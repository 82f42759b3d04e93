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

"""From an instruction's words to the vector that the network gets."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from tinyvla_ros.core.errors import InputError, UnknownInstructionError
from tinyvla_ros.core.extras import require
from tinyvla_ros.policy.language_config import HashedWords, LanguageConfig, SentenceEmbedding, fold

# Carry no task, and would make all sentences alike.
FILLERS = frozenset(["a", "an", "and", "it", "its", "of", "please", "the", "then", "to"])
# A word counts this many times what one of its trigrams does: these only bridge inflections.
TRIGRAM_WEIGHT = 0.35


def embed(language: LanguageConfig, texts: Sequence[str], download: bool = False) -> np.ndarray:
    """Embed texts.

    Args:
        language: not a learned table.
        texts: N instructions.
        download: whether a sentence encoder that is not on this machine may be fetched; a robot
            must not wait for a network.

    Returns:
        (N, dim) float32, rows of unit length (or zero, where a text has no word).

    Raises:
        InputError: the sentence encoder is not installed, unavailable or of another size.
    """
    if isinstance(language, HashedWords):
        return np.stack([_hashed(fold(text), language.dim) for text in texts])
    encoder = _sentence_encoder(language.model, download)
    vectors = encoder.encode([fold(t) for t in texts], normalize_embeddings=True,
                             show_progress_bar=False, convert_to_numpy=True)
    if vectors.shape[1] != language.dim:
        raise InputError(f"The sentence encoder {language.model} has embeddings of "
                         f"{vectors.shape[1]} values, language.dim is {language.dim}; make it "
                         f"{vectors.shape[1]}, or give the encoder the policy was trained with.")
    return vectors.astype(np.float32)


def nearest(language: HashedWords | SentenceEmbedding, text: str, vector: np.ndarray,
            known: Sequence[str], vectors: np.ndarray) -> str:
    """Return the known wording most similar to a new one, by the cosine.

    Args:
        language: its ``min_similarity``.
        text: the new wording, for the message.
        vector: (dim,) its embedding.
        known: N wordings.
        vectors: (N, dim) theirs.

    Raises:
        UnknownInstructionError: no known wording is similar.
    """
    similarity = vectors @ vector
    best = int(np.argmax(similarity))
    if similarity[best] < language.min_similarity:
        raise UnknownInstructionError(
            f"The instruction {text!r} is not similar to any of the policy (nearest: "
            f"{known[best]!r}, similarity {similarity[best]:.2f}, at least "
            f"{language.min_similarity:g} is needed); use words more like these.")
    return known[best]


def _hashed(text: str, dim: int) -> np.ndarray:
    """Feature hashing (Weinberger et al. 2009) of words and, as fastText does, their trigrams."""
    vector = np.zeros(dim, np.float32)
    for word in re.findall(r"\w+", text):
        if word in FILLERS:
            continue
        framed = f"<{word}>"
        grams = {framed[i:i + 3] for i in range(len(framed) - 2)}
        share = TRIGRAM_WEIGHT / max(1, len(grams)) ** 0.5
        for feature, weight in ((framed, 1.0), *((gram, share) for gram in sorted(grams))):
            number = int.from_bytes(hashlib.blake2b(feature.encode(), digest_size=8).digest(),
                                    "little")
            vector[(number >> 1) % dim] += weight if number & 1 else -weight
    length = np.linalg.norm(vector)
    return vector / length if length else vector


@lru_cache(maxsize=2)
def _sentence_encoder(model: str, download: bool):
    """Load a sentence encoder, safetensors only, no code of its own."""
    require(f"The sentence encoder {model}, which reads new words,", "vlm",
            instead="use one of the known instructions")
    from sentence_transformers import SentenceTransformer

    from tinyvla_ros.policy.pretrained import local_copy

    place = local_copy(model, "sentence encoder", ("config.json", "tokenizer*"), download)
    try:
        return SentenceTransformer(str(place), device="cpu", trust_remote_code=False,
                                   local_files_only=True,
                                   model_kwargs={"use_safetensors": True})
    except (OSError, ValueError, KeyError, RuntimeError) as err:
        raise InputError(f"The sentence encoder {place} cannot be loaded "
                         f"({' '.join(str(err).split())[:200]}); give the directory of a "
                         "sentence-transformers or transformers text model.") from None

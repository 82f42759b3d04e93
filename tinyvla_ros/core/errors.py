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

"""The exception shown to users, and helpers for its message."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Input from outside (file, message, parameter, command line) that cannot be used.

    The message is one sentence that names the value, what would be valid and what to do.
    Command lines and nodes print it without a traceback; everything else is a bug and raises
    ordinary exceptions.
    """


class CheckpointError(InputError):
    """A checkpoint directory that is incomplete, damaged or does not fit this version."""


class MessageError(InputError):
    """A ROS message whose content cannot be used (encoding, size, names, non-finite values)."""


class UnknownInstructionError(InputError):
    """An instruction the checkpoint was not trained on."""


def unknown(kind: str, value: str, known: Iterable[str]) -> str:
    """Return the sentence for a name that is not in ``known``, suggesting the nearest one."""
    known = [str(k) for k in known]
    listing = ", ".join(repr(k) for k in known) or "none"
    return f"Unknown {kind} {str(value)!r}; known: {listing}.{did_you_mean(value, known)}"


def did_you_mean(value: object, known: Iterable[str]) -> str:
    """Return a question with the nearest known name, with a leading blank; empty without one."""
    by_folded = {k.casefold(): k for k in known}
    near = difflib.get_close_matches(str(value).casefold(), list(by_folded), n=1, cutoff=0.4)
    return f" Did you mean {by_folded[near[0]]!r}?" if near else ""

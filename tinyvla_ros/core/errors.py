# SPDX-License-Identifier: Apache-2.0
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

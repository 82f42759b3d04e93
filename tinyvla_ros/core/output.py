# SPDX-License-Identifier: Apache-2.0
"""Text for terminals and pipes of any encoding."""

from __future__ import annotations

import io
import sys


def print_any_text() -> None:
    r"""Let ``print`` write what the terminal's encoding lacks as an escape, ``\xe9`` for an e
    with an accent: tasks, instructions and paths may be in any language."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def not_encodable(err: UnicodeEncodeError) -> str:
    """Return the sentence for text that cannot become the name or the content of a file."""
    text = ascii(err.object[err.start:err.end][:40])
    locale = sys.getfilesystemencoding()
    if locale == "utf-8":
        return f"{text} in a name is not UTF-8; rename the file or directory."
    return (f"{text} in a name does not fit {locale}, the encoding of this locale; set "
            "LC_ALL=C.UTF-8, or PYTHONUTF8=1.")

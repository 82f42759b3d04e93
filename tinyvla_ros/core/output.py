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

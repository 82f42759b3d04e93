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

"""The keyboard as a device with buttons: what a terminal sends becomes which keys are held.

A terminal tells when a key is pressed and repeats it while it is held, the one pressed last alone;
it never tells when a key is let go of. So a key counts as held for a moment after its last repeat,
and the dead man is switched on and off: by the space bar, and off by Escape, by any key without a
meaning, when the keyboard is left alone, and when the terminal is gone. While it is on, any space
switches it off, so a space bar that is held leaves it off.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator

# A key is held for so long after its last repeat. Terminals repeat 25 to 33 times a second, over
# a network with some jitter.
HOLD_S = 0.15
# A space bar that repeats does not switch on again.
REPEAT_S = 0.3
# Without any key for so long, the dead man is released.
ALONE_S = 10.0
# Name of a key -> number of its button; what they mean is in config/teleop/keyboard.yaml.
KEYS = ("space", *"qawsedrftgyhujik", "m", "[", "]", "enter", "up", "down", "left", "right")
NUMBERS = {key: number for number, key in enumerate(KEYS)}
_ESCAPES = {"\x1b[A": "up", "\x1b[B": "down", "\x1b[C": "right", "\x1b[D": "left",
            "\x1bOA": "up", "\x1bOB": "down", "\x1bOC": "right", "\x1bOD": "left"}
_NAMES = {" ": "space", "\r": "enter", "\n": "enter"}
DEAD_MAN, ESCAPE = "space", "escape"


class Keyboard:
    """Which keys are held; methods are called with steady seconds."""

    def __init__(self):
        self._engaged = False
        self._last_s: float | None = None  # of any key
        self._space_s = float("-inf")
        self._until: dict[str, float] = {}
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode

    def type(self, data: bytes, now_s: float) -> None:
        """Take what the terminal sent."""
        for key in keys_of(self._decode(data)):
            engaged, self._last_s = self.is_engaged(now_s), now_s
            if key == DEAD_MAN:
                self._engaged = not engaged and now_s - self._space_s > REPEAT_S
                self._space_s = now_s
            elif key not in NUMBERS:
                self._engaged = False
            self._until[key] = now_s + HOLD_S

    def release(self) -> None:
        """Release everything, because the terminal is gone or stopped."""
        self._engaged = False
        self._until.clear()

    def is_engaged(self, now_s: float) -> bool:
        """Return whether the dead man is held."""
        if self._last_s is None or now_s - self._last_s > ALONE_S:
            self._engaged = False
        return self._engaged

    def buttons(self, now_s: float) -> list[int]:
        """Return the buttons of a joystick message."""
        held = [int(now_s < self._until.get(key, 0.0)) for key in KEYS]
        held[NUMBERS[DEAD_MAN]] = int(self.is_engaged(now_s))
        return held


def keys_of(text: str) -> Iterator[str]:
    """Yield the names of the keys that a terminal's text stands for.

    A sequence that no key of ours makes counts as Escape, and so does Escape itself.
    """
    index = 0
    while index < len(text):
        if text[index] == "\x1b":
            sequence = text[index:index + 3]
            if sequence in _ESCAPES:
                yield _ESCAPES[sequence]
                index += 3
                continue
            yield ESCAPE
            return  # what follows belongs to the sequence
        yield _NAMES.get(text[index], text[index])
        index += 1

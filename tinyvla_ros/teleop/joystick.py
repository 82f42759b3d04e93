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

"""A device with axes and buttons: its messages are checked, and nothing stuck moves the arm.

Nothing moves unless the dead man is held. It counts only if it was seen released since the device
was connected, and is released by everything that is wrong: no message for a while, one that cannot
be used, another layout. An axis or button counts only if it was seen at rest since the dead man
was pressed or at that moment.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tinyvla_ros.core.errors import MessageError
from tinyvla_ros.teleop.mapping import Control, Mapping
from tinyvla_ros.teleop.presence import Presence

# What a driver may overshoot by; more is no axis.
LARGEST_AXIS = 1.5
EPISODE_ACTIONS = ("start", "success", "failure", "discard", "next")


class Joystick:
    """The newest state of a device.

    Its methods are called with steady seconds.

    Attributes:
        held_since: when the dead man was pressed; None while it is released.
    """

    def __init__(self, mapping: Mapping, topic: str, timeout: float):
        self._mapping, self._topic, self._presence = mapping, topic, Presence(timeout)
        self._one_shots = {name: getattr(mapping.episode, name) for name in EPISODE_ACTIONS}
        self._one_shots["mode"] = mapping.mode
        gripper = mapping.gripper
        # The only button of a gripper opens and closes in turn.
        self._toggle = None if gripper is None or any(n is not None for n in gripper.axes) or \
            None not in gripper.buttons else next(n for n in gripper.buttons if n is not None)
        self._toggled = -1.0
        self._refusal = ""
        self.disconnect()

    def disconnect(self) -> None:
        """Forget the device: whatever is pressed now counts only after it was released."""
        self.held_since: float | None = None
        self._presence.forget()
        self._was_released = False
        self._moved_triggers: set[int] = set()
        self._axes: tuple[float, ...] = ()
        self._buttons: tuple[int, ...] = ()
        # Controls seen at rest since the dead man was pressed, and when each value came up.
        self._free: set[tuple[str, int]] = set()
        self._since: dict[int, float] = {}

    def receive(self, axes: Sequence[float], buttons: Sequence[int], stamp_ns: int,
                now_s: float) -> list[str]:
        """Take a message.

        Returns:
            Buttons that were just pressed: ``mode`` and names of ``EpisodeButtons``.

        Raises:
            MessageError: it cannot be used; the dead man counts as released.
        """
        axes, buttons = tuple(map(float, axes)), tuple(map(int, buttons))
        try:
            self._check(axes, buttons)
        except MessageError as err:
            self.refuse(str(err))
            raise
        if stamp_ns == self._presence.stamp_ns:
            return []  # a driver that repeats its last message is as dead as one that is silent
        if self._presence.comes_back(stamp_ns, now_s):
            self.disconnect()  # pulled out, and connected again
        before = self._buttons
        if not buttons[self._mapping.dead_man]:
            self._refusal = ""  # else it says why the dead man does not count
        self._presence.hear(stamp_ns, now_s)
        for index, value in enumerate(axes):
            if index >= len(self._axes) or value != self._axes[index]:
                self._since[index] = now_s
            if value != 0.0:
                self._moved_triggers.add(index)
        self._axes, self._buttons = axes, buttons
        self._judge_dead_man(now_s)
        self._judge_controls(now_s)
        if self._toggle is not None and before and \
                buttons[self._toggle] and not before[self._toggle]:
            self._toggled = -self._toggled
        return [name for name, number in self._one_shots.items()
                if number is not None and before and buttons[number] and not before[number]]

    def require_rest(self) -> None:
        """Count a control only when it was seen at rest from now on: it means something else."""
        if self.held_since is not None:
            self._free = {c for c in self._all_controls() if not self._value(*c)}

    def refuse(self, why: str) -> None:
        """Release the dead man because of a message that cannot be used."""
        self.disconnect()
        self._refusal = why

    def problem(self, now_s: float) -> str:
        """Return why nothing may move, empty if the dead man is held.

        A device that was found to be silent must release the dead man before it counts again; one
        whose messages this process read late, and in one go, was none.
        """
        if self._refusal:
            still = "" if not self._presence.is_known else \
                f" The dead man, {self._dead_man}, is still pressed; release it first"
            return f"{self._topic}: {self._refusal}{still}"
        if not self._presence.is_known:
            return f"waiting for {self._topic}"
        if self._presence.miss(now_s):
            return (f"{self._topic} is stale: nothing for more than {self._presence.timeout:g} s; "
                    f"is the {self._mapping.name} connected, and does its driver repeat messages "
                    "(autorepeat_rate: 20)?")
        if self.held_since is not None:
            return ""
        if self._buttons[self._mapping.dead_man] and not self._was_released:
            return (f"the dead man, {self._dead_man}, was pressed before the arm was ready; "
                    "release it first")
        return f"the dead man is released: hold {self._dead_man}"

    def is_silent(self, now_s: float) -> bool:
        """Return whether the device was there, and nothing came of it for too long."""
        return self._presence.is_silent(now_s)

    def is_released(self, now_s: float) -> bool:
        """Return whether the device works and says that the dead man is released."""
        return not self._refusal and self._presence.is_known and \
            not self._presence.is_silent(now_s) and not self._buttons[self._mapping.dead_man]

    def stuck(self) -> str:
        """Return which controls do not count until they were at rest, empty if all count."""
        if self.held_since is None:
            return ""
        names = [f"{kind} {number}" for kind, number in sorted(self._all_controls())
                 if self._value(kind, number) and (kind, number) not in self._free]
        return f"{', '.join(names)} did not change for long, or was deflected when the dead man " \
            "was pressed; let go of it first" if names else ""

    def deflection(self, control: Control | None) -> float:
        """Return how far a control is deflected, -1 to 1, with its scale; 0 if it may not move."""
        if control is None or self.held_since is None:
            return 0.0
        total = sum(sign * self._counted("axis", number)
                    for sign, number in zip((1, -1), control.axes, strict=True))
        total += sum(sign * self._counted("button", number)
                     for sign, number in zip((1, -1), control.buttons, strict=True))
        return control.scale * max(-1.0, min(1.0, total))

    def gripper(self) -> float:
        """Return how far the gripper's control is deflected; a lone button goes both ways."""
        value = self.deflection(self._mapping.gripper)
        return value if self._toggle is None else self._toggled * abs(value)

    @property
    def _dead_man(self) -> str:
        return f"button {self._mapping.dead_man} of the {self._mapping.name}"

    def _check(self, axes: tuple[float, ...], buttons: tuple[int, ...]) -> None:
        if not axes and not buttons:  # as the page of the panel says that its driver is lost
            raise MessageError(f"The {self._mapping.name} is gone; connect it again.")
        needed = self._mapping.needed_axes, self._mapping.needed_buttons
        if len(axes) < needed[0] or len(buttons) < needed[1]:
            raise MessageError(f"The message has {len(axes)} axes and {len(buttons)} buttons, and "
                               f"mapping {self._mapping.name!r} uses {needed[0]} and {needed[1]}; "
                               "choose the mapping of this device.")
        if self._axes and (len(axes), len(buttons)) != (len(self._axes), len(self._buttons)):
            raise MessageError(f"The message has {len(axes)} axes and {len(buttons)} buttons, the "
                               f"one before had {len(self._axes)} and {len(self._buttons)}; "
                               "connect one device.")
        for index, value in enumerate(axes):
            if not math.isfinite(value) or abs(value) > LARGEST_AXIS:
                raise MessageError(f"Axis {index} is {value:g}; axes go from -1 to 1, check the "
                                   "driver.")
        for index, value in enumerate(buttons):
            if value not in (0, 1):
                raise MessageError(f"Button {index} is {value}; buttons are 0 or 1, check the "
                                   "driver.")

    def _judge_dead_man(self, now_s: float) -> None:
        if not self._buttons[self._mapping.dead_man]:
            self._was_released, self.held_since = True, None
        elif self._was_released and self.held_since is None:
            self.held_since = now_s
            self.require_rest()

    def _judge_controls(self, now_s: float) -> None:
        for kind, number in self._all_controls():
            if not self._value(kind, number):
                self._free.add((kind, number))
            elif kind == "axis" and now_s - self._since[number] > self._mapping.stuck_after:
                self._free.discard((kind, number))

    def _all_controls(self) -> set[tuple[str, int]]:
        return {(kind, number) for _, c in self._mapping.controls()
                for kind, numbers in (("axis", c.axes), ("button", c.buttons))
                for number in numbers if number is not None}

    def _counted(self, kind: str, number: int | None) -> float:
        return self._value(kind, number) if (kind, number) in self._free else 0.0

    def _value(self, kind: str, number: int) -> float:
        """Return what an axis or button says, 0 within the dead zone."""
        if kind == "button":
            return float(self._buttons[number])
        value, trigger = self._axes[number], self._mapping.triggers.get(number)
        if trigger is not None:
            if number not in self._moved_triggers:
                return 0.0  # some drivers say 0 until it is moved
            value = (value - trigger.rest) / (trigger.pressed - trigger.rest)
        zone = self._mapping.dead_zone
        size = (min(abs(value), 1.0) - zone) / (1.0 - zone)
        return math.copysign(size, value) if size > 0.0 else 0.0

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

"""What is viewed as messages on Foxglove channels."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import foxglove
from foxglove.channels import CompressedImageChannel, LogChannel
from foxglove.messages import CompressedImage, Log, LogLevel, Timestamp

from tinyvla_ros.view.foxglove.foxglove_layout import foxglove_layout
from tinyvla_ros.view.foxglove.foxglove_topics import (
    EVENTS,
    LIMITS,
    LIMITS_SCHEMA,
    PLAN_SCHEMA,
    STATES,
    STATES_SCHEMA,
    VALUES_SCHEMA,
    camera_topic,
    plan_topic,
    values_topic,
)
from tinyvla_ros.view.viewer import Contents, Level, Limits, PlanAhead

_LEVELS = {Level.INFO: LogLevel.Info, Level.WARN: LogLevel.Warning, Level.ERROR: LogLevel.Error}
# What holds until further notice is repeated, for those who come later, ns.
_REPEAT_NS = 1_000_000_000


class FoxgloveViewer:
    """Logs to the channels of a context; sinks, a server or a file, are its own matter.

    Attributes:
        on_flush: called with the newest time by ``flush``, if there is one.

    Args:
        context: has the channels.
        layout: file to write the layout to, again whenever there is more.
        limits: of channels, where they are known.
    """

    def __init__(self, context: foxglove.Context, layout: Path, limits: dict[str, Limits]):
        self._context, self._layout = context, layout
        self._channels: dict[str, foxglove.Channel] = {}
        self._images: dict[str, CompressedImageChannel] = {}
        self._events = LogChannel(EVENTS, context=context)
        self._states: dict[str, str] = {}
        self._limits = [{"name": name, **{k: v for k, v in vars(of).items() if v is not None}}
                        for name, of in limits.items()]
        self._repeated_ns = -math.inf
        self._now_ns = 0
        self.on_flush: Callable[[int], None] = lambda now_ns: None

    def repeat(self) -> None:
        """Have states and limits come with the next values, for one who has just come."""
        self._repeated_ns = -math.inf

    def wants_image(self, camera: str) -> bool:
        """See ``Viewer``."""
        return self._image_channel(camera).has_sinks()

    def image(self, at_ns: int, camera: str, data: bytes, kind: str) -> None:
        """See ``Viewer``."""
        self._image_channel(camera).log(CompressedImage(
            timestamp=_timestamp(at_ns), frame_id=camera, data=data, format=kind),
            log_time=at_ns)

    def values(self, at_ns: int, group: str, values: dict[str, float]) -> None:
        """See ``Viewer``."""
        self._now_ns = max(self._now_ns, at_ns)
        self._log(values_topic(group), VALUES_SCHEMA, at_ns, {
            "values": [{"name": n, "value": v} for n, v in values.items()]})
        if at_ns >= self._repeated_ns + _REPEAT_NS:
            self._repeated_ns = at_ns
            self._log(STATES, STATES_SCHEMA, at_ns, self._states)
            if self._limits:
                self._log(LIMITS, LIMITS_SCHEMA, at_ns, {"limits": self._limits})

    def plan(self, plan: PlanAhead) -> None:
        """See ``Viewer``."""
        ahead = [(plan.begin_ns + i * plan.dt_ns - plan.at_ns) / 1e9
                 for i in range(len(plan.rows))]
        for name, column in zip(plan.channels, plan.rows.T.tolist(), strict=True):
            self._log(plan_topic(name), PLAN_SCHEMA, plan.at_ns, {"rows": [
                {"ahead": a, "value": v} for a, v in zip(ahead, column, strict=True)
                if math.isfinite(v)]})

    def state(self, at_ns: int, name: str, text: str) -> None:
        """See ``Viewer``."""
        self._states[name] = text
        self._log(STATES, STATES_SCHEMA, at_ns, self._states)

    def event(self, at_ns: int, level: Level, source: str, text: str) -> None:
        """See ``Viewer``."""
        self._events.log(Log(timestamp=_timestamp(at_ns), level=_LEVELS[level], message=text,
                             name=source), log_time=at_ns)

    def arrange(self, contents: Contents) -> None:
        """Write the layout."""
        self._layout.write_text(json.dumps(foxglove_layout(contents), indent=1) + "\n",
                                encoding="utf-8")

    def flush(self) -> None:
        """Tell the time; nothing is collected."""
        if self._now_ns:
            self.on_flush(self._now_ns)

    def _image_channel(self, camera: str) -> CompressedImageChannel:
        if camera not in self._images:
            self._images[camera] = CompressedImageChannel(camera_topic(camera),
                                                          context=self._context)
        return self._images[camera]

    def _log(self, topic: str, schema: dict, at_ns: int, message: dict) -> None:
        channel = self._channels.get(topic)
        if channel is None:
            channel = self._channels[topic] = foxglove.Channel(topic, schema=schema,
                                                               context=self._context)
        channel.log(message, log_time=at_ns)


def _timestamp(ns: int) -> Timestamp:
    return Timestamp(*divmod(ns, 1_000_000_000))

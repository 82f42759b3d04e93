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

"""Play a file to Foxglove with the controls of its own bar: play, pause, seek, speed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import foxglove
from foxglove.websocket import (
    Capability,
    PlaybackCommand,
    PlaybackControlRequest,
    PlaybackState,
    PlaybackStatus,
    ServerListener,
)
from mcap.reader import make_reader

# The time is told so often, s.
_TICK_S = 1 / 30
# After a jump the newest message of each topic is shown, if it is not older, ns.
_LOOK_BACK_NS = 10_000_000_000
# A client asks for one topic after the other; nobody misses the begin of any, s.
_SETTLE_S = 0.3


class FoxglovePlayer(ServerListener):
    """Plays an MCAP file; it begins when the first client listens.

    Args:
        path: of the file, with an index.
        start_server: called with ``foxglove.start_server``'s options; returns the server.
    """

    def __init__(self, path: Path, start_server: Callable[..., foxglove.websocket.WebSocketServer]
                 ):
        self._file = path.open("rb")
        self._reader = make_reader(self._file)
        summary = self._reader.get_summary()
        self._range = (summary.statistics.message_start_time,
                       summary.statistics.message_end_time)
        # The server does not keep it alive.
        self._context = foxglove.Context()
        self._channels = {}
        for number, channel in summary.channels.items():
            schema = summary.schemas[channel.schema_id]
            self._channels[number] = foxglove.Channel(
                channel.topic, message_encoding=channel.message_encoding, context=self._context,
                schema=foxglove.Schema(name=schema.name, encoding=schema.encoding,
                                       data=schema.data))
        self._changed = threading.Condition()
        self._at_ns, self._speed = self._range[0], 1.0
        self._status = PlaybackStatus.Paused
        self._seek_ns: int | None = None
        self._touched = False  # a client has said what it wants
        self._generation = 0  # one more with every change
        self._settled_s = 0.0  # steady s, when who has come has all topics
        self._ends = False
        self._server = start_server(
            context=self._context, server_listener=self, playback_time_range=self._range,
            capabilities=[Capability.Time, Capability.PlaybackControl])
        self._thread = threading.Thread(target=self._run, name="player", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop; the server is the caller's."""
        with self._changed:
            self._ends = True
            self._changed.notify_all()
        self._thread.join()
        self._file.close()

    # ---- from the server's threads --------------------------------------------------------

    def on_subscribe(self, client, channel) -> None:
        """Begin to play for the first one who listens, and again for one who comes after the end.

        Clients without a bar to play ask for nothing. Whoever has used one gets what is newest.
        """
        with self._changed:
            self._settled_s = time.monotonic() + _SETTLE_S
            if self._status == PlaybackStatus.Playing:
                return
            if self._touched:
                self._seek_ns = self._at_ns
            elif self._status == PlaybackStatus.Ended:
                self._seek_ns = self._range[0]
            self._change(self._status if self._touched else PlaybackStatus.Playing)

    def on_playback_control_request(self, playback_control_request: PlaybackControlRequest
                                    ) -> PlaybackState:
        """Do what was asked for."""
        request = playback_control_request
        with self._changed:
            self._touched = True
            self._speed = max(request.playback_speed, 0.01)
            if request.seek_time is not None:
                self._seek_ns = min(max(request.seek_time, self._range[0]), self._range[1])
                self._at_ns = self._seek_ns
            playing = request.playback_command == PlaybackCommand.Play
            if playing and self._status == PlaybackStatus.Ended and self._seek_ns is None:
                self._seek_ns = self._at_ns = self._range[0]
            self._change(PlaybackStatus.Playing if playing else PlaybackStatus.Paused)
            return self._state(request.seek_time is not None, request.request_id)

    def _change(self, status: PlaybackStatus) -> None:
        self._status = status
        self._generation += 1
        self._changed.notify_all()

    def _state(self, did_seek: bool, request: str | None = None) -> PlaybackState:
        return PlaybackState(self._status, self._at_ns, self._speed, did_seek, request)

    # ---- the player's thread --------------------------------------------------------------

    def _run(self) -> None:
        messages: Iterator | None = None
        pending = None
        while True:
            with self._changed:
                if self._ends:
                    return
                seek, self._seek_ns = self._seek_ns, None
                playing, speed = self._status == PlaybackStatus.Playing, self._speed
                generation = self._generation
                if seek is None and not playing:
                    self._changed.wait()
                    continue
            if seek is not None:
                self._show_newest_before(seek)
                messages, pending = None, None
                self._at_ns = seek
            if messages is None:
                messages = self._reader.iter_messages(start_time=self._at_ns)
                pending = next(messages, None)
            if playing:
                pending = self._play(messages, pending, speed, generation)

    def _play(self, messages: Iterator, pending, speed: float, generation: int):
        """Play until something changes; return the first message that was not played."""
        if not self._touched:  # who asked for it has got an answer
            self._server.broadcast_playback_state(self._state(False))
            with self._changed:
                while (left_s := self._settled_s - time.monotonic()) > 0 and \
                        self._generation == generation and not self._ends:
                    self._changed.wait(left_s)
        begin_ns, begin_s = self._at_ns, time.monotonic()
        while pending is not None:
            now_ns = begin_ns + round((time.monotonic() - begin_s) * speed * 1e9)
            while pending is not None and pending[2].log_time <= now_ns:
                self._send(pending)
                pending = next(messages, None)
            with self._changed:
                if self._generation != generation or self._ends:
                    return pending
                self._at_ns = min(now_ns, self._range[1])
                self._changed.wait(_TICK_S)
                if self._generation != generation or self._ends:
                    return pending
            self._server.broadcast_time(self._at_ns)
        with self._changed:
            if self._generation == generation:
                self._at_ns, self._status = self._range[1], PlaybackStatus.Ended
        self._server.broadcast_time(self._at_ns)
        self._server.broadcast_playback_state(self._state(False))
        return None

    def _show_newest_before(self, at_ns: int) -> None:
        newest = {}
        for message in self._reader.iter_messages(start_time=max(at_ns - _LOOK_BACK_NS, 0),
                                                  end_time=at_ns):
            newest[message[1].id] = message
        for message in newest.values():
            self._send(message)
        self._server.broadcast_time(at_ns)

    def _send(self, message) -> None:
        _, channel, record = message
        self._channels[channel.id].log(record.data, log_time=record.log_time)

    @property
    def server(self) -> foxglove.websocket.WebSocketServer:
        """The server, which is started here."""
        return self._server

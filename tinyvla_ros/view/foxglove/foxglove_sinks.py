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

"""Where a Foxglove viewer's messages go: a file, its playback, or a server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import foxglove
from foxglove.websocket import Capability, ServerListener, WebSocketServer

from tinyvla_ros.core.errors import InputError
from tinyvla_ros.view.address import check_free, url_host
from tinyvla_ros.view.foxglove.foxglove_player import FoxglovePlayer
from tinyvla_ros.view.foxglove.foxglove_viewer import FoxgloveViewer
from tinyvla_ros.view.viewer import Limits

_NAME = "tinyvla view"


@contextmanager
def foxglove_file(path: Path, layout: Path, limits: dict[str, Limits]) -> Iterator[FoxgloveViewer]:
    """Write an MCAP file, complete at the end.

    Args:
        path: of the file.
        layout: of the layout's file.
        limits: of channels.
    """
    context = foxglove.Context()
    writer = foxglove.open_mcap(str(path), context=context, allow_overwrite=True)
    try:
        yield FoxgloveViewer(context, layout, limits)
    finally:
        writer.close()


@contextmanager
def foxglove_playback(path: Path, layout: Path, host: str, port: int) -> Iterator[Sequence[str]]:
    """Play an MCAP file to whoever connects; gives lines that say how to."""
    player = FoxglovePlayer(path, partial(_start, host, port))
    try:
        yield _how_to_open(player.server, layout, host)
    finally:
        player.server.stop()
        player.close()


@contextmanager
def foxglove_server(layout: Path, limits: dict[str, Limits], host: str, port: int
                    ) -> Iterator[tuple[FoxgloveViewer, Sequence[str]]]:
    """Serve what is viewed as it comes; also gives lines that say how to connect."""
    context = foxglove.Context()
    viewer = FoxgloveViewer(context, layout, limits)
    server = _start(host, port, context=context, server_listener=_Repeater(viewer),
                    capabilities=[Capability.Time])
    viewer.on_flush = server.broadcast_time
    try:
        yield viewer, _how_to_open(server, layout, host)
    finally:
        server.stop()


class _Repeater(ServerListener):
    def __init__(self, viewer: FoxgloveViewer):
        self._viewer = viewer

    def on_subscribe(self, client, channel) -> None:
        self._viewer.repeat()


def _start(host: str, port: int, **options) -> WebSocketServer:
    check_free(host, port, "--port")
    # None of its lines: clients that leave would come between ours.
    foxglove.set_log_level("CRITICAL")
    try:
        return foxglove.start_server(name=_NAME, host=host, port=port, **options)
    except RuntimeError as err:
        raise InputError(f"The server cannot start on {host}, port {port} ({err}); give another "
                         "--port or --host.") from None


def _how_to_open(server: WebSocketServer, layout: Path, host: str) -> Sequence[str]:
    return (f"Foxglove: Open connection... > Foxglove WebSocket > ws://{url_host(host)}:"
            f"{server.port}",
            f"          or {server.app_url()}",
            f"layout:   Layouts > Import from file... > {layout}")

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

"""One open page: what it asks for, and what it is sent."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable
from typing import get_args

from aiohttp import WSMsgType, web

from tinyvla_ros.core.errors import InputError
from tinyvla_ros.panel.controls import Controls
from tinyvla_ros.panel.pictures import Pictures
from tinyvla_ros.panel.requests import (
    Ask,
    Drive,
    Instruct,
    Label,
    Request,
    Seen,
    read_request,
)
from tinyvla_ros.panel.robot import Robot, Service

STATE_S = 0.1
# Looks for new pictures. A page gets the next ones when it has shown those before: what waits on a
# slow way would be old when it comes.
PICTURE_S = 0.02
UNSEEN_PICTURES = 2  # of each camera
# A page for which so much waits does not read what it asks for, bytes.
MOST_WAITING = 1 << 20
# A service that did not answer by then will not, s.
ANSWER_S = 3.0
# A page sends about 35 messages a second; more than this are no page, messages/s.
MOST_MESSAGES = 200
TOO_MANY = "The page sends too many messages; close other programs that use its address."
UNREAD = "The page does not read what it is sent; reload it."


class PageConnection:
    """A page and its WebSocket; all methods run in the server's event loop.

    Attributes:
        shows: whether somebody looks at it.

    Args:
        socket: open.
        transport: of its connection.
        robot: what the page is about.
        controls: of all pages.
        pictures: of the cameras.
        number_of_pages: returns how many are open.
        on_shows: called when ``shows`` changes.
    """

    def __init__(self, socket: web.WebSocketResponse, transport: asyncio.Transport, robot: Robot,
                 controls: Controls, pictures: Pictures, number_of_pages: Callable[[], int],
                 on_shows: Callable[[], None]):
        self._socket, self._transport = socket, transport
        self._robot, self._controls = robot, controls
        self._unseen = 0  # pictures that were sent
        self._asked: set[int] = set()  # numbers of requests whose service has not answered
        self._pictures, self._number_of_pages, self._on_shows = pictures, number_of_pages, on_shows
        self.shows = True
        self._cameras = max(1, len(robot.about()["cameras"]))
        self._count_from_s, self._count = time.monotonic(), 0
        self._tasks: set[asyncio.Task] = set()  # answers on their way

    async def run(self) -> None:
        """Serve the page until it is gone."""
        parts = [asyncio.create_task(part) for part in (
            self._receive(), self._send_state(), self._send_pictures())]
        try:
            # A page whose state is not sent any more must not stay open and show the last one.
            done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            for part in done:
                part.result()
        except InputError as err:
            self._controls.leave(self)
            await self._send("refused", str(err))
            await self._socket.close(code=1008)  # policy violation
        finally:
            self._controls.leave(self)
            tasks = [*parts, *self._tasks]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def close(self) -> None:
        """Tell the page that the server ends."""
        await self._socket.close(code=1001)  # going away

    async def _receive(self) -> None:
        await self._send("about", self._robot.about())
        async for message in self._socket:
            if message.type != WSMsgType.TEXT:
                break
            self._count_message()
            self._handle(read_request(message.data))

    def _count_message(self) -> None:
        now_s = time.monotonic()
        if now_s - self._count_from_s >= 1.0:
            self._count_from_s, self._count = now_s, 0
        self._count += 1
        if self._count > MOST_MESSAGES:
            raise InputError(TOO_MANY)
        if self._transport.get_write_buffer_size() > MOST_WAITING:
            raise InputError(UNREAD)

    def _handle(self, request: Request) -> None:
        """Do what is asked for, in the order in which it comes, and wait for nothing.

        A stop must not wait for the answer of a slow service or for a slow page, nor the driver's
        frames for either.
        """
        now_s = time.monotonic()
        if isinstance(request, Drive):
            if self._controls.driver is self:  # else it was on its way when somebody else took it
                self._controls.drive(self, request.held, request.axes, request.heard, now_s)
            return
        if isinstance(request, Seen):
            self._unseen = max(0, self._unseen - request.pictures)
            return
        try:
            if isinstance(request, Ask) and request.do in get_args(Service):
                if request.do != "stop":  # which every page may
                    self._controls.check(self)
                self._call(request.do, request.id)
            else:
                self._answer(request.id, True, self._do(request, now_s))
        except InputError as err:
            self._answer(request.id, False, str(err))

    def _do(self, request: Ask | Instruct | Label, now_s: float) -> str:
        """Do what takes no time, and return a sentence."""
        if isinstance(request, Ask):
            return self._ask(request.do, now_s)
        self._controls.check(self)
        if isinstance(request, Instruct):
            return self._robot.instruct(request.text)
        if text := self._robot.label(request.what):
            return text
        self._controls.press(self, request.what, now_s)
        return ""

    def _ask(self, what: str, now_s: float) -> str:
        if what in ("show", "hide"):
            self.shows = what == "show"
            self._on_shows()
            return ""
        if what == "take":
            self._controls.take(self)
            return "You drive."
        if what == "leave":
            self._controls.leave(self)
            return "You watch."
        if what == "lost":
            self._controls.lost(self)
        elif what == "mode":
            self._controls.press(self, "mode", now_s)
        return ""

    def _call(self, service: Service, number: int) -> None:
        """Call a service, whose answer comes in another thread."""
        loop = asyncio.get_running_loop()
        self._asked.add(number)

        def answer(ok: bool, text: str) -> None:
            if number in self._asked:
                self._asked.discard(number)
                self._answer(number, ok, text)

        def take(ok: bool, text: str) -> None:
            with contextlib.suppress(RuntimeError):  # the server has ended meanwhile
                loop.call_soon_threadsafe(answer, ok, text)

        # A node that was killed is taken to be there for some time.
        loop.call_later(ANSWER_S, answer, False, f"'{service}' was not answered within "
                        f"{ANSWER_S:g} s; in danger use the arm's own stop.")
        self._robot.call(service, take)

    def _answer(self, number: int, ok: bool, text: str) -> None:
        """Send an answer when the page takes it."""
        task = asyncio.create_task(self._send("answer", {"id": number, "ok": ok, "text": text}))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # ---- what it is sent ------------------------------------------------------------------

    async def _send_state(self) -> None:
        while True:
            controls = self._controls
            drives = "nobody" if controls.driver is None else \
                "you" if controls.driver is self else "another page"
            await self._send("state", self._robot.state() | {
                "drives": drives, "lost": controls.is_lost, "pages": self._number_of_pages(),
                "sent": time.monotonic()})
            await asyncio.sleep(STATE_S if self.shows else 1.0)

    async def _send_pictures(self) -> None:
        seen: dict[int, int] = {}
        while True:
            newer = self._pictures.newer(seen) if self.shows else []
            # So that all cameras of a page have their turn.
            for index, number, jpeg in newer if self._unseen < UNSEEN_PICTURES * self._cameras \
                    else []:
                seen[index] = number
                self._unseen += 1
                await self._socket.send_bytes(bytes([index]) + jpeg)
            await asyncio.sleep(PICTURE_S)

    async def _send(self, kind: str, value: object) -> None:
        if not self._socket.closed:
            with contextlib.suppress(ConnectionError):  # it has just gone
                await self._socket.send_str(json.dumps({kind: value}, allow_nan=False))

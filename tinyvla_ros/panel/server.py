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

"""The page's server, in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from tinyvla_ros.core.errors import InputError
from tinyvla_ros.panel.access import Access
from tinyvla_ros.panel.controls import Controls
from tinyvla_ros.panel.page_connection import PageConnection
from tinyvla_ros.panel.pictures import Pictures
from tinyvla_ros.panel.requests import LARGEST
from tinyvla_ros.panel.robot import Robot

# Open at once: pages, and connections of any kind.
MOST_PAGES, MOST_CONNECTIONS = 16, 128
# A connection that has become no page by then is closed, s.
OPENING_S = 5.0
# After a connection that could not be accepted, s.
ACCEPT_AGAIN_S = 0.02
# A page that does not answer a ping for so long is gone, s.
HEARTBEAT_S = 4.0
# A page that is closed and does not say so, too.
CLOSING_S = 1.0
START_S = 10.0
FILES = {"/": "index.html", "/panel.css": "panel.css", "/panel.js": "panel.js",
         "/drive.js": "drive.js", "/plot.js": "plot.js", "/icon.svg": "icon.svg"}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
                               "img-src 'self' blob:; connect-src 'self'; base-uri 'none'; "
                               "form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store", "Cross-Origin-Resource-Policy": "same-origin"}
_KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript",
          ".svg": "image/svg+xml"}


@dataclass(frozen=True)
class Address:
    """Where the server listens.

    Attributes:
        host: address or name.
        port: 0 for a free one.
        certificate: PEM file with the certificate for TLS; empty for none.
        key: PEM file with its key.
    """

    host: str = "127.0.0.1"
    port: int = 0
    certificate: str = ""
    key: str = ""


class PanelServer:
    """Serves the page until it is closed.

    Attributes:
        url: to open in a browser, with the token if one is needed.

    Args:
        robot: what the page is about.
        pictures: of its cameras.
        address: where to listen.
        token: see ``Access``.
        timeout: seconds without a message of the driver's page after which the arm holds.
        on_failure: called with a text when the page can be served no more, in the server's
            thread.

    Raises:
        InputError: address, certificate or token cannot be used.
    """

    def __init__(self, robot: Robot, pictures: Pictures, address: Address, token: str,
                 timeout: float, on_failure: Callable[[str], None]):
        self._robot, self._pictures, self._address = robot, pictures, address
        self._access = Access(address.host, token)
        self._tls = _tls(address)
        self._controls = Controls(timeout, robot.send_joy, robot.lose_driver)
        self._pages: set[PageConnection] = set()
        self._page_transports: set[asyncio.Transport] = set()
        self._on_failure = on_failure
        self._ready = threading.Event()
        self._failure: Exception | None = None
        self._sockets: set[socket.socket] = set()
        self._port = address.port
        self._loop = asyncio.new_event_loop()
        self._closing = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="panel", daemon=True)
        self._thread.start()
        is_ready = self._ready.wait(START_S)
        if self._failure is not None or not is_ready:
            why = getattr(self._failure, "strerror", None) or self._failure or "it takes too long"
            raise InputError(f"The page cannot be served at {address.host} port {address.port} "
                             f"({why}); give another host or port, or end what listens there.")
        scheme = "https" if self._tls else "http"
        name = socket.gethostname() if address.host in ("0.0.0.0", "::") else address.host
        query = f"?token={self._access.token}" if self._access.token else ""
        self.url = f"{scheme}://{f'[{name}]' if ':' in name else name}:{self._port}/{query}"

    def close(self) -> None:
        """End; a driver is lost."""
        with contextlib.suppress(RuntimeError):  # it has failed, and its loop is closed
            self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join(START_S)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except Exception as err:
            self._failure = err
            if self._ready.is_set():
                self._on_failure(f"The page's server failed: {traceback.format_exc()}")
        finally:
            self._ready.set()
            self._loop.close()

    async def _serve(self) -> None:
        app = web.Application(client_max_size=LARGEST)
        for path, name in FILES.items():
            app.router.add_get(path, self._file_handler(name))
        app.router.add_get("/page", self._open_page)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=CLOSING_S)
        await runner.setup()
        try:
            with await self._listen() as listener:
                self._port = listener.getsockname()[1]
                parts = [asyncio.create_task(part) for part in (
                    self._accept(listener, runner.server), self._tick(), self._closing.wait())]
                self._ready.set()
                done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            for part in parts:
                part.cancel()
            for page in list(self._pages):
                self._controls.leave(page)
            await asyncio.gather(*(page.close() for page in list(self._pages)),
                                 return_exceptions=True)
            for part in done:
                part.result()
        finally:
            await runner.cleanup()

    async def _listen(self) -> socket.socket:
        """Return a socket that listens; raises ``OSError`` or ``UnicodeError`` for a bad name."""
        family, *_, place = (await self._loop.getaddrinfo(
            self._address.host, self._address.port, type=socket.SOCK_STREAM,
            flags=socket.AI_PASSIVE))[0]
        listener = socket.create_server(place[:2], family=family, backlog=MOST_CONNECTIONS)
        listener.setblocking(False)
        return listener

    async def _accept(self, listener: socket.socket, make_handler) -> None:
        """Accept connections; those too many are closed before they cost anything."""
        connecting: set[asyncio.Task] = set()
        while True:
            try:
                connection, _ = await self._loop.sock_accept(listener)
            except OSError:  # of the connection, or no file is left for it
                await asyncio.sleep(ACCEPT_AGAIN_S)
                continue
            self._sockets = {s for s in self._sockets if s.fileno() >= 0}
            if len(self._sockets) >= MOST_CONNECTIONS:
                connection.close()
                continue
            self._sockets.add(connection)
            task = asyncio.create_task(self._connect(connection, make_handler))
            connecting.add(task)
            task.add_done_callback(connecting.discard)

    async def _connect(self, connection: socket.socket, make_handler) -> None:
        try:
            transport, _ = await self._loop.connect_accepted_socket(
                make_handler, connection, ssl=self._tls,
                ssl_handshake_timeout=OPENING_S if self._tls else None)
        except OSError:  # TLS failed, or it is gone
            connection.close()
            return
        await asyncio.sleep(OPENING_S)
        if transport not in self._page_transports:
            transport.abort()

    async def _tick(self) -> None:
        while True:
            self._controls.tick(time.monotonic())
            await asyncio.sleep(self._controls.due_s(time.monotonic()))

    # ---- requests -------------------------------------------------------------------------

    @property
    def _cookie(self) -> str:
        # Cookies do not know ports, and another panel may be at the next one.
        return f"tinyvla_panel_{self._port}"

    async def _problem(self, request: web.Request, needs_origin: bool) -> str:
        if problem := self._access.problem(request.headers, needs_origin):
            return problem
        if self._access.knows(request.cookies.get(self._cookie, "")):
            return ""
        await asyncio.sleep(0.5)  # for whoever tries tokens
        return "The token is missing or wrong; open the address that panel_node printed."

    def _file_handler(self, name: str):
        path = Path(__file__).parent / "page" / name
        kind = _KINDS[path.suffix]

        async def handle(request: web.Request) -> web.StreamResponse:
            if name == "index.html" and "token" in request.query and \
                    self._access.knows(request.query["token"]):
                # Not left in the address bar, for others to see.
                response = web.HTTPSeeOther("/")
                response.set_cookie(self._cookie, request.query["token"], httponly=True,
                                    samesite="Lax", secure=self._tls is not None)
                raise response
            if problem := await self._problem(request, needs_origin=False):
                return web.Response(status=403, text=f"{problem}\n", headers=HEADERS)
            return web.Response(body=path.read_bytes(), content_type=kind, charset="utf-8",
                                headers=HEADERS)

        return handle

    async def _open_page(self, request: web.Request) -> web.StreamResponse:
        if problem := await self._problem(request, needs_origin=True):
            return web.Response(status=403, text=f"{problem}\n", headers=HEADERS)
        if len(self._pages) >= MOST_PAGES:
            return web.Response(status=503, text=f"{MOST_PAGES} pages are open; close one.\n",
                                headers=HEADERS)
        # Not compressed: pictures are already, and it would take half of the processor time.
        response = web.WebSocketResponse(heartbeat=HEARTBEAT_S, timeout=CLOSING_S,
                                         max_msg_size=LARGEST, compress=False)
        await response.prepare(request)
        page = PageConnection(response, request.transport, self._robot, self._controls,
                              self._pictures, lambda: len(self._pages), self._count_viewers)
        self._pages.add(page)
        self._page_transports.add(request.transport)
        self._count_viewers()
        try:
            await page.run()
        except ConnectionError:
            pass  # it is gone
        finally:
            self._pages.discard(page)
            self._page_transports.discard(request.transport)
            self._count_viewers()
        return response

    def _count_viewers(self) -> None:
        self._robot.watch(sum(page.shows for page in self._pages))


def _tls(address: Address) -> ssl.SSLContext | None:
    """Return the context of a certificate; None without one."""
    if bool(address.certificate) != bool(address.key):
        raise InputError("TLS needs both a certificate and a key; give both, or neither.")
    if not address.certificate:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(address.certificate, address.key)
    except (OSError, ssl.SSLError) as err:
        raise InputError(f"Certificate {address.certificate} with key {address.key} cannot be "
                         f"used ({err.strerror or err}); give two PEM files that belong "
                         "together.") from None
    return context

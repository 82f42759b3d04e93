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

"""What strangers send to a real panel_node: it refuses them in a sentence, and lives."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import shutil
import socket
import ssl
import subprocess
import time
from urllib.parse import urlsplit

import pytest

from harness.panel import URL, open_connections
from harness.processes import LIMIT_S, Output, start, stop
from tinyvla_ros.core.resources import robot_file
from tinyvla_ros.panel.page_connection import MOST_MESSAGES
from tinyvla_ros.panel.requests import LARGEST
from tinyvla_ros.panel.server import HEADERS, MOST_CONNECTIONS, MOST_PAGES
from tinyvla_ros.start.local_launch import node_command
from tinyvla_ros.start.node_description import NodeDescription, NodeSettings

aiohttp = pytest.importorskip("aiohttp", reason="needs requirements.txt")
ROBOT = str(robot_file("so101"))
_NUMBERS = itertools.count()


def start_panel(**parameters) -> Output:
    """Start a node; several may be there at a time."""
    return Output(start(*node_command(NodeDescription(
        "panel_node", {"robot": ROBOT, "port": 0} | parameters,
        NodeSettings(namespace=f"panel_{next(_NUMBERS)}")))))


class Panel:
    """A node, and requests to it."""

    def __init__(self, **parameters):
        self.output = start_panel(**parameters)
        self.output.wait_for(URL)
        self.url = URL.search(self.output.text)[1]
        parts = urlsplit(self.url)
        self.port = parts.port
        self.at = f"{parts.scheme}://127.0.0.1:{parts.port}"
        self.tls = None
        if parts.scheme == "https":
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            self.tls.check_hostname, self.tls.verify_mode = False, ssl.CERT_NONE

    def close(self) -> None:
        assert stop(self.output.process) == 0
        assert "Traceback" not in self.output.text

    def get(self, path: str = "/", **options) -> tuple[int, str]:
        """Return status and text."""
        async def get():
            async with aiohttp.ClientSession() as session, \
                    session.get(self.at + path, ssl=self.tls or True, **options) as answer:
                return answer.status, await answer.text()
        return asyncio.run(get())

    def get_when_it_answers(self) -> tuple[int, str]:
        """The same, once the node has closed others."""
        deadline = time.monotonic() + LIMIT_S
        while True:
            try:
                return self.get()
            except aiohttp.ClientError:
                assert time.monotonic() < deadline

    def talk(self, *sent, **headers) -> list[dict]:
        """Open a page, send messages and return what came until the node closed it."""
        async def talk():
            options = {"headers": {"Origin": self.at} | headers, "max_msg_size": 0}
            came = []
            async with aiohttp.ClientSession() as session, \
                    session.ws_connect(f"{self.at}/page", ssl=self.tls or True,
                                       **options) as page:
                for message in sent:
                    await (page.send_bytes(message) if isinstance(message, bytes)
                           else page.send_str(message))
                async for message in page:
                    if message.type == aiohttp.WSMsgType.TEXT:
                        came.append(json.loads(message.data))
            return came
        return asyncio.run(asyncio.wait_for(talk(), 60.0))

    def lives(self) -> bool:
        """Wait until a page works as before; the node may still be closing others."""
        async def look():
            async with aiohttp.ClientSession() as session, session.ws_connect(
                    f"{self.at}/page", headers={"Origin": self.at}) as page:
                kinds = set()
                while kinds < {"about", "state"}:
                    kinds |= set(json.loads((await page.receive(60.0)).data))
                return True
        deadline = time.monotonic() + LIMIT_S
        while True:
            try:
                return asyncio.run(look())
            except (aiohttp.ServerDisconnectedError, aiohttp.WSServerHandshakeError,
                    ConnectionError):
                assert time.monotonic() < deadline


@pytest.fixture(scope="module")
def panel():
    panel = Panel()
    yield panel
    panel.close()


def refused(answers: list[dict]) -> str:
    """Return the one sentence with which a page was closed."""
    (sentence,) = [a["refused"] for a in answers if "refused" in a]
    assert sentence.endswith(".") and "\n" not in sentence
    return sentence


@pytest.mark.parametrize("headers", [{"Origin": "http://evil.example"}, {"Origin": "null"},
                                     {"Host": "evil.example"}])
def test_another_site_does_not_get_in(panel, headers):
    with pytest.raises(aiohttp.WSServerHandshakeError) as info:
        panel.talk(**headers)
    assert info.value.status == 403
    assert panel.lives()


def test_another_sites_name_for_this_machine_shows_nothing(panel):
    status, text = panel.get(headers={"Host": "evil.example"})
    assert status == 403 and "<html" not in text
    assert panel.get()[0] == 200


def test_no_other_site_may_frame_it_or_read_it(panel):
    async def headers():
        async with aiohttp.ClientSession() as session, session.get(panel.at) as answer:
            return answer.headers
    found = asyncio.run(headers())
    assert "frame-ancestors 'none'" in found["Content-Security-Policy"]
    assert all(found[name] == value for name, value in HEADERS.items())
    assert "Access-Control-Allow-Origin" not in found


@pytest.mark.parametrize("message", ["{", "[]", '{"do": "fly"}', '{"do": "drive", "held": 2}',
                                     '{"do": "take", "id": "x"}', "\x00" * 100])
def test_a_message_that_no_page_sends_ends_the_page(panel, message):
    assert "reload" in refused(panel.talk(message))
    assert panel.lives()


def test_large_messages_and_floods_end_the_page(panel):
    assert not [a for a in panel.talk("x" * (LARGEST + 1)) if "answer" in a]
    panel.talk(b"\xff" * 1000)
    assert "too many" in refused(panel.talk(*['{"do": "show"}'] * (MOST_MESSAGES + 50)))
    assert panel.lives()


def test_text_that_is_no_utf8_and_frames_without_a_mask_end_the_page(panel):
    for frame in (b"\x81\x82\0\0\0\0\xff\xfe", b"\x81\x02{}", b"\xff" * 64):
        with socket.create_connection(("127.0.0.1", panel.port), 30.0) as connection:
            connection.sendall(
                f"GET /page HTTP/1.1\r\nHost: 127.0.0.1:{panel.port}\r\nOrigin: {panel.at}\r\n"
                "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode())
            while b"about" not in connection.recv(100_000):
                pass
            connection.sendall(frame)
            while connection.recv(100_000):
                pass  # until the node closes it
    assert panel.lives()


def _is_closed(connection: socket.socket) -> bool:
    with contextlib.suppress(TimeoutError):
        try:
            return connection.recv(1) == b""
        except ConnectionError:
            return True
    return False


def test_a_thousand_connections_are_refused_and_the_page_comes_back(panel):
    connections = open_connections(panel.port, 1000)
    for connection in connections:
        connection.settimeout(0.02)  # the node refused them while they were opened
    refused = sum(_is_closed(connection) for connection in connections)
    for connection in connections:
        connection.close()
    assert refused >= len(connections) - MOST_CONNECTIONS
    assert panel.lives()


def test_connections_that_say_nothing_do_not_keep_others_out(panel):
    connections = open_connections(panel.port, MOST_CONNECTIONS)
    for connection in connections:
        connection.settimeout(60.0)
        assert _is_closed(connection)
    assert panel.lives()
    for connection in connections:
        connection.close()


def test_more_pages_than_there_may_be_are_refused(panel):
    assert panel.lives()

    async def fill():
        async with aiohttp.ClientSession() as session:
            pages = []
            with pytest.raises(aiohttp.WSServerHandshakeError) as info:
                for _ in range(MOST_PAGES + 1):
                    pages.append(await session.ws_connect(f"{panel.at}/page",
                                                          headers={"Origin": panel.at}))
            assert info.value.status == 503 and len(pages) == MOST_PAGES
            for page in pages:
                await page.close()
    asyncio.run(fill())
    assert panel.lives()


def test_a_page_that_only_watches_commands_nothing_but_a_stop(panel):
    asked = ["enable", "hold", "reset", "mode", "stop"]

    async def ask():
        async with aiohttp.ClientSession() as session, session.ws_connect(
                f"{panel.at}/page", headers={"Origin": panel.at}) as page:
            for number, what in enumerate(asked):
                await page.send_json({"do": what, "id": number})
            answers = {}
            while len(answers) < len(asked):
                message = json.loads((await page.receive(60.0)).data)
                if "answer" in message:
                    answers[message["answer"]["id"]] = message["answer"]
            return [answers[i] for i in range(len(asked))]
    *others, stopped = asyncio.run(ask())
    assert all(not a["ok"] and "press Drive" in a["text"] for a in others)
    assert "is not there" in stopped["text"], "it was asked for, of a policy that does not run"


def test_an_address_that_others_reach_needs_the_token():
    panel = Panel(host="0.0.0.0")
    try:
        query = urlsplit(panel.url).query
        assert query.startswith("token=") and len(query) > 20
        for path in ("/", "/?token=", "/?token=" + "x" * 32, "/panel.js"):
            status, text = panel.get(path, allow_redirects=False)
            assert status == 403 and "token" in text
        with pytest.raises(aiohttp.WSServerHandshakeError):
            panel.talk()
        # The browser is sent on, without the token in its address, and keeps a cookie.
        async def enter():
            jar = aiohttp.CookieJar(unsafe=True)  # of an address without a name
            async with aiohttp.ClientSession(cookie_jar=jar) as session:
                async with session.get(f"{panel.at}/?{query}") as answer:
                    assert answer.status == 200 and not answer.url.query
                async with session.ws_connect(f"{panel.at}/page",
                                              headers={"Origin": panel.at}) as page:
                    assert "about" in json.loads((await page.receive(60.0)).data)
        asyncio.run(enter())
    finally:
        panel.close()


def test_it_is_served_with_tls(tmp_path):
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the openssl command to make a certificate")
    files = {name: str(tmp_path / name) for name in ("certificate", "key")}
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
         "/CN=localhost", "-out", files["certificate"], "-keyout", files["key"]],
        capture_output=True, check=True)
    panel = Panel(**files)
    try:
        assert panel.url.startswith("https://")
        assert panel.get()[0] == 200
        assert "reload" in refused(panel.talk("{"))
        connections = open_connections(panel.port, 1000)  # that never begin with TLS
        for connection in connections:
            connection.settimeout(0.02)
        assert sum(map(_is_closed, connections)) >= len(connections) - MOST_CONNECTIONS
        assert panel.get_when_it_answers()[0] == 200
        for connection in connections:
            connection.close()
    finally:
        panel.close()


@pytest.mark.parametrize(("parameters", "words"), [
    ({"certificate": "/nowhere.pem"}, "both"),
    ({"certificate": "/nowhere.pem", "key": "/nowhere.pem"}, "No such file"),
    ({"host": "192.0.2.1"}, "192.0.2.1"), ({"port": 70000}, "70000"),
    ({"robot": "/nowhere.yaml"}, "/nowhere.yaml"), ({"checkpoint": "/nowhere"}, "/nowhere")])
def test_parameters_that_cannot_be_used_are_one_sentence(parameters, words):
    output = start_panel(**parameters)
    assert output.wait_end() == 2
    (line,) = output.text.strip().splitlines()
    assert line.startswith("error: ") and words in line


def test_a_port_that_is_taken_is_named(panel):
    output = start_panel(port=panel.port)
    assert output.wait_end() == 2
    assert str(panel.port) in output.text and "Traceback" not in output.text

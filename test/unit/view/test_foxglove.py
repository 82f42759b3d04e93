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

"""What Foxglove gets of a bag: a file, its layout, and a server that plays it."""

from __future__ import annotations

import json
import re
import signal
import struct
import sys
from pathlib import Path

import pytest

from harness.bags import lockstep, write
from harness.processes import Output, start
from tinyvla_ros.cli.main import run_command

pytest.importorskip("foxglove", reason="needs foxglove-sdk: pip install 'tinyvla_ros[foxglove]'")
# Operations of the protocol, https://github.com/foxglove/ws-protocol
MESSAGE_DATA, TIME, PLAYBACK_STATE = 1, 2, 5
PLAYBACK_CONTROL = 3
PLAY, ENDED = 0, 3


@pytest.fixture
def bag(tmp_path) -> Path:
    return write(tmp_path / "bag", lockstep())


def paths_in(config) -> list[str]:
    """Return all paths to messages in a panel's configuration."""
    if isinstance(config, dict):
        return [p for value in config.values() for p in paths_in(value)]
    if isinstance(config, list):
        return [p for value in config for p in paths_in(value)]
    return [config] if isinstance(config, str) and config.startswith("/") else []


def test_a_file_has_what_its_layout_shows(bag, tmp_path, capsys):
    from mcap.reader import make_reader

    out = tmp_path / "view.mcap"
    assert run_command(["view", "--foxglove", str(bag), "--save", str(out)]) == 0
    assert str(out) in capsys.readouterr().out
    names: dict[str, set[str]] = {}
    with out.open("rb") as file:
        for schema, channel, message in make_reader(file).iter_messages():
            found = names.setdefault(channel.topic, set())
            if schema.encoding == "jsonschema":
                content = json.loads(message.data)
                found |= {v["name"] for v in content.get("values", ())} | content.keys()
    layout = json.loads(out.with_suffix(".layout.json").read_text())
    for path in paths_in(layout["configById"]):
        topic = re.match(r"[A-Za-z0-9_/]+", path)[0]
        assert topic in names or topic == "/view/events", path  # nothing happens in this bag
        if name := re.search(r'name=="(.*)"', path):
            assert name[1] in names[topic], path


class Client:
    """A client of the server, as Foxglove is one."""

    def __init__(self, url: str):
        websocket = pytest.importorskip(
            "websocket", reason="needs websocket-client, which selenium brings")
        self._socket = websocket.create_connection(
            url, subprotocols=["foxglove.sdk.v1"], timeout=60)
        self.info, self.topics, self.received = None, {}, []

    def subscribe_to_all(self, topics: set[str]) -> None:
        """Wait until the topics are there, and ask for them."""
        while not topics <= set(self.topics.values()):
            self._next()
        self._send({"op": "subscribe", "subscriptions": [
            {"id": number, "channelId": number} for number, t in self.topics.items()
            if t in topics]})

    def wait_for(self, operation: int, condition) -> object:
        """Return the first message of an operation, from now on, that fulfills a condition."""
        while True:
            found = self._next()
            if found and found[0] == operation and condition(found[1]):
                return found[1]

    def control(self, command: int, seek_ns: int) -> None:
        """Play or pause, from a time on."""
        self._socket.send_binary(struct.pack("<BBf?QI", PLAYBACK_CONTROL, command, 1.0, True,
                                             seek_ns, 2) + b"me")

    def close(self) -> None:
        self._socket.close()

    def _send(self, message: dict) -> None:
        self._socket.send(json.dumps(message))

    def _next(self):
        opcode, data = self._socket.recv_data()
        if opcode == 1:
            message = json.loads(data)
            if message["op"] == "serverInfo":
                self.info = message
            elif message["op"] == "advertise":
                self.topics |= {c["id"]: c["topic"] for c in message["channels"]}
            return None
        if data[0] == MESSAGE_DATA:
            number, at_ns = struct.unpack_from("<IQ", data, 1)
            self.received.append((self.topics[number], at_ns, data[13:]))
            return MESSAGE_DATA, self.received[-1]
        if data[0] == PLAYBACK_STATE:
            return PLAYBACK_STATE, data[1]
        return data[0], None


def test_a_server_plays_a_bag_to_whoever_connects(bag, tmp_path, free_port):
    process = start(sys.executable, "-m", "tinyvla_ros.cli", "view", "--foxglove", str(bag),
                    "--port", str(free_port), "--layout", str(tmp_path / "layout.json"))
    output = Output(process)
    output.wait_for("Ctrl-C ends it.")
    assert f"ws://127.0.0.1:{free_port}" in output.text
    assert json.loads((tmp_path / "layout.json").read_text())["layout"]
    client = Client(f"ws://127.0.0.1:{free_port}")
    topics = {"/view/camera/front", "/view/joints", "/view/plan/dx", "/view/states"}
    client.subscribe_to_all(topics)
    client.wait_for(PLAYBACK_STATE, lambda status: status == ENDED)  # nobody asked it to play
    assert client.received
    begin, end = (client.info[k]["sec"] * 10**9 + client.info[k]["nsec"]
                  for k in ("dataStartTime", "dataEndTime"))
    client.received = []
    client.control(PLAY, begin)
    client.wait_for(PLAYBACK_STATE, lambda status: status == ENDED)
    assert {topic for topic, *_ in client.received} == topics
    assert all(begin <= at <= end for _, at, _ in client.received)
    joints = [json.loads(data) for topic, _, data in client.received if topic == "/view/joints"]
    assert [j["values"][0]["value"] for j in joints] == [float(i) for i in range(12)]
    # Back to the middle: the newest joints before come first, then those after.
    middle, client.received = (begin + end) // 2, []
    client.control(PLAY, middle)
    client.wait_for(PLAYBACK_STATE, lambda status: status == ENDED)
    again = [at for topic, at, _ in client.received if topic == "/view/joints"]
    assert again[0] < middle and all(at >= middle for at in again[1:]) and 3 < len(again) < 10
    client.close()
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0

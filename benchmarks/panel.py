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

"""What the operator's page costs, and how soon the arm holds when a page is lost.

Losses: a real policy node with an untrained policy, the dry-run arm and a real panel_node, each in
its own process; a page in another one takes the arm over and moves it until it is killed, its
network is cut off (in a network namespace of its own, for which this must be root), its browser is
killed, or panel_node is. Time from then to the policy's first hold. Costs: two cameras of 640x480
at 15 images a second, two pages that show them, and of panel_node the processor time; beside it
the latency of the policy without and with pages.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import _harness  # noqa: F401
from _figures import latency_row, print_heading
from std_srvs.srv import SetBool

from harness.panel import panel_rig, start_panel
from harness.teleop_rig import TeleopRig
from tinyvla_ros.core.tables import markdown_table
from tinyvla_ros.panel.joy_layout import AXES
from tinyvla_ros.panel.serving import ServingOptions
from tinyvla_ros.start.panel_graph import PAGE_INPUT_TIMEOUT_S

DRIVES, LOST = "a person drives", "was lost"
WAIT_S, DRIVES_S, FRAME_S = 2.0, 5.0, 0.02
PAGE_S = ServingOptions().page_timeout
HOST, GUEST, SPACE = "10.91.17.1", "10.91.17.2", "tinyvla_page"


async def page(url: str, drives: bool, seconds: float) -> list[int]:
    """Be a page for some seconds; return how many pictures of each camera came."""
    import aiohttp
    parts = urlsplit(url)
    at, pictures = f"{parts.scheme}://{parts.netloc}", [0, 0]
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar) as session:
        async with session.get(url):
            pass
        async with session.ws_connect(f"{at}/page", headers={"Origin": at}) as socket:
            if drives:
                await socket.send_json({"do": "take"})
            begin_s = time.monotonic()

            heard = 0.0

            async def listen() -> None:
                nonlocal heard
                async for message in socket:
                    if message.type == aiohttp.WSMsgType.BINARY:
                        pictures[message.data[0]] += 1
                        await socket.send_json({"do": "seen", "pictures": 1})
                    elif state := json.loads(message.data).get("state"):
                        heard = state["sent"]

            listening = asyncio.create_task(listen())
            for frame in itertools.count():
                elapsed = time.monotonic() - begin_s
                if elapsed > seconds or listening.done():
                    break
                # Released for a while, then held; the first joint goes to and fro.
                way = (1 if frame // 20 % 2 else -1) * (0.99 if frame % 2 else 1.0)
                if drives:
                    await socket.send_json({
                        "do": "drive", "held": elapsed > 0.4, "heard": heard,
                        "axes": [way if elapsed > 0.6 else 0.0, *[0.0] * (AXES - 1)]})
                await asyncio.sleep(FRAME_S)
            listening.cancel()
    return pictures


def main() -> int:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--losses", type=int, default=50, help="of each kind")
    parser.add_argument("--browsers", type=int, default=10, help="that are killed")
    parser.add_argument("--nodes", type=int, default=10, help="that are killed; each takes 25 s")
    parser.add_argument("--minutes", type=float, default=30.0, help="with two pages")
    parser.add_argument("--page", metavar="URL", help="be a page that drives; for this program")
    options = parser.parse_args()
    if options.page:
        with contextlib.suppress(ConnectionError):  # its node is killed
            asyncio.run(page(options.page, True, 3600.0))
        return 0
    print_heading("A page for an arm", ["ros-jazzy-rclpy", "aiohttp"], losses=options.losses,
                  browsers=options.browsers, nodes=options.nodes, minutes=options.minutes)
    random.seed(0)
    if options.losses or options.browsers:
        print(markdown_table(("the arm holds after", "n", "answered", "p50 ms", "p99 ms",
                              "max ms"), losses(options)))
    if options.minutes:
        print(markdown_table(("", "value"), costs(options.minutes)))
    return 0


# ---- losses -------------------------------------------------------------------------------------

def losses(options: argparse.Namespace) -> list[list[str]]:
    """Return the rows of the first table."""
    rows: list[list[str]] = []

    def add(what: str, seconds: Iterable[float]) -> None:
        rows.append(latency_row(what, list(seconds)))
        print(*rows[-1], sep=", ", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as place, panel_rig(
            Path(place), arm={}, input_timeout=PAGE_INPUT_TIMEOUT_S) as rig:
        url, count = start_panel(rig, page_timeout=PAGE_S), range(options.losses)
        add("SIGKILL of the page's process",
            (lose(rig, url, lambda process: process.kill()) for _ in count))
        add("a page that is stopped (SIGSTOP)",
            (lose(rig, url, lambda process: process.send_signal(signal.SIGSTOP)) for _ in count))
        add("SIGKILL of the browser", itertools.islice(
            filter(None, (lose_browser(rig, url) for _ in itertools.count())), options.browsers))
        # The next one must wait until the one that was killed is forgotten, about 20 s.
        add("SIGKILL of panel_node", lose_node(rig, url, options.nodes))
        if os.geteuid() == 0 and options.losses:
            add("the network is cut off", lose_network(rig, options.losses))
        if rig.wrong:
            raise SystemExit(f"commands outside of the limits: {rig.wrong[:3]}")
    return rows


def start_page(url: str, *before: str) -> subprocess.Popen:
    """Start a page that takes the arm."""
    return subprocess.Popen([*before, sys.executable, __file__, "--page", url])


def drive(rig: TeleopRig) -> bool:
    """Wait until a page moves the arm; return whether it does.

    It does not while a panel_node that was killed is still taken for a second one.
    """
    if LOST in rig.status:
        rig.call("enable", SetBool.Request(data=True))
    deadline = time.monotonic() + DRIVES_S
    while rig.status != DRIVES and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(random.uniform(0.4, 0.8))
    return rig.status == DRIVES  # a pause of the machine may be taken for a loss


def until_hold(rig: TeleopRig, since_s: float) -> float | None:
    """Return seconds until the first hold after a steady time; infinite if none comes.

    None if the arm was held already: a pause of the machine was taken for a loss just before.
    """
    while time.monotonic() < since_s + WAIT_S:
        for command in rig.commands[-20:]:
            if command.is_hold and command.time_s > since_s:
                return command.time_s - since_s
        time.sleep(0.0005)
    moved = any(c.time_s > since_s for c in rig.commands[-20:])
    return float("inf") if moved or not rig.commands[-1].is_hold else None


def lose(rig: TeleopRig, url: str, cut, *before: str) -> float:
    """Let a page drive, cut it off and return seconds until the hold."""
    while True:
        process = start_page(url, *before)
        try:
            if not drive(rig):
                continue
            since_s = time.monotonic()
            cut(process)
            if (seconds := until_hold(rig, since_s)) is not None:
                return seconds
        finally:
            process.kill()
            process.wait()


def lose_browser(rig: TeleopRig, url: str) -> float | None:
    """The same with a browser."""
    from harness.browser import chromium, webdriver
    with chromium() as browser:
        browser.open(url)
        browser.wait("!document.querySelector('#take').disabled")
        browser.driver.execute_script("document.querySelector('#take').click()")
        browser.wait("!document.querySelector('#deadman').disabled")
        while True:
            webdriver.ActionChains(browser.driver).key_down(webdriver.Keys.SPACE).perform()
            if drive(rig):
                break
            webdriver.ActionChains(browser.driver).key_up(webdriver.Keys.SPACE).perform()
        tasks = Path(f"/proc/{browser.driver.service.process.pid}/task").glob("*/children")
        process = int(" ".join(task.read_text() for task in tasks).split()[0])
        since_s = time.monotonic()
        os.kill(process, signal.SIGKILL)
        return until_hold(rig, since_s)


def lose_node(rig: TeleopRig, url: str, count: int) -> Iterator[float]:
    """Yield seconds from SIGKILL of panel_node to the hold."""
    for _ in range(count):
        yield lose(rig, url, lambda process: rig.signal("panel_node", signal.SIGKILL))
        rig.processes["panel_node"].wait()
        url = start_panel(rig, page_timeout=PAGE_S)


def lose_network(rig: TeleopRig, count: int) -> Iterator[float]:
    """Yield seconds from the end of a network to the hold."""
    def ip(*arguments: str, check: bool = True) -> None:
        subprocess.run(["ip", *arguments], check=check, capture_output=not check)

    ip("netns", "delete", SPACE, check=False)
    ip("netns", "add", SPACE)
    try:
        ip("link", "add", "tv_host", "type", "veth", "peer", "name", "tv_page", "netns", SPACE)
        ip("address", "add", f"{HOST}/24", "dev", "tv_host")
        ip("-n", SPACE, "address", "add", f"{GUEST}/24", "dev", "tv_page")
        ip("-n", SPACE, "link", "set", "tv_page", "up")
        ip("link", "set", "tv_host", "up")
        rig.processes["panel_node"].send_signal(signal.SIGINT)
        rig.processes["panel_node"].wait()
        url = start_panel(rig, page_timeout=PAGE_S, host=HOST)
        for _ in range(count):
            yield lose(rig, url, lambda process: ip("link", "set", "tv_host", "down"),
                       "ip", "netns", "exec", SPACE)
            ip("link", "set", "tv_host", "up")
    finally:
        ip("netns", "delete", SPACE, check=False)


# ---- costs --------------------------------------------------------------------------------------

def costs(minutes: float) -> list[list[str]]:
    """Return the rows of the second table."""
    seconds, rows = 60.0 * minutes, []
    with tempfile.TemporaryDirectory() as place, panel_rig(
            Path(place), arm={"width": 640, "height": 480}, camera_rate=15.0) as rig:
        url = start_panel(rig, page_timeout=PAGE_S)
        rig.wait(lambda: rig.status == "running", "the policy")
        usage = Usage(rig.processes["panel_node"].pid)
        alone_s = min(seconds, 120.0)
        time.sleep(alone_s)
        rows += [["panel_node without pages", usage.take(alone_s)],
                 ["policy without pages", latency(rig)]]

        async def two() -> list[list[int]]:
            return await asyncio.gather(page(url, False, seconds), page(url, False, seconds))

        pictures = asyncio.run(two())
        rows += [["panel_node with two pages", usage.take(seconds)],
                 ["policy with two pages", latency(rig)],
                 ["pictures a second of each camera at each page", ", ".join(
                     f"{n / seconds:.1f}" for numbers in pictures for n in numbers)],
                 ["cameras, images/s", ", ".join(
                     rig.values.get(f"rate_hz camera/{n}", "?") for n in rig.contract.cameras)]]
    return rows


class Usage:
    """Processor time of a process."""

    def __init__(self, process: int):
        self._stat = Path(f"/proc/{process}/stat")
        self._last = self._read()

    def _read(self) -> float:
        fields = self._stat.read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")

    def take(self, seconds: float) -> str:
        """Return the share of a core since the last time."""
        before, self._last = self._last, self._read()
        return f"{100.0 * (self._last - before) / seconds:.1f} % of a core"


def latency(rig: TeleopRig) -> str:
    """Return the policy's latency from image to command."""
    return f"p50 {rig.values['total_ms_p50']}, p99 {rig.values['total_ms_p99']} ms"


if __name__ == "__main__":
    sys.exit(main())

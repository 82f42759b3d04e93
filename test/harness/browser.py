# SPDX-License-Identifier: Apache-2.0
"""A real headless browser for tests, driven by the DevTools protocol over pipes."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from contextlib import AbstractContextManager
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def find_chromium() -> str | None:
    """Return a browser of the Chromium family, None if there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser(AbstractContextManager):
    """One page in a headless Chromium.

    Attributes:
        problems: errors of scripts and messages of the console, except plain logs.
        requests: addresses asked for, data and blob URLs left out.

    Args:
        home: directory for its profile.
        width, height: of the window, CSS pixels.
        dark: preferred color scheme.
        phone: touch screen with two device pixels per CSS pixel.
    """

    def __init__(self, home: Path, width: int = 1280, height: int = 900, dark: bool = False,
                 phone: bool = False):
        self.problems: list[str] = []
        self.requests: list[str] = []
        self._next, self._buffer, self._answers = 0, b"", {}
        ours_in, theirs_out = os.pipe()
        theirs_in, ours_out = os.pipe()
        # It reads commands from 3 and writes to 4. A shell puts the pipes there: a preexec_fn
        # can hang in a process that has threads. Above 9 they are not in each other's way.
        low = [fcntl.fcntl(fd, fcntl.F_DUPFD, 20) for fd in (theirs_in, theirs_out)]
        self._process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{low[0]} 4>&{low[1]}', "bash",
             find_chromium(), "--headless=new", "--no-sandbox", "--disable-gpu",
             "--disable-dev-shm-usage", "--no-first-run", "--remote-debugging-pipe",
             "--autoplay-policy=no-user-gesture-required", f"--user-data-dir={home}",
             f"--window-size={width},{height}", "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=low)
        for fd in (theirs_in, theirs_out, *low):
            os.close(fd)
        self._in, self._out, self._session = ours_in, ours_out, ""
        try:
            self._begin(width, height, dark, phone)
        except BaseException:
            self.__exit__()
            raise

    def _begin(self, width: int, height: int, dark: bool, phone: bool) -> None:
        target = next(t for t in self._call("Target.getTargets")["targetInfos"]
                      if t["type"] == "page")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target,
                                   flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self._call(f"{domain}.enable")
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                   deviceScaleFactor=2 if phone else 1, mobile=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._call("Emulation.setEmulatedMedia", features=[scheme])

    def __exit__(self, *error) -> None:
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for fd in (self._in, self._out):
            os.close(fd)

    def open(self, path: Path, fragment: str = "") -> None:
        """Load a file and wait until its script is through."""
        self._call("Page.navigate", url=path.resolve().as_uri() + fragment)
        self.wait("document.readyState === 'complete' && document.documentElement.dataset.ready")

    def js(self, expression: str):
        """Return the value of an expression; promises are waited for."""
        answer = self._call("Runtime.evaluate", expression=expression, returnByValue=True,
                            awaitPromise=True, userGesture=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait(self, expression: str, seconds: float = 30.0) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + seconds
        while not self.js(f"!!({expression})"):
            if time.monotonic() > end:
                raise TimeoutError(f"{expression} did not become true in {seconds} s; "
                                   f"problems: {self.problems}")
            time.sleep(0.05)

    def click(self, selector: str, right: float = 0.5, down: float = 0.5) -> None:
        """Click into an element, ``right`` and ``down`` of its size from its corner."""
        self.js(f"document.querySelector({selector!r}).scrollIntoView({{block: 'center', "
                "behavior: 'instant'})")
        x, y, width, height = self.js(
            f"(r => [r.x, r.y, r.width, r.height])"
            f"(document.querySelector({selector!r}).getBoundingClientRect())")
        for kind in ("mousePressed", "mouseReleased"):
            self._call("Input.dispatchMouseEvent", type=kind, x=x + right * width,
                       y=y + down * height, button="left", clickCount=1)

    def key(self, key: str) -> None:
        """Press a key where the focus is."""
        for kind in ("keyDown", "keyUp"):
            self._call("Input.dispatchKeyEvent", type=kind, key=key, code=key)

    def screenshot(self, path: Path, whole: bool = False) -> None:
        """Save what is seen, or the whole page, as a PNG."""
        shot = self._call("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))

    def _call(self, method: str, **parameters) -> dict:
        self._next += 1
        number = self._next
        message = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + 60.0
        while number not in self._answers:
            if not select.select([self._in], [], [], max(0.0, end - time.monotonic()))[0]:
                raise TimeoutError(f"the browser does not answer {method}")
            data = os.read(self._in, 1 << 20)
            if not data:
                raise RuntimeError("the browser has ended")
            *messages, self._buffer = (self._buffer + data).split(b"\0")
            for text in messages:
                self._take(json.loads(text))
        answer = self._answers.pop(number)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def _take(self, message: dict) -> None:
        if "id" in message:
            self._answers[message["id"]] = message
            return
        method, parameters = message["method"], message["params"]
        if method == "Runtime.exceptionThrown":
            self.problems.append(str(parameters["exceptionDetails"]))
        elif method == "Log.entryAdded":
            self.problems.append(f"{parameters['entry']['level']}: {parameters['entry']['text']}")
        elif method == "Runtime.consoleAPICalled" and parameters["type"] != "log":
            self.problems.append(f"console.{parameters['type']}: {parameters['args']}")
        elif method == "Network.requestWillBeSent":
            url = parameters["request"]["url"]
            if not url.startswith(("data:", "blob:")):
                self.requests.append(url)

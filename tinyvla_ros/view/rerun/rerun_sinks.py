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

"""Where a Rerun viewer's data goes: a file, or a server that keeps it for those who connect."""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import rerun as rr
import rerun_cli

from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.parent import terminate_with_parent
from tinyvla_ros.view.address import check_free, url_host
from tinyvla_ros.view.rerun.rerun_viewer import RerunViewer
from tinyvla_ros.view.viewer import Limits

_APPLICATION = "tinyvla"
# Longest wait for the server, s; and for it to end.
_START_S, _END_S = 30.0, 5.0


@contextmanager
def rerun_file(path: Path, limits: dict[str, Limits]) -> Iterator[RerunViewer]:
    """Write an .rrd file, complete at the end, with the layout in it."""
    recording = rr.RecordingStream(_APPLICATION)
    recording.save(path)
    try:
        yield (viewer := RerunViewer(recording, limits))
        viewer.flush()
    finally:
        recording.disconnect()


@contextmanager
def rerun_server(limits: dict[str, Limits], host: str, port: int, web_port: int, memory_mb: int
                 ) -> Iterator[tuple[RerunViewer, Sequence[str]]]:
    """Serve what is viewed, and Rerun's viewer for a browser; gives lines that say how to connect.

    It is Rerun's own program: the server inside the library listens on every address of the
    machine, whatever is wanted.
    """
    check_free(host, port, "--port")
    check_free(host, web_port, "--web-port")
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [str(Path(rerun_cli.__file__).with_name("rerun")), "--serve-web", "--bind", host,
             "--port", str(port), "--web-viewer-port", str(web_port),
             "--server-memory-limit", f"{memory_mb}MB"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            # Ctrl-C is for this process, which then ends that one.
            start_new_session=True, preexec_fn=terminate_with_parent)
        recording = None
        try:
            _wait_until_it_listens(process, log, host, port)
            url = f"rerun+http://{url_host(host)}:{port}/proxy"
            recording = rr.RecordingStream(_APPLICATION)
            recording.connect_grpc(url)
            yield RerunViewer(recording, limits), (
                f"browser: http://{url_host(host)}:{web_port}/?url={quote(url, safe='')}",
                f"Rerun:   rerun {url}")
        finally:
            if recording is not None:
                recording.disconnect()
            process.terminate()
            try:
                process.wait(_END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_until_it_listens(process: subprocess.Popen, log, host: str, port: int) -> None:
    end = time.monotonic() + _START_S
    while time.monotonic() < end and process.poll() is None:
        try:
            with socket.create_connection((url_host(host).strip("[]"), port), 1.0):
                return
        except OSError:
            time.sleep(0.05)
    log.seek(0)
    said = log.read().decode(errors="replace").strip().splitlines() or ["nothing"]
    raise InputError(f"Rerun's server does not start on {host}, port {port} (it says "
                     f"{said[-1]!r}); give another --port and --web-port, or use --save.")

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

"""What Rerun gets of a bag: a file that its own reader reads, and a server."""

from __future__ import annotations

import signal
import socket
import sys
from collections import defaultdict

import pytest

from harness.bags import chunk_rows, lockstep, write
from harness.processes import Output, start
from tinyvla_ros.cli.main import run_command

pytest.importorskip("rerun", reason="needs rerun-sdk: pip install 'tinyvla_ros[rerun]'")


def test_a_file_has_images_values_plans_limits_and_the_layout(tmp_path, capsys):
    chunk = pytest.importorskip("rerun.chunk", reason="needs a rerun-sdk that reads files")
    bag, out = write(tmp_path / "bag", lockstep(4)), tmp_path / "view.rrd"
    assert run_command(["view", "--rerun", str(bag), "--save", str(out)]) == 0
    assert f"rerun {out}" in capsys.readouterr().out
    reader = chunk.RrdReader(out)
    assert len(reader.recordings()) == 1 and reader.blueprints()
    rows: dict[str, list[tuple]] = defaultdict(list)
    for part in reader.stream().to_chunks():
        if part.is_static:
            continue
        table = part.to_record_batch()
        component = next((n for n in table.schema.names
                          if n.startswith(("Scalars:", "EncodedImage:blob"))), None)
        if component:
            times = table.column("time").to_numpy().astype(int).tolist()
            rows[str(part.entity_path)] += zip(times, table.column(component).to_pylist(),
                                               strict=True)
    assert len(rows["/cameras/front"]) == len(rows["/cameras/wrist"]) == 4
    assert [v[0] for _, v in sorted(rows["/channels/dx/command"])] == pytest.approx(
        [float(v) for i in range(3) for v in chunk_rows(i)[:4, 0]])
    assert {v[0] for _, v in rows["/channels/dx/high"]} == {1.0}
    plans = [path for path in rows if path.startswith("/channels/dx/plan/")]
    # Three chunks of eight rows, each of which begins before the one before it is over.
    assert len(plans) == 2 or len(plans) == 3
    assert [v[0] for _, v in sorted(rows["/channels/dx/plan/0"])][:8] == pytest.approx(
        chunk_rows(0)[:, 0].tolist())
    joints = [v[0] for _, v in sorted(rows["/joints/joint_1"])]
    assert joints == [0.0, 1.0, 2.0, 3.0]


def test_a_server_listens_on_this_machine_alone_until_it_is_interrupted(tmp_path, free_port):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        web_port = probe.getsockname()[1]
    bag = write(tmp_path / "bag", lockstep(4))
    process = start(sys.executable, "-m", "tinyvla_ros.cli", "view", "--rerun", str(bag),
                    "--port", str(free_port), "--web-port", str(web_port))
    output = Output(process)
    output.wait_for("Ctrl-C ends it.")
    assert f"rerun rerun+http://127.0.0.1:{free_port}/proxy" in output.text
    for port in (free_port, web_port):
        socket.create_connection(("127.0.0.1", port), 10).close()
        with socket.socket() as other:  # of another address of this machine
            other.bind(("127.0.0.2", port))
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", free_port), 10)

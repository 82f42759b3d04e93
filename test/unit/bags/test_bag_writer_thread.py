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

"""Messages on their way to the disk: bounded, counted, and kept when the process is killed."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from harness.recordings import raw, texts_in, writer_for
from harness.ros_messages import STORE
from tinyvla_ros.bags.reader import Bag
from tinyvla_ros.bags.recorded_message import as_jpeg
from tinyvla_ros.bags.recover import recover
from tinyvla_ros.bags.writer import BagWriter
from tinyvla_ros.bags.writer_thread import WriterThread
from tinyvla_ros.core.errors import InputError, MessageError


def test_an_episode_is_written_whole(tmp_path):
    writer = writer_for(tmp_path)
    writer.begin(0, "episode", {"task": "t"})
    for i in range(100):
        writer.write(0, raw(str(i), i))
    writer.end(0, {"outcome": "success"})
    writer.close()
    assert writer.take_finished() == [tmp_path / "episode"]
    assert texts_in(tmp_path / "episode", "/a") == [str(i) for i in range(100)]
    with Bag(tmp_path / "episode") as bag:
        assert bag.custom == {"task": "t", "outcome": "success"}
    assert writer.recorded == {"/a": 100}
    assert writer.buffered == 0


def test_nothing_is_overwritten(tmp_path):
    for text in ("first", "second"):
        writer = writer_for(tmp_path)
        writer.begin(0, "episode", {})
        writer.write(0, raw(text))
        writer.end(0, {})
        writer.close()
    assert texts_in(tmp_path / "episode", "/a") == ["first"]
    assert texts_in(tmp_path / "episode-2", "/a") == ["second"]


def test_messages_beyond_the_buffer_are_dropped_and_counted(tmp_path, monkeypatch):
    free, write = threading.Event(), BagWriter.write

    def stuck(*arguments) -> None:
        free.wait(60.0)
        write(*arguments)
    monkeypatch.setattr(BagWriter, "write", stuck)
    writer = writer_for(tmp_path, buffer_bytes=10_000)
    writer.begin(0, "episode", {})
    text = "x" * 1000
    for i in range(20):
        writer.write(0, raw(text, i))
    free.set()
    writer.end(0, {})
    writer.close()
    kept = len(texts_in(tmp_path / "episode", "/a"))
    assert 0 < kept < 10
    assert writer.dropped["/a"] == 20 - kept
    with Bag(tmp_path / "episode") as bag:
        assert bag.custom["dropped /a"] == str(20 - kept)


def record(writer, key: int, text: str) -> None:
    writer.begin(key, "episode", {})
    writer.write(key, raw(text))
    writer.end(key, {"outcome": "success"})


def test_discarded_bags_are_moved_whole_and_overwrite_nothing(tmp_path):
    writer = writer_for(tmp_path)
    for key in range(3):
        record(writer, key, str(key))
        if key < 2:
            writer.discard(key)
    writer.close()
    moved = [tmp_path / "discarded" / name for name in ("episode", "episode-2")]
    assert writer.take_discarded() == moved
    assert [texts_in(p, "/a") for p in (*moved, tmp_path / "episode")] == [["0"], ["1"], ["2"]]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["discarded", "episode"]


def test_a_bag_that_cannot_be_moved_stays_and_it_is_said(tmp_path):
    (tmp_path / "discarded").write_text("a file in the way")
    writer = writer_for(tmp_path)
    record(writer, 0, "x")
    writer.discard(0)
    record(writer, 1, "y")
    writer.close()
    assert f"{tmp_path / 'episode'} was discarded and could not be moved" in writer.failure
    assert texts_in(tmp_path / "episode", "/a") == ["x"]
    assert texts_in(tmp_path / "episode-2", "/a") == ["y"], "the next ones are recorded"


def test_an_episode_that_a_full_disk_ended_can_be_discarded(tmp_path):
    writer = writer_for(tmp_path, min_free_bytes=1 << 62)
    writer.begin(0, "episode", {})
    writer.write(0, raw("x"))
    deadline = time.monotonic() + 60.0
    while not writer.failure:
        assert time.monotonic() < deadline, "the disk space was never checked"
        os.sched_yield()
    writer.end(0, {"outcome": "discarded"})
    writer.discard(0)
    writer.close()
    (path,) = writer.take_discarded()
    assert path.parent.name == "discarded"
    with Bag(path) as bag:
        assert bag.custom["outcome"] == "cut short"


CHILD = """
import resource, signal, sys, time
from pathlib import Path
from harness.recordings import raw, writer_for
{limit}
writer = writer_for(Path(sys.argv[1]))
writer.begin(0, "episode", {{"task": "t"}})
i = 0
while i < {count}:
    writer.write(0, raw(f"{{i:09d}}" * 100, i))
    i += 1
    if i % 10 == 0:
        print(i, time.monotonic(), flush=True)
        time.sleep(0.002)
writer.end(0, {{"outcome": "success"}})
writer.close()
print(writer.failure)
"""


def child(out: Path, count: int, limit: str = "") -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", CHILD.format(limit=limit, count=count), out],
                            stdout=subprocess.PIPE, text=True,
                            cwd=Path(__file__).parents[2])


@pytest.mark.parametrize("after", [0.05, 0.7, 1.3])
def test_a_kill_costs_less_than_a_second(tmp_path, after):
    process = child(tmp_path, 10**9)
    written = [tuple(map(float, process.stdout.readline().split()))]
    while time.monotonic() < written[0][1] + after:
        written.append(tuple(map(float, process.stdout.readline().split())))
    process.send_signal(signal.SIGKILL)
    killed = time.monotonic()
    process.wait()
    written += [tuple(map(float, line.split())) for line in process.stdout if line.count(".") == 1]
    process.stdout.close()
    needed = max((n for n, t in written if t < killed - 1.0), default=0)
    if not needed:
        assert (tmp_path / "episode").is_dir()
        return
    recovered = recover(tmp_path / "episode", tmp_path / "out")
    texts = texts_in(recovered.path, "/a")
    assert texts == [f"{i:09d}" * 100 for i in range(len(texts))]
    assert len(texts) >= needed


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="needs limits on file sizes")
def test_a_full_disk_ends_the_episode_with_a_message(tmp_path):
    limit = ("signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
             "resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))")
    process = child(tmp_path, 5000, limit)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "tinyvla bag recover" in output
    recovered = recover(tmp_path / "episode", tmp_path / "out")
    assert recovered.messages > 1000


def test_a_disk_that_is_nearly_full_ends_the_episode_with_a_complete_bag(tmp_path):
    writer = writer_for(tmp_path, min_free_bytes=1 << 62)
    writer.begin(0, "episode", {})
    for i in range(50):
        writer.write(0, raw(str(i), i))
    deadline = time.monotonic() + 60.0
    while not writer.failure:
        assert time.monotonic() < deadline, "the disk space was never checked"
        os.sched_yield()
    writer.end(0, {"outcome": "success"})
    writer.close()
    assert "min_free_mb" in writer.failure
    with Bag(tmp_path / "episode") as bag:
        assert bag.custom["outcome"] == "cut short"


def test_a_directory_that_cannot_be_created_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="choose a writable directory"):
        WriterThread(tmp_path / "file" / "episodes")


@pytest.mark.parametrize("encoding", ["rgb8", "yuv422_yuy2"])
def test_images_become_jpeg(encoding):
    types = STORE.types
    image = np.zeros((48, 64, 3), np.uint8)
    image[:, :, 0] = 200  # red
    pixels = np.tile(np.array([67, 98, 67, 216], np.uint8), (48, 32)) \
        if encoding == "yuv422_yuy2" else image
    stamp = types["builtin_interfaces/msg/Time"](sec=5, nanosec=6)
    msg = types["sensor_msgs/msg/Image"](
        header=types["std_msgs/msg/Header"](stamp=stamp, frame_id="camera"), height=48, width=64,
        encoding=encoding, is_bigendian=0, step=pixels.size // 48, data=pixels.reshape(-1))
    data = bytes(STORE.serialize_cdr(msg, "sensor_msgs/msg/Image"))
    jpeg = STORE.deserialize_cdr(as_jpeg(data, 90), "sensor_msgs/msg/CompressedImage")
    from tinyvla_ros.core.ros.messages import image_to_array
    assert (jpeg.header.stamp.sec, jpeg.header.frame_id) == (5, "camera")
    # What other readers decode it to.
    assert jpeg.format == "rgb8; jpeg compressed bgr8"
    np.testing.assert_allclose(image_to_array(jpeg).astype(int), image, atol=6)
    assert len(jpeg.data) < len(data) / 4
    with pytest.raises(MessageError, match="sensor_msgs/Image"):
        as_jpeg(b"\x00\x01\x00\x00rubbish", 90)

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

"""The episode report shows what happened, whatever a bag has and lacks."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import av
import numpy as np
import pytest

from harness.recorded_episodes import (
    CLOCK,
    CUSTOM,
    START_NS,
    STATUS,
    chunk,
    compressed,
    episode_messages,
    image,
    joints,
    policy,
    status,
    write,
    write_run,
)
from harness.ros_messages import make, time
from tinyvla_ros.arm.contract_streams import JOINT_STATE
from tinyvla_ros.bags.definitions import definition
from tinyvla_ros.bags.metadata import TopicMetadata
from tinyvla_ros.bags.reader import Bag
from tinyvla_ros.bags.writer import BagWriter
from tinyvla_ros.cli.main import run_command
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.ros.shown_trajectory import chunk_of
from tinyvla_ros.core.ros.topic_names import camera_name
from tinyvla_ros.report.episode_data import read_episode
from tinyvla_ros.report.film import ImageStore, make_film
from tinyvla_ros.report.page import histogram


def report(tmp_path: Path, bags: Path, *more: str) -> tuple[int, str]:
    out = tmp_path / "report.html"
    code = run_command(["bag", "report", str(bags), "--out", str(out), *more])
    return code, out.read_text(encoding="utf-8")


def read(path: Path):
    with Bag(path) as bag:
        return read_episode(bag)


def plots(html: str) -> list[dict]:
    return [json.loads(text) for text in
            re.findall(r'<script type="application/json" class="data">(.*?)</script>', html)]


def test_failures_come_first_and_are_linked(tmp_path, capsys):
    code, html = report(tmp_path, write_run(tmp_path / "run"))
    assert code == 0
    assert all(words in html for words in ("2 episodes", "1 succeeded", "1 failed", "1 more"))
    link, = re.findall(r'<a href="#(episode-\d+)">seed 1: failure</a>', html)
    first = html.index('<details class="episode')
    assert html.index(f'id="{link}"') == html.index("id=", first)
    assert html.index("0001_lift_seed1</strong>") < html.index("0000_lift_seed0</strong>")
    assert "9-91 %" in html  # Wilson, 1 of 2
    assert "7 / 0" in html  # lost / dropped
    assert "0002_lift_seed2" in capsys.readouterr().err
    for camera in ("front", "wrist"):
        assert len(re.findall(f'alt="{camera} camera at', html)) == 2 * 8
    assert html.count('class="video"') == 2


def test_the_page_loads_nothing_and_runs_only_its_own_script(tmp_path):
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
    bag = write(tmp_path / "bag", [*episode_messages(), (
        "/diagnostics", START_NS + 1_900_000_000, policy("holding", {f"hold {evil}": 1}, evil))],
        {**CUSTOM, "task": evil, "instruction": evil, "outcome": evil})
    _, html = report(tmp_path, bag)
    assert "<script>alert" not in html
    assert "<img src=x" not in html
    assert "default-src 'none'" in html
    assert re.search(r"script-src 'sha256-[\w+/=]{44}'", html)
    assert not re.findall(r'(?:src|href)="(?!data:|#)', html)
    assert plots(html)[0]["states"][-1][2] == evil


def test_seams_latency_and_events_are_where_they_happened(tmp_path):
    data = read(write(tmp_path / "bag", episode_messages(latency_ms=30.0), CUSTOM))
    assert data.duration_s == pytest.approx(1.95)
    assert len(data.chunks) == 10
    assert data.latency_ms == pytest.approx([30.0] * 10)
    # Chunks rise by 0.05 an image and by 0.01 a row: four rows on, the old one lacks 0.16.
    seams = [c.seam for c in data.chunks]
    assert seams[0] is None
    assert seams[1:] == pytest.approx([0.16 / 4.0] * 9, abs=1e-6)
    assert [c.t for c in data.chunks] == pytest.approx([0.2 * i + 0.03 for i in range(10)])
    assert data.chunks[1].begin == pytest.approx(0.2)
    assert data.units == {"lift": "cm"}
    events = [(e.t, e.kind, e.text) for e in data.events]
    assert events == [(0.5, "intervention", "velocity lift (2 times)"),
                      (1.0, "state", "holding: front is stale"), (1.0, "hold", "stale"),
                    (1.4, "state", "running")]
    assert [s[:2] for s in data.states] == [(0.0, "running"), (1.0, "holding"), (1.4, "running")]


def test_a_hold_is_no_seam_and_has_no_latency(tmp_path):
    messages = [m for m in episode_messages() if m[0] != "/action_chunk"]
    for s, instruction in ((0.0, "lift it"), (0.1, ""), (0.2, "lift it")):
        at = START_NS + round(s * 1e9)
        messages.append(("/action_chunk", at, chunk(at, [s] * 10, instruction)))
    data = read(write(tmp_path / "bag", messages, CUSTOM))
    assert [c.hold for c in data.chunks] == [False, True, False]
    assert [c.seam for c in data.chunks] == [None, None, None]
    assert [c.latency_ms for c in data.chunks] == [0.0, None, 0.0]


def test_values_that_are_no_numbers_are_gaps(tmp_path):
    messages = [m for m in episode_messages() if m[0] != "/action_chunk"]
    for s, values in ((0.0, [1.0] * 10), (0.1, [float("nan")] * 10)):
        at = START_NS + round(s * 1e9)
        messages.append(("/action_chunk", at, chunk(at, values)))
    _, html = report(tmp_path, write(tmp_path / "bag", messages, CUSTOM))
    shown = plots(html)[0]["chunks"][1]
    assert "NaN" not in json.dumps(shown)
    assert (shown["seam"], shown["rows"][0]) == (None, [None])


def test_latency_of_trajectories_is_that_of_the_policys_chunks(tmp_path):
    messages = []
    for topic, log, message in episode_messages():
        if topic == "/action_chunk":  # an arm gets trajectories that begin a little later
            messages.append(("/policy_node/chunk", log, message))
            topic, log, message = "/arm/joint_trajectory", log + 1_000_000, chunk(
                log + 20_000_000, [0.0, 1.0, 2.0], "")
        messages.append((topic, log, message))
    data = read(write(tmp_path / "bag", messages, CUSTOM))
    assert [c.t for c in data.chunks] == pytest.approx([0.2 * i + 0.05 for i in range(10)])
    assert not any(c.hold for c in data.chunks)
    assert data.latency_ms == pytest.approx([30.0] * 10)


def test_a_trajectory_that_goes_on_with_the_one_before_is_shown_from_its_own_rows():
    """Points of the plan before come at other times, and a hold stays on at its end."""
    at_ms, values = [0, 7, 40, 60, 80, 280], [9.0, 9.0, 1.0, 2.0, 3.0, 3.0]
    msg = chunk(START_NS, values, "")
    for point, ms in zip(msg.points, at_ms, strict=True):
        point.time_from_start.sec, point.time_from_start.nanosec = 0, ms * 1_000_000
    shown, hold = chunk_of(msg)
    assert hold
    assert shown.actions[:, 0].tolist() == [1.0, 2.0, 3.0]
    assert shown.dt == 0.02
    assert shown.stamp_ns == START_NS + 20_000_000


def test_lockstep_is_shown_in_simulation_time(tmp_path):
    messages = []
    for i in range(10):  # 50 ms of simulation take 400 ms
        log, stamp = START_NS + i * 400_000_000, 10_000_000_000 + i * 50_000_000
        messages += [("/clock", log, make(CLOCK, clock=time(stamp))),
                     ("/camera/front/image_raw", log + 1, image(stamp, 10 * i)),
                     ("/action_chunk", log + 300_000_000, chunk(stamp, [0.1 * i] * 4))]
    lockstep = make("diagnostic_msgs/msg/DiagnosticArray", header=policy("x").header,
                    status=[status("bridge: simulation", "", {"mode": "lockstep"})])
    data = read(write(tmp_path / "bag", [*messages, ("/diagnostics", START_NS, lockstep)], CUSTOM))
    assert data.duration_s == pytest.approx(0.45)
    assert [c.t for c in data.chunks] == pytest.approx([0.05 * i for i in range(10)])
    assert data.latency_ms == pytest.approx([300.0] * 10, abs=0.01)


def test_the_policy_of_another_namespace_is_not_shown(tmp_path):
    array = make("diagnostic_msgs/msg/DiagnosticArray", header=policy("x").header, status=[
        status(f"{robot}/policy_node: policy", state, {"state": state})
        for robot, state in (("left", "running"), ("left_2", "stopped"), ("right", "stopped"))])
    data = read(write(tmp_path / "bag", [*episode_messages(), (
        "/diagnostics", START_NS + 1_900_000_000, array)], {**CUSTOM, "namespace": "/left"}))
    assert [state for _, state, _ in data.states] == ["running"]


def test_receive_times_replace_stamps_that_jump(tmp_path):
    messages = [("/joint_states", START_NS + i * 10_000_000,
                 joints(START_NS + (i if i < 50 else i - 90) * 10_000_000, 0.1))
                for i in range(100)]
    data = read(write(tmp_path / "bag", messages))
    assert data.notes[0] == ("Times are receive times, because the stamps of /joint_states go "
                             "back by 0.9 s.")
    assert data.duration_s == pytest.approx(0.99)


@pytest.mark.parametrize(("kept", "missing"), [
    (("/joint_states", "/diagnostics"), ("images", "action chunks")),
    (("/camera/front/image_raw",), ("joint states", "action chunks", "diagnostics of a policy")),
    (("/diagnostics",), ("images", "joint states", "action chunks"))])
@pytest.mark.parametrize("sqlite", [False, True])
def test_the_page_names_what_a_bag_lacks(tmp_path, kept, missing, sqlite):
    messages = [m for m in episode_messages() if m[0] in kept]
    code, html = report(tmp_path, write(tmp_path / "bag", messages, sqlite=sqlite))
    assert code == 0
    for what in missing:
        assert f"The bag has no {what}." in html
    assert "1 with unknown outcome" in html
    assert "task unknown" in html


def test_an_empty_bag_and_a_bag_of_others_are_shown(tmp_path):
    write(tmp_path / "run" / "empty", [])
    others = make("std_msgs/msg/String", data="hello")
    write(tmp_path / "run" / "others", [("/chatter", START_NS, others)])
    code, html = report(tmp_path, tmp_path / "run")
    assert code == 0
    assert "no messages" in html
    assert re.search("receive times.* stamp", html)


def test_compressed_and_unreadable_images(tmp_path):
    messages = []
    for i in range(20):
        at = START_NS + i * 50_000_000
        messages += [("/camera/front/image_raw/compressed", at, compressed(at, 10 * i)),
                     ("/depth/image", at, image(at, 1, encoding="64FC3"))]
    _, html = report(tmp_path, write(tmp_path / "bag", messages))
    assert html.count('alt="front camera at') == 8
    assert html.count('class="video"') == 1
    assert re.search("20 images .*/depth/image", html)


def test_the_outcome_is_that_of_the_episode_topic_where_metadata_has_none(tmp_path):
    begin = status("bridge: episode", "begin", {"task": "lift", "seed": 4})
    end = status("bridge: episode", "end", {"success": True, "steps": 9})
    assert begin.__msgtype__ == STATUS
    messages = [("/episode", START_NS, begin), *episode_messages(),
                ("/episode", START_NS + 1_950_000_000, end)]
    data = read(write(tmp_path / "one", messages))
    assert (data.outcome, data.custom["task"], data.custom["steps"]) == ("success", "lift", "9")
    again = [("/episode", START_NS + 1_960_000_000, begin)]
    data = read(write(tmp_path / "two", [*messages, *again]))
    assert data.outcome == "unknown"
    assert any("2 episodes" in note for note in data.notes)


def test_a_video_shows_the_newest_image_of_every_camera(tmp_path):
    with Bag(write(tmp_path / "bag", episode_messages(), CUSTOM)) as bag, ImageStore() as store:
        data = read_episode(bag, store)
        made = make_film(store, data.cameras, data.duration_s, 5, 2_000_000)
    assert made.fps == 20
    assert made.cameras == ["front", "wrist"]
    assert [round(t, 2) for t, _ in made.strips["front"]] == [0.0, 0.45, 0.95, 1.45, 1.95]
    with av.open(io.BytesIO(made.video)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"  # what every browser plays
        frames = [(f.time, f.to_ndarray(format="rgb24")) for f in container.decode(stream)]
    assert [t for t, _ in frames] == pytest.approx(np.arange(40) / 20)
    assert frames[0][1].shape == (48, 128, 3)
    shades = [f.mean() for _, f in frames]
    assert np.abs(np.array(shades) - (20 + 4 * np.arange(40))).max() < 6


def test_every_bag_is_read_once(tmp_path, monkeypatch):
    write_run(tmp_path / "run")
    read_bags, messages = [], Bag.messages
    monkeypatch.setattr(Bag, "messages", lambda bag, *topics: (
        read_bags.append(bag.name), messages(bag, *topics))[1])
    report(tmp_path, tmp_path / "run")
    assert sorted(read_bags) == ["0000_lift_seed0", "0001_lift_seed1"]


def test_no_more_images_are_kept_than_a_video_shows(tmp_path):
    messages = [("/camera/front/image_raw", START_NS + i * 10_000_000,
                 image(START_NS + i * 10_000_000, i)) for i in range(100)]
    with Bag(write(tmp_path / "bag", messages)) as bag, ImageStore() as store:
        data = read_episode(bag, store)
        made = make_film(store, data.cameras, data.duration_s, 3, 1_000_000)
    assert len(data.cameras[0].times) == 100
    assert 25 <= len(data.cameras[0].kept) <= 34
    assert made.fps == 30
    assert [t for t, _ in made.strips["front"]] == pytest.approx([0.0, 0.49, 0.99], abs=0.04)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_costs_the_images_only(tmp_path, monkeypatch):
    monkeypatch.setattr("tinyvla_ros.report.film.TemporaryFile",
                        lambda buffering: open("/dev/full", "w+b", buffering))  # noqa: SIM115
    code, html = report(tmp_path, write(tmp_path / "bag", episode_messages(), CUSTOM))
    assert code == 0
    assert "80 messages could not be read: The disk of" in html
    assert "TMPDIR" in html
    assert 'class="video"' not in html


def test_a_page_stays_below_its_size_and_names_what_it_lacks(tmp_path):
    rng = np.random.default_rng(0)
    messages = []
    for i in range(40):  # noise compresses worst
        at = START_NS + i * 50_000_000
        noisy = image(at, 0, (240, 320))
        noisy.data = rng.integers(0, 256, noisy.data.shape, np.uint8)
        messages.append(("/camera/front/image_raw", at, noisy))
    for seed in range(3):
        write(tmp_path / "run" / f"{seed}", messages,
              {**CUSTOM, "seed": str(seed), "outcome": "failure" if seed == 2 else "success"})
    sizes = []
    for limit in (10.0, 0.5, 0.2):
        _, html = report(tmp_path, tmp_path / "run", "--max-mb", str(limit))
        sizes.append(len(html.encode()))
        assert sizes[-1] < limit * 1e6
    assert sizes[0] > sizes[1] > sizes[2]
    assert re.search(r"0\.2 MB.*--max-mb.* 2, 0, 1", html)


def test_a_histogram_has_all_values_and_round_ticks():
    shown = histogram([20.0] * 50 + [30.0] * 100 + [90.0])
    assert shown["ticks"] == ["0", "15", "30", "45", "60 ms and more"]
    heights = [height for height, _ in shown["bars"]]
    assert [i for i, h in enumerate(heights) if h] == [10, 16, 31]
    assert (heights[10], heights[16], heights[31]) == (50.0, 100.0, 1.0)
    assert "151 chunks: p50 30 ms" in shown["text"]
    assert histogram([]) is None
    assert histogram([0.0])["ticks"][-1] == "1.2 ms"


def test_only_so_many_episodes_are_shown_in_detail(tmp_path):
    for seed in range(3):
        write(tmp_path / "run" / f"{seed}", episode_messages(0.5),
              {**CUSTOM, "seed": str(seed), "outcome": "aborted" if seed == 1 else "success"})
    _, html = report(tmp_path, tmp_path / "run", "--episodes", "1")
    assert re.search("2 episodes .*--episodes", html)
    assert html.count('<details class="episode') == 1
    assert 'href="#episode-1">seed 1: aborted</a>' in html
    assert "3 episodes" in html


def test_invalid_options_are_one_sentence(tmp_path):
    bag = write(tmp_path / "bag", episode_messages(0.2), CUSTOM)
    for more, sentence in ((("--max-mb", "0"), "--max-mb is 0"),
                           (("--episodes", "0"), "--episodes is 0")):
        with pytest.raises(InputError, match=sentence):
            report(tmp_path, bag, *more)
    (tmp_path / "report.html").write_text("my thesis")
    with pytest.raises(InputError, match="is not a report"):
        report(tmp_path, bag)
    assert (tmp_path / "report.html").read_text() == "my thesis"
    (tmp_path / "report.html").unlink()
    (tmp_path / "report.html").mkdir()
    with pytest.raises(InputError, match="is a directory"):
        report(tmp_path, bag)


def test_a_run_of_damaged_bags_has_a_page_and_an_error(tmp_path):
    bag = write(tmp_path / "run" / "bag", episode_messages(0.5), CUSTOM)
    file = next(bag.glob("*.mcap"))
    file.write_bytes(file.read_bytes()[:3000])
    code, html = report(tmp_path, tmp_path / "run")
    assert code == 1
    assert "tinyvla bag recover" in html
    report(tmp_path, tmp_path / "run")  # a page of ours is written anew


@pytest.mark.parametrize(("topic", "name"), [
    ("/camera/front/image_raw", "front"), ("/left/camera/front/image_raw/compressed",
                                           "left/front"),
    ("/wrist_cam/color/image_raw", "wrist_cam/color"), ("/images", "images")])
def test_camera_names_come_from_topics(topic, name):
    assert camera_name(topic) == name


def test_a_page_does_not_tell_where_bags_and_checkpoints_were(tmp_path):
    run = write_run(tmp_path / "private" / "run")
    write(run / "0003", episode_messages(0.5), {**CUSTOM, "checkpoint": "/home/me/checkpoint"})
    writer = BagWriter(run / "0004", CUSTOM)
    writer.add_topic(TopicMetadata("/joint_states", JOINT_STATE, definition(JOINT_STATE)))
    writer.write("/joint_states", START_NS, START_NS, b"\0\1\0\0 not a joint state")
    writer.close()
    _, html = report(tmp_path, run)
    assert "tinyvla bag recover 0002_lift_seed2" in html
    assert f"0004: a message of /joint_states is not a {JOINT_STATE}" in html
    assert str(tmp_path) not in html
    assert "/home/me" not in html

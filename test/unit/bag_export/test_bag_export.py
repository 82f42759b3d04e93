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

"""Which bags become a dataset, why others do not, and that the result is always the same."""

from __future__ import annotations

import json
import re
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer

from harness import bags
from harness.bags import SIM_NS, SIZE, WALL_NS, WORDS
from harness.ros_messages import STORE
from tinyvla_ros.bags.reader import Bag
from tinyvla_ros.core.errors import InputError
from training.bag_export import episode as bag_episode
from training.bag_export import export as bag_export
from training.bag_export.episode import export_episode
from training.data.lerobot import video
from training.data.lerobot.reader import read_tables
from training.data_check.check import check

DT_NS = 12_500_000


def test_failures_are_left_out_and_a_bad_bag_does_not_stop_the_others(tmp_path, capsys):
    folder = tmp_path / "bags"
    bags.write(folder / "a_good", bags.lockstep(10))
    bags.write(folder / "b_failed", bags.lockstep(10), bags.custom(outcome="failure"))
    bags.write(folder / "c_two", bags.lockstep(10),
               publishers={"/camera/front/image_raw": 2})
    bags.write(folder / "d_other", bags.lockstep(10), bags.custom(task="other"))
    (folder / "e_cut").mkdir()
    (folder / "e_cut" / "e_cut_0.mcap").write_bytes(b"\x89MCAP0\r\n")
    (folder / "notes.txt").write_text("mine")
    assert bags.export(tmp_path / "data", folder, "--tasks", "push") == 1
    output = capsys.readouterr().out
    assert "left out: " in output
    assert "its outcome is failure" in output
    assert re.search("2 publishers .*/camera/front/image_raw", output)
    assert "its task is other" in output
    assert "'tinyvla bag recover" in output
    assert f"passed over, no bags: {folder}/notes.txt" in output
    assert len(bags.load(tmp_path / "data").starts) == 1
    assert bags.export(tmp_path / "all", folder, "--outcome", "all") == 1
    assert len(bags.load(tmp_path / "all").starts) == 3


def _go_back(sent):
    log = WALL_NS + 3 * 200_000_000
    return [*sent, bags.image("front", SIM_NS + DT_NS, 0, log)]


def _jump_ahead(sent):
    last = max(s.log_ns for s in sent)
    return [*sent, *(s for i in range(5) for s in _observation(SIM_NS + 10**15 + i * 50_000_000,
                                                               last + i * 1000 + 1000))]


def _overlapping_joints(sent):
    joint = next(s for s in sent if s.topic == "/joint_states")
    return [*sent, bags.joints(bags.stamp_of(joint), {"joint_2": 0.0, "other": 0.0},
                               joint.log_ns)]


def _wrong_type(sent):
    kind = "std_msgs/msg/String"
    return [*(s for s in sent if s.topic != "/ee_pose"),
            bags.Sent("/ee_pose", kind, WALL_NS, bags.make(kind, data="not a pose"))]


def _two_seconds_of_nanoseconds(sent):
    """Such a stamp would lie two seconds later."""
    joint = next(s for s in sent if s.topic == "/joint_states")
    joint.message.header.stamp.nanosec = 2 * 10**9
    return sent


def _observation(stamp: int, log: int) -> list[bags.Sent]:
    return [bags.joints(stamp, {"joint_1": 0.0, "joint_2": 0.0}, log), bags.pose(stamp, 0.0, log),
            *(bags.image(c, stamp, 0, log) for c in bags.CAMERAS)]


@pytest.mark.parametrize("change, about, reason", [
    (_go_back, {}, "stamps of /camera/front/image_raw go back by"),
    (_jump_ahead, {}, "jump ahead by"),
    (_overlapping_joints, {}, "joint 'joint_2' comes in different messages of /joint_states"),
    (_two_seconds_of_nanoseconds, {}, "without a stamp"),
    (_wrong_type, {}, "/ee_pose has messages of type std_msgs/msg/String"),
    (lambda sent: [], {}, "Unknown topic of camera front"),
    (lambda sent: [s for s in sent if s.topic != "/ee_pose"], {}, "topic of ee_pose"),
    (lambda sent: [s for s in sent if s.topic != "/action_chunk"], {},
     "no measured 'state' for action channel 'dx' and nothing was recorded on action_chunk"),
    (lambda sent: [s for s in sent if s.topic != "/action_chunk"
                   or bags.stamp_of(s) != SIM_NS + 10**8], {},
     "the chunk for 10.1000 s was not recorded"),
    (lambda sent: sent, {"lost /action_chunk": "2"}, "2 messages of /action_chunk were lost"),
    (lambda sent: [s for s in sent if s.topic != "/clock"], {}, "no /clock was recorded"),
    (lambda sent: sent, {"robot_contract": "name: x"}, "robot_contract: field 'cameras'"),
    (lambda sent: [*sent, bags.image("front", 0, 0, WALL_NS)], {}, "without a stamp"),
])
def test_what_is_wrong_with_a_bag_is_one_sentence(tmp_path, capsys, change, about, reason):
    bag = bags.write(tmp_path / "bag", change(bags.lockstep(12)), bags.custom(**about))
    assert reason in bags.refusal(bag, tmp_path, capsys)


def test_without_contract_or_instruction_it_is_said_what_to_give(tmp_path, capsys):
    bag = bags.write(tmp_path / "bag", bags.lockstep(12), {})
    assert "give --robot FILE" in bags.refusal(bag, tmp_path, capsys)
    path = tmp_path / "robot.yaml"
    path.write_text(json.dumps(bags.CONTRACT))
    assert "give --instruction TEXT" in bags.refusal(bag, tmp_path, capsys, "--robot", path)
    kind = "std_msgs/msg/String"
    words = [bags.Sent("/instruction", kind, WALL_NS + i, bags.make(kind, data=text))
             for i, text in enumerate((WORDS, WORDS))]
    bag = bags.write(tmp_path / "published", [*bags.lockstep(12), *words], {})
    assert bags.export(tmp_path / "data", bag, "--robot", path) == 0
    assert bags.load(tmp_path / "data").tasks == (WORDS,)


def test_bags_of_others_with_compressed_images_are_read(tmp_path):
    sent = bags.lockstep(12)
    kind = "sensor_msgs/msg/CompressedImage"
    path = tmp_path / "bag"
    with Writer(path, version=9, storage_plugin=StoragePlugin.SQLITE3) as writer:
        connections = {}
        for s in sorted(sent, key=lambda s: s.log_ns):
            topic, type_, message = s.topic, s.type, s.message
            if "image_raw" in topic:
                image = message.data.reshape(SIZE, SIZE, 3)[:, :, ::-1]
                topic, type_ = f"{topic}/compressed", kind
                message = bags.make(kind, header=message.header, format="png",
                                    data=cv2.imencode(".png", image)[1].reshape(-1))
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, type_, typestore=STORE)
            writer.write(connections[topic], s.log_ns, STORE.serialize_cdr(message, type_))
    contract = tmp_path / "robot.yaml"
    contract.write_text(json.dumps(bags.CONTRACT))
    assert bags.export(tmp_path / "data", path, "--robot", contract, "--instruction", WORDS) == 0
    data = bags.load(tmp_path / "data")
    assert bags.numbers(data.images) == [list(range(11))] * 2
    np.testing.assert_array_equal(data.actions[3], bags.chunk_rows(3)[:4])


@pytest.mark.parametrize("encoder", ["libsvtav1", "libx264"])
def test_videos_show_what_images_show(tmp_path, monkeypatch, encoder):
    if encoder not in av.codecs_available:
        pytest.skip(f"this FFmpeg has no {encoder}")
    monkeypatch.setattr(video, "ENCODERS", {encoder: video.ENCODERS[encoder]})
    for i, name in enumerate(("a", "b")):
        bags.write(tmp_path / "bags" / name, bags.lockstep(10 + i))
    bags.export(tmp_path / "images", tmp_path / "bags", "--size", 64)
    bags.export(tmp_path / "videos", tmp_path / "bags", "--size", 64, "--images", "video")
    assert [f.text for f in check(read_tables(tmp_path / "videos")).findings if f.error] == []
    images, videos = (bags.load(tmp_path / n, size=64) for n in ("images", "videos"))
    assert videos.images.shape == (19, 2, 64, 64, 3)
    difference = np.abs(images.images[:, :, 16:].astype(int) - videos.images[:, :, 16:])
    assert difference.max() <= 4  # neighboring frames differ by one
    np.testing.assert_array_equal(images.actions, videos.actions)


# ---- the same result, however it is done --------------------------------------------------


@pytest.fixture
def three_bags(tmp_path) -> Path:
    for i, name in enumerate(("a", "b", "c")):
        words = WORDS if i else "pull the block"
        sent = [bags.trajectory(s.topic, bags.stamp_of(s), bags.chunk_rows(i), DT_NS, s.log_ns,
                                words) if s.topic == "/action_chunk" else s
                for s in bags.lockstep(10 + i)]
        bags.write(tmp_path / "bags" / name, sent, bags.custom(instruction=words))
    return tmp_path / "bags"


def test_neither_processes_nor_order_change_the_dataset(tmp_path, three_bags):
    bags.export(tmp_path / "one", three_bags)
    each = [three_bags / n for n in "cab"]
    bags.export(tmp_path / "two", *each, three_bags / "a", "--workers", 2)
    assert bags.contents(tmp_path / "one") == bags.contents(tmp_path / "two")
    assert bags.load(tmp_path / "two").tasks == ("pull the block", WORDS)


@pytest.mark.parametrize("images", ["image", "video"])
def test_an_interrupted_export_goes_on_and_gives_the_same(tmp_path, three_bags, monkeypatch,
                                                          images):
    how = (three_bags, "--images", images, "--size", 64)
    bags.export(tmp_path / "whole", *how)
    done = []

    def interrupted(job):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(job.bag.name)
        return export_episode(job)

    monkeypatch.setattr(bag_export, "export_episode", interrupted)
    out = tmp_path / "data"
    assert bags.export(out, *how) == 143
    assert done == ["a", "b"]
    assert not out.exists()
    monkeypatch.setattr(bag_export, "export_episode", export_episode)
    with pytest.raises(InputError, match="--resume"):
        bags.export(out, *how)
    with pytest.raises(InputError, match="begun with another fps"):
        bags.export(out, *how, "--resume", "--fps", 10)
    opened = []
    monkeypatch.setattr(bag_episode, "Bag",
                        lambda path, *more: opened.append(path.name) or Bag(path, *more))
    assert bags.export(out, *how, "--resume") == 0
    assert opened == ["c"]
    assert bags.contents(out) == bags.contents(tmp_path / "whole")
    assert not (tmp_path / "data.export").exists()
    assert bags.export(out, *how, "--resume") == 0  # there is nothing left to do


def test_nothing_is_overwritten(tmp_path, three_bags):
    bags.export(tmp_path / "data", three_bags)
    before = bags.contents(tmp_path / "data")
    with pytest.raises(InputError, match="nothing was overwritten"):
        bags.export(tmp_path / "data", three_bags)
    assert bags.contents(tmp_path / "data") == before


def test_episodes_that_do_not_fit_the_first_are_refused(tmp_path, three_bags, capsys):
    other = [s if s.topic != "/joint_states" else
             bags.joints(bags.stamp_of(s), {"joint_1": 0.0, "joint_3": 0.0}, s.log_ns)
             for s in bags.lockstep(9)]
    bags.write(three_bags / "b2", other)
    assert bags.export(tmp_path / "data", three_bags) == 1
    output = capsys.readouterr().out
    assert re.search("joint_1, joint_3, ee_x, ee_y, ee_z.* joint_1, ", output)
    assert len(bags.load(tmp_path / "data").starts) == 3


@pytest.mark.parametrize("arguments, reason", [
    (("--fps", "0"), "--fps .*0.* 1000"),
    (("--size", "9x9x9"), "--size .*9x9x9.* 128x96"),
    (("--images", "video", "--size", "32"), "cannot be encoded"),
    (("--tolerance", "-1"), "--tolerance .*-1.* 0 to 1"),
    (("--workers", "0"), "--workers .*0.* 1"),
])
def test_options_out_of_range_are_refused_before_any_work(tmp_path, arguments, reason):
    with pytest.raises(InputError, match=reason):
        bags.export(tmp_path / "data", tmp_path, *arguments)

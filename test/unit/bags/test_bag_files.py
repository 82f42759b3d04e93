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

"""Bags are what rosbag2 writes, other readers read them, and damage stays local."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcap.reader import make_reader
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import StoragePlugin, Writer

from harness.policies import tiny_policy_config, write_random_checkpoint
from harness.recordings import STRING, text_message, texts_in, write_bag
from harness.ros_messages import STORE
from tinyvla_ros.bags.definitions import MessageDefinition
from tinyvla_ros.bags.info import bag_info
from tinyvla_ros.bags.metadata import TopicMetadata
from tinyvla_ros.bags.reader import Bag, find_bags
from tinyvla_ros.bags.recorded_message import BagMessage, BagTopic
from tinyvla_ros.bags.recover import recover
from tinyvla_ros.bags.replay import recorded_checkpoint
from tinyvla_ros.bags.writer import BagWriter
from tinyvla_ros.cli.main import run_command
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.files import checkpoint_digest
from tinyvla_ros.core.resources import default_checkpoint

TEXTS = {"/a": [f"a{i}" for i in range(50)], "/b": [f"b{i}" * 50 for i in range(25)]}


def digest(path: Path) -> dict[str, str]:
    return {str(f.relative_to(path)): hashlib.sha256(f.read_bytes()).hexdigest()
            for f in sorted(path.rglob("*")) if f.is_file()}


@pytest.mark.parametrize("compression", ["none", "zstd", "lz4"])
def test_other_readers_read_it(tmp_path, compression):
    path = write_bag(tmp_path / "bag", TEXTS, {"task": "t"}, compression)
    with AnyReader([path]) as reader:  # definitions and their hashes are checked by it
        assert reader.message_count == 75
        read = [(c.topic, t, reader.deserialize(d, c.msgtype).data)
                for c, t, d in reader.messages()]
    assert [text for topic, _, text in read if topic == "/a"] == TEXTS["/a"]
    with (path / "bag_0.mcap").open("rb") as file:
        mcap = list(make_reader(file).iter_messages())
    assert [(c.topic, m.log_time) for _, c, m in mcap] == [(topic, t) for topic, t, _ in read]
    assert {m.log_time - m.publish_time for _, _, m in mcap} == {1_000_000}


def test_metadata_is_what_rosbag2_of_jazzy_writes(tmp_path):
    path = write_bag(tmp_path / "bag", TEXTS, {"task": "t", "outcome": "success"})
    data = yaml.safe_load((path / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert (data["version"], data["storage_identifier"], data["ros_distro"]) == (
        9, "mcap", "jazzy")
    assert data["relative_file_paths"] == ["bag_0.mcap"]
    assert data["custom_data"] == {"task": "t", "outcome": "success"}
    assert data["message_count"] == 75
    assert data["files"][0]["duration"] == data["duration"] == {"nanoseconds": 490_000_000}
    topic = data["topics_with_message_count"][0]
    assert topic["message_count"] == 50
    assert topic["topic_metadata"]["type"] == STRING
    assert topic["topic_metadata"]["type_description_hash"].startswith("RIHS01_")
    assert topic["topic_metadata"]["offered_qos_profiles"][0]["reliability"] == "reliable"


@pytest.mark.slow
@given(share=st.floats(0.0, 1.0), compression=st.sampled_from(["none", "zstd", "lz4"]))
@settings(max_examples=60, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_cut_off_anywhere_gives_all_whole_messages_before_the_cut(
        tmp_path_factory, share, compression):
    place = tmp_path_factory.mktemp("cut")
    path = write_bag(place / "bag", TEXTS, {"task": "t"}, compression)
    file = path / "bag_0.mcap"
    whole = file.read_bytes()
    file.write_bytes(whole[:round(share * len(whole))])
    (path / "metadata.yaml").unlink()
    before = digest(path)
    expected = [t.encode() for t in TEXTS["/a"] if compression == "none"
                and text_message(t) in file.read_bytes()]
    try:
        recovered = recover(path, place / "out")
    except InputError as err:
        assert not expected
        beginning = write_bag(place / "begun", {}, {"task": "t"}, compression, close=False)
        assert file.stat().st_size < next(beginning.iterdir()).stat().st_size
        assert "nothing to recover" in str(err)
    else:
        found = texts_in(recovered.path, "/a")
        assert found == TEXTS["/a"][:len(found)]
        assert len(found) >= len(expected)
        with AnyReader([recovered.path]) as reader:
            assert reader.message_count == recovered.messages
        with Bag(recovered.path) as bag:
            assert bag.custom["task"] == "t"
            assert bag.custom["outcome"] == "interrupted"
    assert digest(path) == before, "the original was changed"
    assert not list(place.glob("*.part"))


def test_a_chunk_with_a_wrong_checksum_costs_only_itself(tmp_path):
    path = write_bag(tmp_path / "bag", TEXTS)
    file = path / "bag_0.mcap"
    data = bytearray(file.read_bytes())
    at = data.find(text_message("a25"))
    data[at + 8] ^= 0xFF
    file.write_bytes(data)
    recovered = recover(path, tmp_path / "out")
    found = texts_in(recovered.path, "/a")
    assert found == TEXTS["/a"][:20] + TEXTS["/a"][30:]  # flushed every tenth
    assert "checksum" in recovered.problems[0]


def test_bags_of_others_are_recovered_and_read(tmp_path):
    for plugin in (StoragePlugin.SQLITE3, StoragePlugin.MCAP):
        path = tmp_path / plugin.name
        with Writer(path, version=9, storage_plugin=plugin) as writer:
            connection = writer.add_connection("/a", STRING, typestore=STORE)
            for i, text in enumerate(TEXTS["/a"]):
                writer.write(connection, 1000 + i, text_message(text))
        assert texts_in(path, "/a") == TEXTS["/a"]
        file = next(f for f in path.iterdir() if f.suffix in (".db3", ".mcap"))
        assert texts_in(file, "/a") == TEXTS["/a"], "a file without its directory"
        (path / "metadata.yaml").unlink()
        before = digest(path)
        recovered = recover(path, tmp_path / f"{plugin.name}-out")
        assert texts_in(recovered.path, "/a") == TEXTS["/a"]
        assert digest(path) == before


def test_a_sqlite3_journal_is_used_and_left_alone(tmp_path):
    path = tmp_path / "bag"
    with Writer(path, version=9, storage_plugin=StoragePlugin.SQLITE3) as writer:
        connection = writer.add_connection("/a", STRING, typestore=STORE)
        writer.write(connection, 1000, text_message("first"))
    (path / "metadata.yaml").unlink()
    database = sqlite3.connect(next(path.glob("*.db3")))
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("INSERT INTO messages (topic_id, timestamp, data) "
                     "SELECT id, 2000, ? FROM topics", (text_message("second"),))
    database.commit()
    try:
        assert list(path.glob("*-wal")), "the second message is in the journal alone"
        before = digest(path)
        recovered = recover(path, tmp_path / "out")
        assert digest(path) == before
    finally:
        database.close()
    assert texts_in(recovered.path, "/a") == ["first", "second"]


@pytest.mark.parametrize("plugin", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_publish_times_are_those_of_the_storage_or_else_receive_times(tmp_path, plugin):
    if plugin == StoragePlugin.MCAP:
        path, late_ns = write_bag(tmp_path / "bag", TEXTS), 1_000_000
    else:
        path, late_ns = tmp_path / "bag", 0
        with Writer(path, version=9, storage_plugin=plugin) as writer:
            connection = writer.add_connection("/a", STRING, typestore=STORE)
            writer.write(connection, 1000, text_message("first"))
    with Bag(path) as bag:
        assert {m.log_ns - m.publish_ns for m in bag.messages()} == {late_ns}


def test_a_publish_time_of_another_clock_is_not_trusted():
    topic = BagTopic("/a", STRING, 1, 1)
    assert BagMessage(topic, 10**12, 10**12 - 10**8, b"").time_ns == 10**12 - 10**8
    assert BagMessage(topic, 10**12, 10**9, b"").time_ns == 10**12


def no_metadata(path: Path) -> None:
    (path / "metadata.yaml").unlink()


def cut(path: Path) -> None:
    file = path / "bag_0.mcap"
    file.write_bytes(file.read_bytes()[:-100])


def not_yaml(path: Path) -> None:
    (path / "metadata.yaml").write_text("{")


def other_yaml(path: Path) -> None:
    (path / "metadata.yaml").write_text("a: 1\n")


def rubbish(path: Path) -> None:
    (path / "bag_0.mcap").write_bytes(b"rubbish" * 100)


def gone(path: Path) -> None:
    (path / "bag_0.mcap").unlink()


@pytest.mark.parametrize(("damage", "words"), [
    (no_metadata, "tinyvla bag recover"), (cut, "tinyvla bag recover"), (not_yaml, "YAML"),
    (other_yaml, "recover"), (rubbish, "recover"), (gone, "missing")],
    ids=lambda value: getattr(value, "__name__", ""))
def test_a_damaged_bag_is_one_sentence(tmp_path, damage, words):
    path = write_bag(tmp_path / "bag", TEXTS)
    damage(path)
    before = digest(path)
    with pytest.raises(InputError, match=words) as caught:
        Bag(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert digest(path) == before


def test_what_is_no_bag_is_one_sentence(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        Bag(tmp_path / "nothing")
    with pytest.raises(InputError, match="is not a bag"):
        Bag(tmp_path)
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(InputError, match="is not a bag"):
        Bag(tmp_path / "notes.txt")
    with pytest.raises(InputError, match="holds no bag"):
        find_bags(tmp_path)


def test_a_folder_gives_its_bags_and_other_files_are_ignored(tmp_path):
    for name in ("b", "a"):
        write_bag(tmp_path / "episodes" / name, TEXTS)
    (tmp_path / "episodes" / "notes.txt").write_text("hello")
    (tmp_path / "results.json").write_text("{}")
    assert [p.name for p in find_bags(tmp_path)] == ["a", "b"]


def test_an_empty_bag_can_be_read(tmp_path):
    path = write_bag(tmp_path / "bag", {"/a": []})
    with Bag(path) as bag:
        assert list(bag.messages()) == []
        assert (bag.start_ns, bag.end_ns, bag.duration_s) == (0, 0, 0.0)
        assert bag_info(bag).topics[0].rate_hz == 0.0


def test_bytes_that_are_not_a_message_and_undefined_types(tmp_path):
    writer = BagWriter(tmp_path / "bag", {})
    writer.add_topic(TopicMetadata("/a", STRING, MessageDefinition("string data")))
    writer.add_topic(TopicMetadata("/b", "our_msgs/msg/Secret"))
    writer.write("/a", 1, 1, b"\x00\x01\x00\x00\xff\xff\xff\xff")
    writer.write("/b", 2, 2, b"\x00\x01\x00\x00")
    writer.close()
    with Bag(tmp_path / "bag") as bag:
        first, second = bag.messages()
        with pytest.raises(InputError, match="is not a std_msgs/msg/String"):
            bag.decode(first)
        with pytest.raises(InputError, match="neither the bag nor this machine defines"):
            bag.decode(second)


def test_info_measures_rates_and_gaps(tmp_path):
    writer = BagWriter(tmp_path / "bag", {"lost /a": "3"})
    writer.add_topic(TopicMetadata("/a", STRING, MessageDefinition("string data")))
    times = [*range(0, 500, 10), *range(600, 1000, 10)]  # ms, one pause of 110
    for t in times:
        writer.write("/a", 10**9 + t * 10**6, 10**9, text_message("x"))
    writer.close()
    with Bag(tmp_path / "bag") as bag:
        topic = bag_info(bag).topics[0]
    assert (topic.count, topic.gaps, topic.lost) == (90, 1, 3)
    assert topic.period_ms == pytest.approx(10.0)
    assert topic.longest_ms == pytest.approx(110.0)
    assert topic.rate_hz == pytest.approx(89 / 0.99)


def test_recover_refuses_to_overwrite_and_goes_on_with_the_next(tmp_path, capsys):
    paths = [write_bag(tmp_path / n, TEXTS, close=False) for n in ("a", "b")]
    (tmp_path / "a_recovered").mkdir()
    assert run_command(["bag", "recover", *map(str, paths)]) == 2
    assert "nothing was overwritten" in capsys.readouterr().out
    assert texts_in(tmp_path / "b_recovered", "/a") == TEXTS["/a"]


@pytest.mark.parametrize("text", ["", "- 1\n", "a: 1\n", "rosbag2_bagfile_information:\n", "{"])
def test_a_bag_with_damaged_metadata_is_recovered(tmp_path, text):
    path = write_bag(tmp_path / "bag", TEXTS)
    (path / "metadata.yaml").write_text(text)  # empty after a power cut
    assert run_command(["bag", "recover", str(path)]) == 0
    assert texts_in(tmp_path / "bag_recovered", "/a") == TEXTS["/a"]
    assert run_command(["bag", "report", str(path), "--out", str(tmp_path / "page.html")]) == 1


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_the_file_alone_says_what_the_bag_says(tmp_path, compression):
    """Episodes are mailed as single files, and opened from where they were downloaded."""
    about = {"task": "push", "outcome": "success"}
    bag = write_bag(tmp_path / "bag", {"/a": ["x"]}, about, compression)
    with Bag(bag / "bag_0.mcap") as file:
        assert dict(file.custom) == about


def test_the_checkpoint_is_found_by_name_and_digest(tmp_path, monkeypatch):
    write_random_checkpoint(tmp_path / "mine", tiny_policy_config())
    digest = checkpoint_digest(tmp_path / "mine")
    shipped = default_checkpoint()
    for name, about, found in (
            ("named", {"checkpoint": "mine", "checkpoint_digest": digest}, Path("mine")),
            ("moved", {"checkpoint": "/home/me/mine", "checkpoint_digest": digest}, None),
            ("path of 0.1.0", {"checkpoint": str(tmp_path / "mine"),
                               "checkpoint_digest": digest}, tmp_path / "mine"),
            ("other content", {"checkpoint": "mine", "checkpoint_digest": "0" * 16}, None),
            ("shipped", {"checkpoint": f"/elsewhere/{shipped.name}",
                         "checkpoint_digest": checkpoint_digest(shipped)}, shipped),
            ("unknown", {}, None)):
        monkeypatch.chdir(tmp_path)
        with Bag(write_bag(tmp_path / name, {"/a": ["x"]}, about)) as bag:
            if found is not None:
                assert recorded_checkpoint(bag) == found
                continue
            with pytest.raises(InputError, match="give --checkpoint DIR") as err:
                recorded_checkpoint(bag)
            assert about.get("checkpoint_digest", "") in str(err.value)
            assert "/home" not in str(err.value).replace(str(tmp_path), "")


def test_notes_of_other_recorders_may_be_anything(tmp_path, capsys):
    about = {"lost /a": "many", "dropped /a": "-1", "seed": "\u00b2"}
    bag = write_bag(tmp_path / "bag", {"/a": ["x"]}, about)
    assert run_command(["bag", "info", str(bag)]) == 0
    assert "/a" in capsys.readouterr().out

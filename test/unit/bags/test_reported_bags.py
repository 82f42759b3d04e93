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

"""Bags as public bug reports describe them: read rightly, or refused with a way out that works.

The numbers are those of reports in https://github.com/ros2/rosbag2/issues.
"""

from __future__ import annotations

import shutil
import sqlite3

import pytest
import yaml
from mcap.writer import IndexType
from mcap.writer import Writer as McapWriter
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from harness.recordings import START_NS, STRING, text_message, texts_in, write_bag
from harness.ros_messages import STORE, make
from tinyvla_ros.bags.definitions import definition
from tinyvla_ros.bags.info import bag_info
from tinyvla_ros.bags.metadata import qos_profile
from tinyvla_ros.bags.reader import Bag, find_bags
from tinyvla_ros.bags.recover import recover
from tinyvla_ros.cli.main import main
from tinyvla_ros.core.errors import InputError

TEXTS = [f"text {i}" for i in range(40)]


def foreign_bag(path, plugin=StoragePlugin.SQLITE3, mode=CompressionMode.NONE, texts=TEXTS):
    """Write a bag of another recorder."""
    writer = Writer(path, version=9, storage_plugin=plugin)
    if mode is not CompressionMode.NONE:
        writer.set_compression(mode, CompressionFormat.ZSTD)
    with writer:
        connection = writer.add_connection("/a", STRING, typestore=STORE)
        for i, text in enumerate(texts):
            writer.write(connection, START_NS + i * 10_000_000,
                         STORE.serialize_cdr(make(STRING, data=text), STRING))
    return path


def mcap(path, schema_encoding, schema_data, **options):
    """Write strings on ``/a`` with a schema of our choice."""
    with path.open("wb") as file:
        writer = McapWriter(file, **options)
        writer.start("ros2")
        schema = writer.register_schema(STRING, schema_encoding, schema_data)
        channel = writer.register_channel("/a", "cdr", schema)
        for i, text in enumerate(TEXTS):
            writer.add_message(channel, START_NS + i, text_message(text), START_NS + i)
        other = writer.register_schema("std_msgs/msg/Bool", "ros2msg",
                                       definition("std_msgs/msg/Bool").text.encode())
        writer.register_channel("/b", "cdr", other)
        writer.finish()
    return path


def change_metadata(bag, change):
    path = bag / "metadata.yaml"
    content = yaml.safe_load(path.read_text())
    change(content["rosbag2_bagfile_information"])
    path.write_text(yaml.safe_dump(content))


@pytest.mark.parametrize("order", [["s_0.mcap", "s_1.mcap"], ["s_1.mcap", "s_0.mcap"]])
def test_split_files_are_read_in_the_order_of_time(tmp_path, order):  # 842, 857
    bag = tmp_path / "s"
    bag.mkdir()
    for i, topics in enumerate(({"/a": TEXTS}, {"/a": [], "/b": TEXTS})):  # they overlap
        part = write_bag(tmp_path / f"part{i}", topics)
        shutil.copy(next(part.glob("*.mcap")), bag / f"s_{i}.mcap")
        shutil.copy(part / "metadata.yaml", bag)
    change_metadata(bag, lambda i: i.update(relative_file_paths=order))
    with Bag(bag) as opened:
        times = [m.log_ns for m in opened.messages()]
    assert len(times) == 2 * len(TEXTS)
    assert times == sorted(times)


@pytest.mark.parametrize(("plugin", "mode"), [
    (StoragePlugin.SQLITE3, CompressionMode.FILE), (StoragePlugin.MCAP, CompressionMode.FILE),
    (StoragePlugin.SQLITE3, CompressionMode.MESSAGE)])
def test_a_compressed_bag_without_metadata_is_recovered(tmp_path, plugin, mode):  # 990
    bag = foreign_bag(tmp_path / "bag", plugin, mode)
    (bag / "metadata.yaml").unlink()
    with pytest.raises(InputError, match="tinyvla bag recover"):
        [Bag(b) for b in find_bags(bag)]
    assert recover(bag, tmp_path / "whole").messages == len(TEXTS)
    assert texts_in(tmp_path / "whole", "/a") == TEXTS


def test_a_database_that_was_cut_off_gives_its_beginning(tmp_path):  # 395
    texts = [str(i) * 1000 for i in range(200)]
    bag = foreign_bag(tmp_path / "bag", texts=texts)
    file = next(bag.glob("*.db3"))
    file.write_bytes(file.read_bytes()[:file.stat().st_size // 2])
    result = recover(bag, tmp_path / "beginning")
    assert result.problems
    found = texts_in(tmp_path / "beginning", "/a")
    assert len(found) > 60
    assert found == texts[:len(found)]


@pytest.mark.parametrize("encoding", ["", "ros2msg"])
def test_a_definition_that_the_recorder_did_not_find_is_ours(tmp_path, encoding):  # 1922
    path = mcap(tmp_path / "a.mcap", encoding, b"")
    assert texts_in(path, "/a") == TEXTS


def test_messages_of_other_encodings_are_named(tmp_path):  # 1245
    path = mcap(tmp_path / "a.mcap", "jsonschema", b"{}")
    with pytest.raises(InputError, match=r"'jsonschema'.*mcap filter"):
        Bag(path)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_file_without_index_is_read(tmp_path, chunked):  # 2003
    path = mcap(tmp_path / "a.mcap", "ros2msg", definition(STRING).text.encode(),
                use_chunking=chunked, index_types=IndexType.NONE)
    assert texts_in(path, "/a") == TEXTS


def test_qos_edited_in_the_metadata_loses_nothing_silently(tmp_path):
    bag = foreign_bag(tmp_path / "bag")
    change_metadata(bag, lambda i: i["topics_with_message_count"][0]["topic_metadata"].update(
        offered_qos_profiles=[qos_profile("keep_last", 5, "best_effort", "volatile")]))
    with Bag(bag) as opened, pytest.raises(InputError, match=r"/a.*offered_qos.*bag recover"):
        bag_info(opened)
    recover(bag, tmp_path / "whole")
    assert texts_in(tmp_path / "whole", "/a") == TEXTS


def test_a_storage_that_reindex_left_empty_is_recovered(tmp_path):  # 2175
    bag = write_bag(tmp_path / "bag", {"/a": TEXTS})
    change_metadata(bag, lambda i: i.update(storage_identifier=""))
    with pytest.raises(InputError, match="tinyvla bag recover"):
        Bag(bag)
    recover(bag, tmp_path / "whole")
    assert texts_in(tmp_path / "whole", "/a") == TEXTS


def test_topics_without_messages_and_empty_fields_are_read(tmp_path):  # 1719, 1699
    bag = write_bag(tmp_path / "bag", {"/a": TEXTS})
    change_metadata(bag, lambda i: (i.update(custom_data=None, ros_distro=""),
                                    i["topics_with_message_count"].append({
                                        "message_count": 0, "topic_metadata": {
                                            "name": "/never", "type": "own_msgs/msg/Thing",
                                            "serialization_format": "cdr",
                                            "offered_qos_profiles": []}})))
    with Bag(bag) as opened:
        assert {t.name: t.count for t in bag_info(opened).topics} == {"/a": 40, "/never": 0}
        assert opened.custom == {}


def test_a_bag_of_ros_1_names_the_converter(tmp_path):
    (tmp_path / "old.bag").write_bytes(b"#ROSBAG V2.0\n")
    for path in (tmp_path, tmp_path / "old.bag"):
        with pytest.raises(InputError, match=r"old\.bag.*rosbags-convert"):
            find_bags(path)


def test_messages_from_before_the_clock_are_named(tmp_path, capsys):  # 1276
    early = foreign_bag(tmp_path / "bag")
    database = sqlite3.connect(next(early.glob("*.db3")))
    database.execute("UPDATE messages SET timestamp = id WHERE id <= 2")
    database.commit()
    database.close()
    recover(early, tmp_path / "whole")
    assert main(["bag", "info", str(tmp_path / "whole")]) == 0
    assert f"jump by {START_NS // 10**9} s" in capsys.readouterr().out
    assert main(["bag", "info", str(foreign_bag(tmp_path / "other"))]) == 0
    assert "jump" not in capsys.readouterr().out

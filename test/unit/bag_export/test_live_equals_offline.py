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

"""The policy is trained on what it gets on the robot: same pixels, same states, or a refusal."""

from __future__ import annotations

import itertools
import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import event, given, settings
from hypothesis import strategies as st

from harness import bags
from harness.bags import SIM_NS, Sent
from harness.policies import tiny_policy_config
from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.arm.contract_streams import make_assembler, policy_streams
from tinyvla_ros.cli.main import run_command
from tinyvla_ros.core.configuration import parse, read_json
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.image_transform import crop_and_shrink
from tinyvla_ros.core.ros.messages import stamp_to_ns
from tinyvla_ros.core.types import Observation
from tinyvla_ros.policy.config import PolicyConfig
from training.data.dataset import Demonstrations, load_demonstrations

MS, FPS = 1_000_000, 20
CAMERAS = ("front", "wrist", "side")
JOINTS = ("a", "b", "c", "d")
STATE = (*JOINTS[:3], "renamed", "ee_x", "ee_y", "ee_z")
HEIGHT, WIDTH, SIZE = 40, 56, 24  # of recorded images, and of the policy's
IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
DURATION_MS = 600  # all of it fits into the assembler's memory


@dataclass
class Recorded:
    """An episode as it was recorded, the robot's contract, and the policy's configuration."""

    sent: list[Sent] = field(repr=False)
    contract: RobotContract
    config: PolicyConfig


def robot(tolerance: float, compressed: set[str]) -> dict:
    limits = {"unit": "rad", "low": -1e6, "high": 1e6, "state": "a", "jump": 1.0}
    return {
        "name": "arm", "stamps": {"tolerance": tolerance},
        "cameras": {n: {"topic": f"camera/{n}/image_raw", "compressed": n in compressed}
                    for n in CAMERAS},
        "joint_states": {"names": {"renamed": "d"}}, "ee_pose": {"topic": "ee_pose"},
        "actions": {"a": limits},
        "outputs": [{"type": "positions", "topic": "commands", "channels": ["a"]}]}


def policy(crops: dict[str, tuple | None], size: int = SIZE) -> PolicyConfig:
    action = {"channels": ["a"], "units": ["rad"], "low": [-1e6], "high": [1e6], "dt": 1 / FPS,
              "horizon": 4, "n_action_steps": 2}
    cameras = {n: {"height": size, "width": size, "crop": crops.get(n)} for n in CAMERAS}
    return tiny_policy_config(cameras=cameras, state=list(STATE), action=action)


def image(camera: str, stamp_ns: int, number: int, compressed: bool) -> Sent:
    rng = np.random.default_rng([CAMERAS.index(camera), number])
    pixels = rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    topic, header = f"/camera/{camera}/image_raw", bags.header(stamp_ns)
    if compressed:
        msg = bags.make(COMPRESSED, header=header, format="jpeg",
                        data=cv2.imencode(".jpg", pixels)[1].reshape(-1))
        return Sent(topic, COMPRESSED, stamp_ns, msg)
    encoding = ("rgb8", "bgr8", "mono8")[number % 3]
    data = pixels if encoding != "mono8" else np.ascontiguousarray(pixels[:, :, 0])
    msg = bags.make(IMAGE, header=header, height=HEIGHT, width=WIDTH, encoding=encoding,
                    is_bigendian=0, step=data[0].nbytes, data=data.reshape(-1))
    return Sent(topic, IMAGE, stamp_ns, msg)


@st.composite
def recordings(draw) -> Recorded:
    """Cameras at 30 Hz and joints at 50 Hz, with jitter; some messages are lost."""
    boxes = st.sampled_from([None, (0.0, 0.1, 0.9, 1.0), (0.25, 0.25, 0.75, 0.8)])
    compressed = draw(st.sets(st.sampled_from(CAMERAS)))
    contract = robot(draw(st.sampled_from([0.006, 0.015, 0.04])), compressed)
    config = policy({n: draw(boxes) for n in CAMERAS})
    jitter = draw(st.integers(0, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    loss = draw(st.sampled_from([0.0, 0.02, 0.1]))

    def stamps(period_ms: float, may_lose: bool) -> list[int]:
        times = np.arange(0.0, DURATION_MS, period_ms).round().astype(int)
        # Whole milliseconds, so that messages are often equally near, and some have one stamp.
        times = np.sort(times + rng.integers(-jitter, jitter + 1, len(times)))
        kept = rng.random(len(times)) >= (loss if may_lose else 0.0)
        return [SIM_NS + int(t) * MS for t in times[kept]]

    sent = [image(n, stamp, i, n in compressed) for j, n in enumerate(CAMERAS)
            for i, stamp in enumerate(stamps(1000 / 30, may_lose=j > 0))]
    # Joints come from one publisher or several, each with its own, and in any order.
    cuts = sorted(draw(st.sets(st.integers(1, len(JOINTS) - 1))))
    for first, last in itertools.pairwise([0, *cuts, len(JOINTS)]):
        for i, stamp in enumerate(stamps(20, may_lose=True)):
            values = {j: float(rng.normal()) for j in JOINTS[first:last]}
            order = list(values.items())[::-1 if i % 2 else 1]
            sent.append(bags.joints(stamp, dict(order), stamp))
    sent += [bags.pose(stamp, float(i), stamp) for i, stamp in enumerate(stamps(20, True))]
    return Recorded(sent, parse(RobotContract, contract, "test"), config)


def live(recorded: Recorded) -> dict[int, Observation | None]:
    """Return the observation of every image of the first camera, as the policy node makes it."""
    assembler = make_assembler(recorded.contract, recorded.config)
    assembler.instruction = "move"
    streams = {f"/{s.settings.topic}": s
               for s in policy_streams(recorded.contract, recorded.config)}
    stamps = []
    for sent in sorted(recorded.sent, key=lambda s: s.log_ns):
        stream, stamp = streams[sent.topic], stamp_to_ns(sent.message.header.stamp)
        stream.add(assembler, stamp, stream.decode(sent.message))
        if stream.camera == CAMERAS[0]:
            stamps.append(stamp)
    return {stamp: assembler.at(stamp) for stamp in stamps}


def export(recorded: Recorded, root: Path, *options: object) -> None:
    """Write the messages into a bag and make a dataset of it."""
    about = bags.custom(robot_contract=yaml.safe_dump(recorded.contract.model_dump()))
    bag = bags.write(root / "bag", recorded.sent, about)
    run_command(["bag", "export", str(bag), "--out", str(root / "data"), "--workers", "1",
                 "--actions", "state", *map(str, options)])


def offline(recorded: Recorded, root: Path, *options: object) -> Demonstrations:
    """Return the observations that training gets of the same messages, from a bag."""
    checkpoint = root / "checkpoint"
    checkpoint.mkdir()
    (checkpoint / "config.json").write_text(recorded.config.model_dump_json())
    export(recorded, root, *options or ("--config", checkpoint))
    return load(root, recorded.config)


def load(root: Path, config: PolicyConfig) -> Demonstrations:
    return load_demonstrations(root / "data", config.cameras, config.state, config.action)


def compare(recorded: Recorded, data: Demonstrations, root: Path) -> None:
    observations = live(recorded)
    stamps = np.array(list(observations))
    first = read_json(root / "data/meta/bags.json")["episodes"][0]["first_stamp_ns"]
    for i, (images, state) in enumerate(zip(data.images, data.states, strict=True)):
        distance = np.abs(stamps - (first + i * 10**9 // FPS))
        nearest = stamps[distance == distance.min()].max()
        observation = observations[int(nearest)]
        assert observation is not None
        for j, (name, camera) in enumerate(recorded.config.cameras.items()):
            expected = crop_and_shrink(observation.images[name], camera.crop, SIZE, SIZE)
            np.testing.assert_array_equal(images[j], expected)
        expected = np.array([observation.state[n] for n in STATE], np.float32)
        np.testing.assert_array_equal(state, expected)


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(recordings())
def test_live_and_offline_observations_are_the_same(recorded):
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        try:
            data = offline(recorded, root)
        except InputError:
            assert None in live(recorded).values(), "only an episode with a hole is refused"
            event("refused")
            return
        event("compared")
        compare(recorded, data, root)


@pytest.fixture
def cropped() -> Recorded:
    """A complete episode, and a policy that crops one camera."""
    sent = [image(n, SIM_NS + i * 50 * MS, i, False) for i in range(8) for n in CAMERAS]
    for i in range(8):
        stamp = SIM_NS + i * 50 * MS
        sent += [bags.joints(stamp, dict.fromkeys(JOINTS, i / 8), stamp),
                 bags.pose(stamp, i / 8, stamp)]
    config = policy({"wrist": (0.25, 0.0, 1.0, 0.5)})
    return Recorded(sent, parse(RobotContract, robot(0.01, set()), "test"), config)


@pytest.mark.parametrize("options", [(), ("--size", f"{WIDTH}x{HEIGHT}")])
def test_a_crop_is_that_of_the_robots_image(cropped, tmp_path, options):
    data = offline(cropped, tmp_path, *options)
    assert len(data.images) == 7
    compare(cropped, data, tmp_path)


def test_images_shrunk_before_the_crop_are_refused(cropped, tmp_path):
    with pytest.raises(InputError) as err:
        offline(cropped, tmp_path, "--size", SIZE)
    for part in ("'wrist'", "[0.25, 0.0, 1.0, 0.5]", f"{SIZE}x{SIZE}", "--config"):
        assert part in str(err.value)


@pytest.mark.parametrize("crop, size", [(None, SIZE), ((0.0, 0.0, 0.5, 0.5), SIZE),
                                        ((0.25, 0.0, 1.0, 0.5), 2 * SIZE)])
def test_images_made_for_another_crop_or_size_are_refused(cropped, tmp_path, crop, size):
    offline(cropped, tmp_path)
    other = policy({"wrist": crop}, size)
    with pytest.raises(InputError, match="'wrist'" if size == SIZE else "'front'"):
        load(tmp_path, other)


def test_a_dataset_of_other_tools_holds_the_robots_images(cropped, tmp_path):
    offline(cropped, tmp_path, "--size", f"{WIDTH}x{HEIGHT}")
    (tmp_path / "data/meta/images.json").unlink()
    compare(cropped, load(tmp_path, cropped.config), tmp_path)


def test_a_training_configuration_gives_cameras_too(cropped, tmp_path):
    recipe = {"cameras": {"wrist": {"height": 24, "width": 32, "crop": [0, 0, 0.5, 1]}},
              "state": ["a"], "action": cropped.config.action.model_dump(mode="json"),
              "optimization": {"steps": 1}}
    path = tmp_path / "train.yaml"
    path.write_text(json.dumps(recipe))
    export(cropped, tmp_path, "--config", path)
    features = read_json(tmp_path / "data/meta/info.json")["features"]
    assert features["observation.images.wrist"]["shape"] == [24, 32, 3]
    assert "observation.images.front" not in features
    assert read_json(tmp_path / "data/meta/images.json") == {
        "wrist": {"crop": [0, 0, 0.5, 1], "resized": True}}
    with pytest.raises(InputError, match=r"--size 96.*--config"):
        run_command(["bag", "export", "bag", "--out", "data", "--config", str(path), "--size",
                     "96"])

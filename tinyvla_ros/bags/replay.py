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

"""Infer again from recorded observations and compare the chunks with the recorded ones."""

from __future__ import annotations

import contextlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.arm.contract_streams import make_assembler, policy_streams
from tinyvla_ros.bags.reader import Bag, BagMessage
from tinyvla_ros.bags.topics import (
    CHUNK,
    POLICY_CHUNK,
    POLICY_PREFIX,
    ArrivalTimes,
    find_streams,
    find_topic,
    need_topic,
)
from tinyvla_ros.core.errors import InputError, MessageError
from tinyvla_ros.core.files import checkpoint_digest
from tinyvla_ros.core.resources import share_directory
from tinyvla_ros.core.ros.messages import stamp_to_ns, trajectory_to_chunk, trajectory_to_prefix
from tinyvla_ros.core.ros.state_messages import measured_joints
from tinyvla_ros.core.types import ActionChunk, Observation, Prefix
from tinyvla_ros.policy.backends.backend import BackendName
from tinyvla_ros.policy.backends.choose import choose_backend
from tinyvla_ros.policy.config import PolicyConfig
from tinyvla_ros.policy.policy import Policy
from tinyvla_ros.policy.saved_checkpoint import SavedCheckpoint

# A chunk may be recorded before the last message that it was computed from, which reached the
# policy earlier than the recorder; the rest of its observation is looked for so long, ns.
OVERTAKEN_NS = 500_000_000


@dataclass
class Replayed:
    """How a bag's chunks compare.

    Attributes:
        chunks: compared ones.
        identical: of these, bit for bit.
        difference: largest one, in the channel's unit; infinite for chunks of another shape.
        where: chunk stamp and channel of the largest difference.
        unpaired: chunks whose observation is not all in the bag.
        problems: why messages were refused, as by the policy node, or what is missing -> how
            many messages, or chunks.
    """

    chunks: int = 0
    identical: int = 0
    difference: float = 0.0
    where: str = ""
    unpaired: int = 0
    problems: Counter[str] = field(default_factory=Counter)

    def add(self, recorded: ActionChunk, replayed: ActionChunk) -> None:
        """Compare two chunks."""
        self.chunks += 1
        a, b = recorded.actions, replayed.actions
        if a.shape != b.shape:
            self.difference, self.where = np.inf, f"{a.shape} became {b.shape}"
            return
        if np.array_equal(a, b):
            self.identical += 1
            return
        differences = np.abs(a.astype(np.float64) - b)
        if differences.max() > self.difference:
            self.difference = float(differences.max())
            column = int(differences.max(0).argmax())
            self.where = f"{recorded.channels[column]}, chunk {recorded.stamp_ns / 1e9:.3f} s"


def replay(bag: Bag, policy: Policy, contract: RobotContract) -> Replayed:
    """Infer again from every observation a chunk was recorded for.

    Raises:
        InputError: a topic is missing, or what chunks were to continue was not recorded.
    """
    result = Replayed()
    chunks = recorded_chunks(bag, policy.config, contract, result.problems)
    prefixes = recorded_prefixes(bag, policy.config)
    for recorded, observation, past in chunks:
        if observation is None:
            result.unpaired += 1
            continue
        try:
            result.add(recorded, policy.infer(observation, prefixes.get(recorded.stamp_ns), past))
        except InputError as err:
            raise InputError(f"{bag.path}: chunk {recorded.stamp_ns / 1e9:.3f} s: {err}"
                             ) from None
    return result


def recorded_checkpoint(bag: Bag) -> Path:
    """Return the directory of the checkpoint that a bag was recorded with.

    Bags have its name and digest; those of release 0.1.0 have its path. It is looked for there,
    where the name leads to from here, and among the shipped ones.

    Raises:
        InputError: the bag names none, or it is not there.
    """
    named, digest = bag.custom.get("checkpoint", ""), bag.custom.get("checkpoint_digest", "")
    if not named:
        raise InputError(f"{bag.path} does not name the checkpoint it was recorded with; give "
                         "--checkpoint DIR.")
    path = Path(named)
    if path.is_absolute() and path.is_dir():
        return path
    for place in (path, share_directory() / "checkpoints" / path.name):
        with contextlib.suppress(OSError):  # not there, or no checkpoint
            if checkpoint_digest(place) == digest:
                return place
    raise InputError(f"{bag.path} was recorded with checkpoint {path.name} (digest "
                     f"{digest or 'unknown'}), which is neither here nor among the shipped ones; "
                     "give --checkpoint DIR.")


def recorded_backend(bag: Bag, checkpoint: Path, device: str,
                     sample_steps: int | None = None) -> tuple[BackendName, int | None]:
    """Return the backend and the sampling steps to replay a bag with.

    Those it was recorded with, if that backend can run the checkpoint here, else ``auto``. Bags
    of release 0.1.0 name none: that had torch only.

    Args:
        bag: it.
        checkpoint: to replay with.
        device: to replay on.
        sample_steps: others than the recorded ones.
    """
    name, steps = bag.custom.get("backend", "torch").split(" ")[0], bag.custom.get("sample_steps")
    sample_steps = sample_steps or (int(steps) if steps and steps.isdecimal() else None)
    try:
        choose_backend(SavedCheckpoint.read(checkpoint), name, device, sample_steps)
    except InputError:
        name = "auto"
    return name, sample_steps


def recorded_chunks(bag: Bag, config: PolicyConfig, contract: RobotContract,
                    problems: Counter[str] | None = None
                    ) -> Iterator[tuple[ActionChunk, Observation | None, list[Observation]]]:
    """Yield every recorded chunk with the observation it was computed from, and those before it.

    Messages are taken as the policy node takes them: in the order they came, bad ones refused
    and counted in ``problems``. A chunk that overtook a part of its observation waits for it.
    """
    assembler = make_assembler(contract, config)
    problems = Counter() if problems is None else problems
    streams, found = defaultdict(list), find_streams(bag, policy_streams(contract, config))
    for topic, stream in found:
        streams[topic].append(stream)
    arrivals = ArrivalTimes(bag, (stream for _, stream in found))
    # In the namespace of the streams, if they are in one.
    chunks = need_topic(bag, [POLICY_CHUNK], [CHUNK], "the policy's chunks")
    waiting: list[tuple[int, ActionChunk, str]] = []  # until when, and its instruction

    def observed(until_ns: int | None
                 ) -> Iterator[tuple[ActionChunk, Observation | None, list[Observation]]]:
        before = [*waiting]
        waiting.clear()
        for one in before:
            last_ns, chunk, assembler.instruction = one
            observation = assembler.at(chunk.stamp_ns)
            if observation is None and until_ns is not None and until_ns <= last_ns:
                waiting.append(one)
                continue
            yield chunk, observation, assembler.past(chunk.stamp_ns)
            if missing := assembler.missing():
                problems[f"nothing came of {', '.join(missing)}"] += 1

    for message in bag.messages([chunks, *streams, *arrivals.topics]):
        decoded = bag.decode(message)
        arrivals.add(message, decoded)
        if message.topic.name == chunks:
            waiting.append((message.log_ns + OVERTAKEN_NS, _chunk(bag, message, decoded, config),
                            decoded.header.frame_id))
        for stream in streams.get(message.topic.name, ()):
            try:
                value = stream.decode(decoded)
                stamp = stamp_to_ns(decoded.header.stamp) if stream.is_stamped else \
                    arrivals.stamp(message)
                if stream.is_shared and not value:
                    assembler.note_others(stream.name, measured_joints(decoded))
                elif stamp:
                    stream.add(assembler, stamp, value)
            except MessageError as err:
                problems[f"{message.topic.name}: {err}"] += 1
        yield from observed(message.log_ns)
    yield from observed(None)


def recorded_prefixes(bag: Bag, config: PolicyConfig) -> dict[int, Prefix]:
    """Return what chunks were to continue, by the stamp of the chunk.

    Raises:
        InputError: a chunk of this bag depends on when it was ready, and that was not recorded, as
            before release 0.2.0.
    """
    name = find_topic(bag, [POLICY_PREFIX], [CHUNK], "what the policy's chunks were to continue")
    join = bag.custom.get("join")
    if name is None:
        if join in ("rtc", "committed"):
            raise InputError(f"{bag.path} was recorded with join {join!r}, where a chunk depends "
                             f"on what it was to continue, and has no topic {POLICY_PREFIX}; "
                             "record that, too, or replay episodes of 'replace' or 'ensemble'.")
        return {}
    prefixes = {}
    for message in bag.messages([name]):
        decoded = bag.decode(message)
        try:
            prefix = trajectory_to_prefix(decoded, config.action.channels)
        except MessageError as err:
            raise InputError(f"{bag.path}: {name}: {err}") from None
        prefixes[stamp_to_ns(decoded.header.stamp)] = prefix
    return prefixes


def _chunk(bag: Bag, message: BagMessage, decoded: object, config: PolicyConfig) -> ActionChunk:
    try:
        return trajectory_to_chunk(decoded, config.action.channels)
    except MessageError as err:
        raise InputError(f"{bag.path}: {message.topic.name}: {err}") from None


def summary(bag: Bag, result: Replayed, policy: Policy) -> str:
    """Return the line that ``tinyvla bag replay`` prints."""
    if not result.chunks:
        return (f"{bag.path}: no chunk could be compared, {result.unpaired} lack an observation"
                f"{_most_often(result)}")
    text = (f"{bag.path}: {result.identical} of {result.chunks} chunks identical on "
            f"{policy.backend}")
    if result.identical < result.chunks:
        text += f", largest difference {result.difference:.3g} ({result.where})"
    if result.unpaired:
        text += f", {result.unpaired} without their observation{_most_often(result)}"
    digest = bag.custom.get("checkpoint_digest", policy.digest)
    if digest != policy.digest:
        text += f"; recorded with checkpoint {digest}, replayed with {policy.digest}"
    recorded = bag.custom.get("backend", str(policy.backend))
    if recorded != str(policy.backend):
        text += f"; recorded on {recorded}"
    return text


def _most_often(result: Replayed) -> str:
    if not result.problems:
        return ""
    (why, count), = result.problems.most_common(1)
    return f" ({count} times: {why.removesuffix('.')})"

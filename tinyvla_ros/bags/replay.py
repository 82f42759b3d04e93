# SPDX-License-Identifier: Apache-2.0
"""Feed recorded observations to a policy and compare what it says with what it said."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.arm.observation_assembler import ObservationAssembler
from tinyvla_ros.bags.info import bags_of
from tinyvla_ros.bags.reader import Bag, BagMessage
from tinyvla_ros.bags.topics import contract_of, need_topic
from tinyvla_ros.core.errors import InputError, MessageError
from tinyvla_ros.core.messages import (
    joint_positions,
    picture_to_array,
    pose_position,
    stamp_to_ns,
    trajectory_to_chunk,
)
from tinyvla_ros.core.types import ActionChunk, Observation
from tinyvla_ros.policy.config import PolicyConfig
from tinyvla_ros.policy.policy import Policy

# What the policy said, before chunks were joined and limited.
CHUNKS = "policy_node/chunk"


@dataclass
class Replayed:
    """How a bag's chunks compare.

    Attributes:
        chunks: compared ones.
        identical: of these, bit for bit.
        difference: largest one, in the channel's unit; infinite for chunks of another shape.
        where: chunk stamp and channel of the largest difference.
        unpaired: chunks whose observation is not all in the bag.
    """

    chunks: int = 0
    identical: int = 0
    difference: float = 0.0
    where: str = ""
    unpaired: int = 0

    def add(self, recorded: ActionChunk, said: ActionChunk) -> None:
        """Compare two chunks."""
        self.chunks += 1
        a, b = recorded.actions, said.actions
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
        InputError: a topic is missing, or chunks were sampled to go on from each other.
    """
    if bag.custom.get("join") == "rtc":
        raise InputError(f"{bag.path} was recorded with join 'rtc', where a chunk depends on when "
                         "it was ready; replay episodes of 'replace' or 'ensemble'.")
    result = Replayed()
    for recorded, observation, past in recorded_chunks(bag, policy.config, contract):
        if observation is None:
            result.unpaired += 1
        else:
            result.add(recorded, policy.infer(observation, past=past))
    return result


def recorded_chunks(bag: Bag, config: PolicyConfig, contract: RobotContract
                    ) -> Iterator[tuple[ActionChunk, Observation | None, list[Observation]]]:
    """Yield every recorded chunk with the observation it was computed from, and those before it.

    Messages are taken as the policy node took them: in the order they came, the bad ones refused.
    """
    names = contract.joint_states.names if contract.joint_states else {}
    assembler = ObservationAssembler(config, round(contract.stamps.tolerance * 1e9), names)
    takers = {need_topic(bag, [CHUNKS], "the policy's chunks"): None}
    for name in config.cameras:
        camera = contract.cameras[name]
        topic = need_topic(bag, [camera.topic, f"{camera.topic}/compressed"], f"camera {name}")
        takers[topic] = lambda m, s, n=name: assembler.add_image(n, s, picture_to_array(m))
    if assembler.joint_names:
        takers[need_topic(bag, [contract.joint_states.topic], "joint states")] = lambda m, s: \
            assembler.add_joints(s, joint_positions(m, assembler.joint_names))
    if assembler.needs_pose:
        takers[need_topic(bag, [contract.ee_pose.topic], "the end effector's pose")] = \
            lambda m, s: assembler.add_pose(s, pose_position(m))
    for message in bag.messages(takers):
        take = takers[message.topic.name]
        if take is None:
            yield _chunk(bag, message, config, assembler)
            continue
        try:
            decoded = bag.decode(message)
            take(decoded, stamp_to_ns(decoded.header.stamp))
        except MessageError:
            pass  # nor did the node take it


def _chunk(bag: Bag, message: BagMessage, config: PolicyConfig,
           assembler: ObservationAssembler
           ) -> tuple[ActionChunk, Observation | None, list[Observation]]:
    decoded = bag.decode(message)
    chunk = trajectory_to_chunk(decoded, config.action.channels)
    assembler.instruction = decoded.header.frame_id
    return chunk, assembler.at(chunk.stamp_ns), assembler.past(chunk.stamp_ns)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``tinyvla bag replay``."""
    parser.add_argument("bags", nargs="+", type=Path, metavar="BAG",
                        help="bags, or folders of bags")
    parser.add_argument("--checkpoint", type=Path, default=None,
                        help="checkpoint directory; default: the one recorded with")
    parser.add_argument("--robot", type=Path, default=None,
                        help="robot contract; default: the one in the bag")
    parser.add_argument("--device", default="cpu", help="torch device")
    parser.add_argument("--seed", type=int, default=0, help="seed of the policy")
    parser.add_argument("--sample-steps", type=int, default=None, help="DDIM steps, if they were "
                        "set for the policy")
    parser.add_argument("--tolerance", type=float, default=0.0,
                        help="largest difference that passes")


def run(options: argparse.Namespace) -> int:
    """Replay bags; 0 if every chunk of all of them is the same, 1 if not, 2 for bad input."""
    policies: dict[str, Policy] = {}
    failed = differ = False
    for path in bags_of(options.bags):
        try:
            with Bag(path) as bag:
                result, policy = _replay(bag, options, policies)
                differ |= not (result.chunks and result.difference <= options.tolerance)
                print(_sentence(bag, result, policy), flush=True)
        except InputError as err:
            failed = True
            print(f"error: {err}", flush=True)
    return 2 if failed else int(differ)


def _replay(bag: Bag, options: argparse.Namespace,
            policies: dict[str, Policy]) -> tuple[Replayed, Policy]:
    checkpoint = str(options.checkpoint or bag.custom.get("checkpoint", ""))
    if not checkpoint:
        raise InputError(f"{bag.path} does not say which checkpoint it was recorded with; give "
                         "--checkpoint DIR.")
    if checkpoint not in policies:
        policies[checkpoint] = Policy(checkpoint, options.device, options.seed,
                                      sample_steps=options.sample_steps)
    contract = contract_of(bag, options.robot)
    return replay(bag, policies[checkpoint], contract), policies[checkpoint]


def _sentence(bag: Bag, result: Replayed, policy: Policy) -> str:
    if not result.chunks:
        return f"{bag.path}: no chunk could be compared, {result.unpaired} lack an observation"
    text = f"{bag.path}: {result.identical} of {result.chunks} chunks identical"
    if result.identical < result.chunks:
        text += f", largest difference {result.difference:.3g} ({result.where})"
    if result.unpaired:
        text += f", {result.unpaired} without their observation"
    digest = bag.custom.get("checkpoint_digest", policy.digest)
    if digest != policy.digest:
        text += f"; recorded with checkpoint {digest}, replayed with {policy.digest}"
    return text

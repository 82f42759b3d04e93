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

"""Parameters of ``episode_recorder_node``, and what it notes of every episode because of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from tinyvla_ros import __version__
from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.files import checkpoint_digest
from tinyvla_ros.core.options import Settable
from tinyvla_ros.core.ros.commander import HUMAN, POLICY
from tinyvla_ros.core.ros.run_claims import RunMember

# What is recorded about an episode.
_DESCRIBES = Settable("at any time; the next episode has it")


class RecorderParameters(RunMember):
    """Parameters of ``episode_recorder_node``."""

    out: str = Field("episodes", description="Directory for the bags, one directory each.")
    topics: tuple[str, ...] = Field((".*",), description="Topics to record: names, or regular "
                                    "expressions that fit the whole name.")
    exclude: tuple[str, ...] = Field(("/rosout", "/parameter_events", ".*/transition_event"),
                                     description="Topics to leave out, likewise.")
    compression: Literal["none", "zstd", "lz4"] = Field(
        "none", description="Compression of the bags.")
    jpeg_quality: int = Field(0, ge=0, le=100, description="Record images as JPEG of this quality "
                              "under <topic>/compressed; 0 for the images as they are.")
    buffer_mb: int = Field(256, ge=1, le=65536, description="Memory for messages that wait for "
                           "the disk; those that do not fit are dropped and counted.")
    min_free_mb: int = Field(200, ge=0, le=10_000_000, description="Recording of an "
                             "episode ends when the disk has less free space than this.")
    checkpoint: Annotated[str, _DESCRIBES] = Field(
        "", description="Checkpoint of the policy; its name and digest are recorded with every "
        "episode.")
    policy_join: Annotated[str, _DESCRIBES] = Field(
        "", description="How the policy blends chunks; recorded with every episode, because "
        "replay needs it.")
    policy_backend: Annotated[str, _DESCRIBES] = Field(
        "", description="What runs the policy's network, with its version; recorded with every "
        "episode, because replay needs it.")
    policy_sample_steps: Annotated[int, _DESCRIBES] = Field(
        0, ge=0, le=1000, description="Sampling steps of the policy, recorded likewise; 0 if "
        "unknown.")
    robot: Annotated[str, _DESCRIBES] = Field(
        "", description="Robot contract; recorded with every episode.")
    commander: Annotated[Literal["", HUMAN, POLICY], _DESCRIBES] = Field(
        "", description="Who commands the arm in the episodes, if their begin does not say; "
        "recorded with every episode.")


def episode_metadata(parameters: RecorderParameters) -> dict[str, str]:
    """Return the custom metadata that all episodes share.

    Raises:
        InputError: the robot contract or the checkpoint cannot be read.
    """
    values = {"recorder": f"tinyvla_ros {__version__}"}
    if parameters.robot:
        contract = RobotContract.load(parameters.robot)
        values |= {"robot": contract.name,
                   "robot_contract": Path(parameters.robot).read_text(encoding="utf-8-sig")}
    if parameters.commander:
        values["commander"] = parameters.commander
    if parameters.policy_join:
        values["join"] = parameters.policy_join
    if parameters.policy_backend:
        values["backend"] = parameters.policy_backend
    if parameters.policy_sample_steps:
        values["sample_steps"] = str(parameters.policy_sample_steps)
    if parameters.checkpoint:
        try:
            values["checkpoint_digest"] = checkpoint_digest(parameters.checkpoint)
        except OSError as err:
            raise InputError(f"Cannot read checkpoint {parameters.checkpoint}: {err.strerror}; "
                             "give a checkpoint directory.") from None
        # Not the whole path: bags are shared, and it tells about this machine.
        values["checkpoint"] = Path(parameters.checkpoint).resolve().name
    return values

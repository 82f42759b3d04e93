# SPDX-License-Identifier: Apache-2.0
"""``tinyvla import``: run a policy that was trained with LeRobot."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from tinyvla_ros.core.configuration import Config
from tinyvla_ros.core.options import Flag

_Names = Annotated[str | None, Flag(metavar="A,B,...")]


class ImportArguments(Config):
    """Options of ``tinyvla import``."""

    source: Annotated[Path, Flag(metavar="DIR", positional=True)] = Field(
        description="LeRobot's pretrained_model directory, of a policy of type diffusion")
    out: Annotated[Path, Flag(metavar="CHECKPOINT")] = Field(
        description="new checkpoint directory")
    dataset: Annotated[Path | None, Flag(metavar="DIR")] = Field(
        None, description="LeRobotDataset it was trained on: names, rate, limits, tasks")
    state_names: _Names = Field(
        None, description="names of the state's entries, by which the robot publishes them")
    action_names: _Names = Field(None, description="names of the action's entries")
    fps: float | None = Field(None, description="control rate, Hz")
    instruction: Annotated[tuple[str, ...], Flag(metavar="TEXT", repeated=True)] = Field(
        (), description="what the policy does; may be given again, words do not steer it")
    degrees: Annotated[str, Flag(metavar="A,B,...")] = Field(
        "", description="entries that the dataset has in degrees: the checkpoint takes and "
        "gives radians")
    unit: str = Field("as in the dataset", description="unit of the actions, for people")
    sampler: Literal["ddpm", "ddim"] | None = Field(
        None, description="other than LeRobot's own setting: chunks differ from LeRobot's")
    sample_steps: int | None = Field(
        None, ge=1, description="steps of the sampler; other than LeRobot's own: chunks differ")


def import_policy(options: ImportArguments) -> int:
    """Make a checkpoint."""
    from tinyvla_ros.lerobot_import.importer import ImportOptions, import_checkpoint

    digest = import_checkpoint(options.source, options.out, ImportOptions(
        options.dataset, options.state_names, options.action_names, options.fps,
        options.instruction, tuple(n.strip() for n in options.degrees.split(",") if n),
        options.unit, options.sampler and options.sampler.upper(), options.sample_steps))
    print(f"{options.out}: checkpoint {digest}; its README.md describes inputs and outputs")
    return 0

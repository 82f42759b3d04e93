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

"""``tinyvla bag``: look into recorded episodes and reuse them."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from tinyvla_ros.cli.common import STOPPED
from tinyvla_ros.core.configuration import Config
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.options import Flag
from tinyvla_ros.policy.backends.backend import BackendName
from training.bag_export.options import ExportOptions

if TYPE_CHECKING:
    from tinyvla_ros.bags.reader import Bag
    from tinyvla_ros.policy.config import CameraSpec
    from tinyvla_ros.policy.policy import Policy


class BagsArguments(Config):
    """Options of commands that take several bags."""

    bags: Annotated[tuple[Path, ...], Flag(metavar="BAG", positional=True)] = Field(
        description="bags, or folders of bags, MCAP or sqlite3")


class BagInfoArguments(BagsArguments):
    """Options of ``tinyvla bag info``."""

    as_json: Annotated[bool, Flag("--json")] = Field(
        False, description="everything about every bag, as JSON lines")


def info(options: BagInfoArguments) -> int:
    """Print bags, and folders of several as tables; one that cannot be read stops nothing."""
    from tinyvla_ros.bags.info import bag_info, describe
    from tinyvla_ros.bags.reader import find_bags

    failed = 0
    for path, bags in [(path, find_bags(path)) for path in options.bags]:
        if len(bags) > 1 and not options.as_json:
            failed += _print_table(path, bags)
            continue
        for bag in bags:
            found = _read_or_print(bag, bag_info)
            failed += found is None
            if found is not None:
                print(json.dumps(asdict(found)) if options.as_json else describe(found),
                      flush=True)
    return 2 if failed else 0


def _print_table(folder: Path, bags: list[Path]) -> int:
    """Print the episodes of a folder; return how many of them cannot be read."""
    from tinyvla_ros.bags.episode_table import episode_row, episode_table
    from tinyvla_ros.bags.reader import discarded_bags

    rows = [row for row in (_read_or_print(bag, episode_row) for bag in bags) if row is not None]
    if rows:
        print(episode_table(folder, rows, len(discarded_bags(folder))), flush=True)
    return len(bags) - len(rows)


def _read_or_print(path: Path, read):
    """Return what ``read`` makes of a bag; print the sentence and return None if it cannot."""
    from tinyvla_ros.bags.reader import Bag

    try:
        with Bag(path) as bag:
            return read(bag)
    except InputError as err:
        print(f"error: {err}")
        return None


class BagRecoverArguments(Config):
    """Options of ``tinyvla bag recover``."""

    bags: Annotated[tuple[Path, ...], Flag(metavar="BAG", positional=True)] = Field(
        description="bag directories, or MCAP or sqlite3 files")
    out: Path | None = Field(None, description="directory to create, for a single bag; "
                             "<bag>_recovered otherwise")


def recover(options: BagRecoverArguments) -> int:
    """Recover bags one after the other; one that cannot be does not stop the others."""
    from tinyvla_ros.bags.reader import bag_name
    from tinyvla_ros.bags.recover import recover as recover_bag

    if options.out is not None and len(options.bags) > 1:
        raise InputError(f"--out {options.out} is for a single bag and {len(options.bags)} are "
                         "given; leave it out.")
    failed = 0
    for bag in options.bags:
        out = options.out or bag.with_name(f"{bag_name(bag)}_recovered")
        try:
            recovered = recover_bag(bag, out)
        except InputError as err:
            failed += 1
            print(f"error: {err}")
            continue
        print(f"{recovered.path}: {recovered.messages} messages"
              + "".join(f"\n  not read: {p}" for p in recovered.problems))
    return 2 if failed else 0


class BagReplayArguments(BagsArguments):
    """Options of ``tinyvla bag replay``."""

    checkpoint: Path | None = Field(
        None, description="checkpoint directory; default: the one recorded with, if it is here or "
        "among the shipped ones")
    robot: Path | None = Field(None, description="robot contract; default: the one in the bag")
    namespace: str = Field("", description="of the robot, if the bags have several; for topics "
                           "that the contract names without a leading slash")
    backend: BackendName | None = Field(
        None, description="what runs the network, see 'tinyvla export'; default: the one recorded "
        "with, if it is installed")
    device: str = Field("cpu", description="cpu, cuda or cuda:N")
    seed: int = Field(0, description="seed of the policy")
    sample_steps: int | None = Field(
        None, description="DDIM steps; default: those recorded with, with the backend's own if "
        "--backend is given")
    tolerance: float = Field(0.0, description="largest difference that passes")


def replay(options: BagReplayArguments) -> int:
    """Replay bags; 0 if every chunk of all of them is the same, 1 if not, 2 for bad input."""
    from tinyvla_ros.bags.reader import Bag, find_bags
    from tinyvla_ros.bags.replay import replay as replay_bag
    from tinyvla_ros.bags.replay import summary
    from tinyvla_ros.bags.topics import contract_of

    policies: dict[tuple, Policy] = {}
    failed = differ = False
    for path in find_bags(*options.bags):
        try:
            with Bag(path, options.namespace) as bag:
                policy = _replay_policy(bag, options, policies)
                result = replay_bag(bag, policy, contract_of(bag, options.robot))
                differ |= not (result.chunks and result.difference <= options.tolerance)
                print(summary(bag, result, policy), flush=True)
        except InputError as err:
            failed = True
            print(f"error: {err}", flush=True)
    return 2 if failed else int(differ)


def _replay_policy(bag: Bag, options: BagReplayArguments, policies: dict[tuple, Policy]) -> Policy:
    """Return the policy for a bag, loaded once for all bags that were recorded with it."""
    from tinyvla_ros.bags.replay import recorded_backend, recorded_checkpoint
    from tinyvla_ros.policy.policy import Policy

    checkpoint = options.checkpoint or recorded_checkpoint(bag)
    backend, steps = options.backend, options.sample_steps
    if backend is None:
        backend, steps = recorded_backend(bag, checkpoint, options.device, steps)
    key = checkpoint, backend, steps
    if key not in policies:
        policies[key] = Policy(checkpoint, options.device, options.seed, sample_steps=steps,
                               backend=backend)
    return policies[key]


class BagReportArguments(Config):
    """Options of ``tinyvla bag report``."""

    bags: Annotated[Path, Flag(metavar="BAG_OR_FOLDER", positional=True)] = Field(
        description="a bag, or a folder of bags")
    out: Path = Field(Path("report.html"), description="page to write")
    episodes: Annotated[int | None, Flag(metavar="N")] = Field(
        None, ge=1, description="show so many episodes with images and plots, failed ones "
        "first; default: all")
    max_mb: Annotated[float, Flag(metavar="MB")] = Field(
        30.0, gt=0, description="size the page may have; images and videos shrink to fit")


def report(options: BagReportArguments) -> int:
    """Write the page; 1 if not a single bag could be read."""
    from tinyvla_ros.report.page import counted
    from tinyvla_ros.report.write_report import write_report

    written = write_report(options.bags, options.out, options.episodes, options.max_mb)
    for error in written.damaged:
        print(f"left out: {error}", file=sys.stderr)
    for sentence in written.left_out:
        print(sentence)
    print(f"{options.out}: {counted(written.episodes, 'episode')}, "
          f"{written.bytes / 1e6:.1f} MB")
    return 0 if written.episodes else 1


def export(options: ExportOptions) -> int:
    """Export bags and print what was left out and why.

    Returns:
        0; 1 if something was wrong with a bag, the others being exported; 143 if stopped.
    """
    from training.bag_export.export import export_bags

    try:
        exported = export_bags(options, *_policy_inputs(options.config))
    except KeyboardInterrupt:
        print("stopped, all saved; go on with the same command and --resume")
        return STOPPED
    if exported is None:
        print(f"complete already: {options.out}")
        return 0
    for note in exported.notes:
        print(note)
    if not exported.episodes:
        raise InputError("No bag was exported; the lines above say why.")
    print(f"{exported.episodes} episodes, {exported.frames} frames at {options.fps} fps,"
          f" actions from {exported.actions}: {options.out}"
          + (f"; {exported.refused} refused, the lines above say why" if exported.refused else ""))
    print(f"state: {', '.join(exported.states)}")
    return 1 if exported.refused else 0


def _policy_inputs(config: Path | None) -> tuple[dict[str, CameraSpec], tuple[str, ...]]:
    """Return cameras and states of a training configuration or of a checkpoint directory."""
    if config is None:
        return {}, ()
    if config.is_dir():
        from tinyvla_ros.policy.config import PolicyConfig

        policy = PolicyConfig.load(config)
        return policy.cameras, policy.state
    from training.learning.recipe import Recipe

    recipe = Recipe.load(config)
    return recipe.cameras, recipe.state

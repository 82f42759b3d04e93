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

"""``tinyvla bag export``: recorded episodes become a LeRobotDataset.

Every bag becomes an episode in ``OUT.export``; when all are done they become one dataset, in the
order of their names. So the result does not depend on the number of processes, on the order
of the arguments or on interruptions, and ``OUT`` appears whole or not at all.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.bags.metadata import METADATA
from tinyvla_ros.bags.reader import STORAGE, discarded_bags, find_bags
from tinyvla_ros.core.configuration import read_json
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.files import refuse_to_overwrite, write_json
from tinyvla_ros.policy.config import CameraSpec
from training.bag_export.commanders import is_labelled, mix, mix_text
from training.bag_export.episode import (
    BagJob,
    BagOutcome,
    describe,
    episode_key,
    export_episode,
)
from training.bag_export.images import ImageFormat
from training.bag_export.options import ExportOptions
from training.bag_export.stored_episode import episode_parts, load_episode, read_about
from training.bag_export.summary import difference, summary
from training.data.lerobot.writer import LeRobotDatasetWriter
from training.data.stored_images import StoredImages, write_stored_images
from training.jobs.pool import Progress, open_workers, work_through
from training.jobs.progress import progress_bar
from training.jobs.workers import Job

SETTINGS = "settings.json"


@dataclass(frozen=True)
class Exported:
    """What became of bags.

    Attributes:
        episodes, frames: in the dataset, which is not there if they are 0.
        actions: one of ``training.bag_export.actions.SOURCES``; empty without a dataset.
        states: names of what is in ``observation.state``.
        notes: what was left out or refused and why, a line each.
        refused: bags with which something was wrong.
    """

    episodes: int
    frames: int
    actions: str
    states: tuple[str, ...]
    notes: tuple[str, ...]
    refused: int


def export_bags(options: ExportOptions, cameras: Mapping[str, CameraSpec],
                required: tuple[str, ...] = ()) -> Exported | None:
    """Make a LeRobotDataset of bags.

    Args:
        options: which bags, and how they become episodes.
        cameras: those of ``options.config``; empty for all of the robot.
        required: states that its policy needs.

    Returns:
        What was exported; None if ``--resume`` finds it complete.

    Raises:
        InputError: an option is wrong, ``out`` exists or cannot be written.
        Stopped: SIGTERM or SIGINT came; what is finished is kept for ``--resume``.
    """
    if options.robot is not None:
        RobotContract.load(options.robot)
    out, resume, video = options.out, options.resume, options.images == "video"
    width, height = options.width_height
    images = ImageFormat(height, width, video)
    formats = {name: ImageFormat(spec.height, spec.width, video, spec.crop)
               for name, spec in cameras.items()}
    for form in formats.values() or [images]:
        form.feature(options.fps)
    bags, foreign, discarded = _find(options.bags)
    work = out.with_name(out.name + ".export")
    if resume and (out / "meta/info.json").is_file():
        shutil.rmtree(work, ignore_errors=True)
        return None
    refuse_to_overwrite(out)
    _prepare(work, options, formats)
    jobs = [BagJob(bag, work / episode_key(bag), options, images, formats, required)
            for bag in bags]
    try:
        outcomes = _work(jobs, options, work)
        outcomes, mixture = _join(work, outcomes, options)
    except OSError as err:
        raise InputError(f"Cannot write {err.filename or out} ({err.strerror or err}); make room "
                         "and continue with the same command and --resume.") from None
    notes = tuple(summary(outcomes, foreign, discarded, mixture))
    refused = sum(o.refused for o in outcomes)
    if all(o.place is None for o in outcomes):
        shutil.rmtree(work)
        return Exported(0, 0, "", (), notes, refused)
    info = read_json(out / "meta/info.json")
    return Exported(info["total_episodes"], info["total_frames"],
                    read_json(out / "meta/bags.json")["actions"],
                    tuple(info["features"]["observation.state"]["names"]), notes, refused)


def _find(paths: Sequence[Path]) -> tuple[list[Path], list[Path], list[Path]]:
    """Return the bags, each once and in the order of their names, files that are no bags, and
    bags that were discarded and are not named."""
    bags: dict[Path, Path] = {}
    foreign: dict[Path, Path] = {}
    discarded: dict[Path, Path] = {}
    for path in paths:
        found = find_bags(path)
        bags |= {b.resolve(): b for b in found}
        discarded |= {b.resolve(): b for b in discarded_bags(path)}
        if path.is_dir() and path not in found:  # a bag may have other files beside its storage
            foreign |= {f.resolve(): f for f in path.iterdir() if f.is_file()
                        and not f.name.removesuffix(".zstd").endswith(STORAGE)
                        and f.name != METADATA}
    ordered = sorted(bags.values(), key=lambda b: (b.name, str(b.resolve())))
    return ordered, sorted(foreign.values()), [b for k, b in discarded.items() if k not in bags]


def _prepare(work: Path, options: ExportOptions, cameras: Mapping[str, ImageFormat]) -> None:
    """Make the directory for unfinished work, or check that it is of the same export."""
    wanted = options.model_dump(exclude={"bags", "out", "config", "workers", "ray", "resume"}) | {
        "robot": options.robot and options.robot.read_text(encoding="utf-8-sig"),
        "size": options.width_height,
        "cameras": {name: asdict(form) for name, form in cameras.items()}}
    wanted = json.loads(json.dumps(wanted))
    if (work / SETTINGS).is_file():
        if not options.resume:
            raise InputError(f"{work} holds an export that was interrupted; continue it with "
                             "--resume, or delete it.")
        # New since 0.1.0.
        begun = {"states": [], "namespace": "", "commander": "all", "lead_up": 0.0} | read_json(
            work / SETTINGS)
        for name, value in wanted.items():
            if begun.get(name) != value:
                raise InputError(f"{work} was begun with another {name} ({begun.get(name)!r}, now "
                                 f"{value!r}); give the same, or delete it.")
        return
    try:
        work.mkdir(parents=True, exist_ok=True)
        write_json(work / SETTINGS, wanted)
    except OSError as err:
        raise InputError(f"Cannot write to {work}: {err.strerror}; choose a writable directory."
                         ) from None


def _work(jobs: list[BagJob], options: ExportOptions, work: Path) -> list[BagOutcome]:
    """Do all jobs; outcomes come in the order of the jobs."""
    count = min(options.workers or len(os.sched_getaffinity(0)), len(jobs))
    if count == 1 and options.ray is None:
        return [export_episode(job) for job in progress_bar(jobs, unit="bag", desc="export")]
    outcomes: dict[Path, BagOutcome] = {}

    def finished(job: Job, outcome: BagOutcome) -> None:
        outcomes[outcome.bag] = outcome

    settings = [work / SETTINGS, *(f for f in (options.robot, options.config) if f is not None
                                   and f.is_file())]
    with open_workers(options.workers, options.ray, count) as workers:
        work_through([Job("bag", export_episode, job, (*settings, *_files(job.bag)))
                      for job in jobs], finished, workers,
                     Progress({"bag": len(jobs)}, workers.count))
    return [outcomes[job.bag] for job in jobs]


def _files(bag: Path) -> list[Path]:
    return sorted(f for f in bag.iterdir() if f.is_file()) if bag.is_dir() else [bag]


def _join(work: Path, outcomes: list[BagOutcome], options: ExportOptions
          ) -> tuple[list[BagOutcome], str]:
    """Put the episodes together; one unlike the first is refused.

    Returns:
        The outcomes, and a sentence about who commanded if these were several.
    """
    part = work / "dataset"
    shutil.rmtree(part, ignore_errors=True)
    result, alike, first = [], [], {}
    for outcome in outcomes:
        if outcome.place is not None:
            parts = episode_parts(outcome.place)
            about = read_about(parts[0])
            first = first or about
            if describe(about) != describe(first):
                result.append(BagOutcome(outcome.bag, None, True, difference(outcome.bag, about,
                                                                           first)))
                continue
            alike += parts
        result.append(outcome)
    if not alike:
        return result, ""
    described = [read_about(place) for place in alike]
    frames = mix([a["commanders"] for a in described], [a["frames"] for a in described])
    labelled = options.commander == "all" and is_labelled(frames)
    writer, images = None, {}
    for place in progress_bar(alike, unit="episode", desc="join"):
        about, episode = load_episode(place, labelled)
        if writer is None:
            writer = LeRobotDatasetWriter(part, options.fps, about["features"], about["robot"])
        writer.add(episode)
        for name, made in about["images"].items():
            resized = made["resized"] or (name in images and images[name].resized)
            images[name] = StoredImages(crop=made["crop"], resized=resized)
    bags = [about["bag"] for about in described]
    write_json(part / "meta/bags.json", {
        "actions": first["source"], "pick": options.pick,
        "tolerance_s": max(b["tolerance_s"] for b in bags), "episodes": bags})
    write_stored_images(part, images)
    writer.close()
    os.replace(part, options.out)
    shutil.rmtree(work)
    return result, mix_text(frames, labelled) if options.commander == "all" else ""

# SPDX-License-Identifier: Apache-2.0
"""``tinyvla bag export``: recorded episodes become a LeRobotDataset.

Every bag is worked on by itself and put aside (``OUT.export``); when all are done they are joined
in the order of their names. So the result does not depend on the number of processes, on the order
of the arguments or on interruptions, and ``OUT`` appears whole or not at all.
"""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.bags.metadata import METADATA
from tinyvla_ros.bags.reader import STORAGE, find_bags
from tinyvla_ros.cli.training import STOPPED, at_least_one
from tinyvla_ros.core.configuration import read_json
from tinyvla_ros.core.errors import InputError
from tinyvla_ros.core.files import write_json
from training.bag_export.actions import SOURCES
from training.bag_export.episode import (
    EpisodeJob,
    Outcome,
    Settings,
    describe,
    episode_key,
    export_episode,
    load_episode,
)
from training.bag_export.images import PictureFormat
from training.bag_export.sampling import Sampling
from training.data.lerobot_writer import LeRobotDatasetWriter
from training.jobs.pool import Job, Progress, Stopped, work_through
from training.jobs.progress import progress_bar

SETTINGS = "settings.json"
LARGEST = 4096


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line of ``tinyvla bag export``."""
    parser.add_argument("bags", nargs="+", type=Path, metavar="BAG",
                        help="bags, or folders of bags, MCAP or sqlite3")
    parser.add_argument("--out", type=Path, required=True, help="new LeRobotDataset directory")
    parser.add_argument("--robot", type=Path, default=None,
                        help="robot contract; default: the one in each bag")
    parser.add_argument("--fps", type=int, default=20, help="frames per second")
    parser.add_argument("--pick", choices=("nearest", "hold"), default="nearest",
                        help="the message of a frame: the nearest one, or the last before it")
    parser.add_argument("--tolerance", type=float, default=0.02,
                        help="largest difference between the stamps of frame and message, s")
    parser.add_argument("--images", choices=("image", "video"), default="image",
                        help="store lossless PNG, or video")
    parser.add_argument("--size", default="96", metavar="N|WxH", help="of the stored images")
    parser.add_argument("--actions", choices=("auto", *SOURCES), default="auto",
                        help="what the arm did: executed chunks, commands to its controllers, or "
                        "the states it reached; auto: what was recorded, in this order")
    parser.add_argument("--dt", type=float, default=None, help="control period for trajectories "
                        "and states, s; default: of the trajectories, or else of the frames")
    parser.add_argument("--instruction", default="", help="for bags that do not say it")
    parser.add_argument("--outcome", choices=("success", "all"), default="success",
                        help="episodes to take; those without an outcome are always taken")
    parser.add_argument("--tasks", nargs="+", default=[], metavar="TASK",
                        help="tasks or instructions to take")
    parser.add_argument("--workers", type=int, default=None, help="processes; default: cores")
    parser.add_argument("--resume", action="store_true", help="go on with an interrupted export")


def run(options: argparse.Namespace) -> int:
    """Export ``options.bags`` and say what was left out and why.

    Returns:
        0; 1 if something was wrong with a bag, the others being exported; 143 if stopped.

    Raises:
        InputError: an option is wrong, ``out`` exists, or no bag could be exported.
    """
    settings = _settings(options)
    workers = at_least_one("Workers", options.workers) or len(os.sched_getaffinity(0))
    bags, foreign = _find(options.bags)
    out = options.out
    work = out.with_name(out.name + ".export")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        if options.resume and (out / "meta/info.json").is_file():
            shutil.rmtree(work, ignore_errors=True)
            print(f"complete already: {out}")
            return 0
        raise InputError(f"Output {out} exists and is not an empty directory; choose a new "
                         "directory, nothing was overwritten.")
    _prepare(work, settings, options.resume)
    jobs = [EpisodeJob(bag, work / episode_key(bag), settings) for bag in bags]
    try:
        outcomes = _work(jobs, min(workers, len(jobs)))
        outcomes = _join(out, work, outcomes, settings)
    except (Stopped, KeyboardInterrupt):
        print("stopped, all saved; go on with the same command and --resume")
        return STOPPED
    except OSError as err:
        raise InputError(f"Cannot write {err.filename or out} ({err.strerror or err}); make room "
                         "and go on with the same command and --resume.") from None
    exported = [o for o in outcomes if o.place is not None]
    for line in _summary(outcomes, foreign):
        print(line)
    if not exported:
        shutil.rmtree(work)
        raise InputError("No bag was exported; the lines above say why.")
    info = read_json(out / "meta/info.json")
    print(f"{info['total_episodes']} episodes, {info['total_frames']} frames at {info['fps']} fps,"
          f" actions from {read_json(out / 'meta/bags.json')['actions']}: {out}")
    return 1 if any(o.refused for o in outcomes) else 0


def _settings(options: argparse.Namespace) -> Settings:
    if not 1 <= options.fps <= 1000:
        raise InputError(f"Fps is {options.fps}; give a number from 1 to 1000.")
    if not 0.0 <= options.tolerance <= 1.0:
        raise InputError(f"Tolerance is {options.tolerance}; give seconds from 0 to 1.")
    if options.dt is not None and not 1e-4 <= options.dt <= 10.0:
        raise InputError(f"Dt is {options.dt}; give seconds from 0.0001 to 10.")
    if options.robot is not None:
        RobotContract.load(options.robot)
    numbers = options.size.lower().split("x")
    if len(numbers) > 2 or not all(n.isdigit() and 1 <= int(n) <= LARGEST for n in numbers):
        raise InputError(f"Size is {options.size!r}; give pixels like 96, or width and height like"
                         " 128x96.")
    width, height = int(numbers[0]), int(numbers[-1])
    pictures = PictureFormat(height, width, options.images == "video")
    pictures.feature(options.fps)
    return Settings(Sampling(options.fps, options.pick, options.tolerance), pictures,
                    options.actions, options.dt, options.robot, options.instruction,
                    options.outcome, tuple(options.tasks))


def _find(paths: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Return the bags, each once and in the order of their names, and files that are no bags."""
    bags: dict[Path, Path] = {}
    foreign: dict[Path, Path] = {}
    for path in paths:
        found = find_bags(path)
        bags |= {b.resolve(): b for b in found}
        if path.is_dir():
            foreign |= {f.resolve(): f for f in path.iterdir() if f.is_file()
                        and f.suffix not in STORAGE and f.name != METADATA}
    ordered = sorted(bags.values(), key=lambda b: (b.name, str(b.resolve())))
    return ordered, sorted(foreign.values())


def _prepare(work: Path, settings: Settings, resume: bool) -> None:
    """Make the directory for unfinished work, or check that it is of the same export."""
    wanted = {**asdict(settings), "tasks": list(settings.tasks),
              "robot": settings.robot and settings.robot.read_text()}
    if (work / SETTINGS).is_file():
        if not resume:
            raise InputError(f"{work} holds an export that was interrupted; go on with --resume, "
                             "or delete it.")
        begun = read_json(work / SETTINGS)
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


def _work(jobs: list[EpisodeJob], workers: int) -> list[Outcome]:
    """Do all jobs; outcomes come in the order of the jobs."""
    if workers == 1:
        return [export_episode(job) for job in progress_bar(jobs, unit="bag", desc="export")]
    outcomes: dict[Path, Outcome] = {}

    def finished(job: Job, outcome: Outcome) -> list[Job]:
        outcomes[outcome.bag] = outcome
        return []

    work_through([Job("bag", export_episode, job) for job in jobs], finished, workers,
                 Progress({"bag": len(jobs)}, workers))
    return [outcomes[job.bag] for job in jobs]


def _join(out: Path, work: Path, outcomes: list[Outcome], settings: Settings) -> list[Outcome]:
    """Put the episodes together; one unlike the first is refused."""
    part = work / "dataset"
    shutil.rmtree(part, ignore_errors=True)
    writer, alike, about, bags, result = None, "", {}, [], []
    for outcome in progress_bar(outcomes, unit="bag", desc="join"):
        if outcome.place is not None:
            about, episode = load_episode(outcome.place)
            if writer is None:
                alike, first = describe(about), about
                writer = LeRobotDatasetWriter(part, settings.sampling.fps, about["features"],
                                              about["robot"])
            if describe(about) != alike:
                result.append(Outcome(outcome.bag, None, True, _difference(outcome.bag, about,
                                                                           first)))
                continue
            writer.add(episode)
            bags.append(about["bag"])
        result.append(outcome)
    if writer is not None:
        write_json(part / "meta/bags.json", {
            "actions": first["source"], "pick": settings.sampling.pick,
            "tolerance_s": settings.sampling.tolerance, "episodes": bags})
        writer.close()
        os.replace(part, out)
        shutil.rmtree(work)
    return result


def _difference(bag: Path, about: dict, first: dict) -> str:
    for name, feature in first["features"].items():
        other = about["features"].get(name)
        if other != feature:
            return (f"{bag}: {name} holds {', '.join(map(str, (other or {}).get('names', ())))}, "
                    f"that of {first['bag']['bag']} {', '.join(map(str, feature['names']))}; "
                    "export them to datasets of their own.")
    return (f"{bag}: its actions come from {about['source']} at {about['bag']['control_period_s']}"
            f" s, those of {first['bag']['bag']} from {first['source']} at "
            f"{first['bag']['control_period_s']} s; export them to datasets of their own.")


def _summary(outcomes: Iterable[Outcome], foreign: list[Path]) -> list[str]:
    lines = []
    for outcome in outcomes:
        if outcome.refused:
            lines.append(f"refused: {outcome.text}")
        elif outcome.place is None:
            lines.append(f"left out: {outcome.bag}: {outcome.text}")
        elif outcome.text:
            lines.append(f"note: {outcome.bag}: {outcome.text}")
    if foreign:
        names = ", ".join(str(f) for f in foreign[:3])
        more = f" and {len(foreign) - 3} more" if len(foreign) > 3 else ""
        lines.append(f"passed over, no bags: {names}{more}")
    return lines

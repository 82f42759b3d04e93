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

"""One bag becomes one episode, kept in a directory until the dataset is put together."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.bags.reader import Bag
from tinyvla_ros.bags.topics import contract_of, find_commands
from tinyvla_ros.core.configuration import read_json
from tinyvla_ros.core.errors import InputError, unknown
from tinyvla_ros.core.files import write_json
from training.bag_export.actions import Actions, choose_source, find_actions
from training.bag_export.angles import continuous_features
from training.bag_export.commanders import (
    INTERVENTION,
    count_frames,
    frame_commanders,
    interventions,
    parts_of,
)
from training.bag_export.images import ImageFormat, store_images
from training.bag_export.options import ExportOptions
from training.bag_export.sampling import Frames, Sampling, check_rates, find_frames
from training.bag_export.states import States
from training.bag_export.stored_episode import ABOUT, ARRAYS, PARTS
from training.bag_export.streams import Recording, read_recording


class BagJob(NamedTuple):
    """A bag to work on.

    Attributes:
        bag: its path.
        place: directory to make.
        options: of the export.
        images: how images are stored, of all cameras of the robot.
        cameras: camera -> how its images are stored; other cameras are left out. Empty for
            ``images``.
        required: states that the policy of ``options.config`` needs.
    """

    bag: Path
    place: Path
    options: ExportOptions
    images: ImageFormat
    cameras: dict[str, ImageFormat]
    required: tuple[str, ...] = ()

    def __str__(self) -> str:
        return str(self.bag)

    def states(self, contract: RobotContract) -> States:
        """Return which states are stored, and which of them must be good."""
        measured = {c.state for c in contract.actions.values() if c.state is not None}
        return States(self.options.states, self.required, measured.union(contract.sources.listed))

    def formats(self, contract: RobotContract) -> dict[str, ImageFormat]:
        """Return how the images of each camera are stored.

        Raises:
            InputError: the robot lacks a camera.
        """
        for name in self.cameras:
            if name not in contract.all_cameras:
                raise InputError(f"Robot contract {contract.name!r}: "
                                 + unknown("camera of --config", name, contract.all_cameras))
        return self.cameras or dict.fromkeys(contract.cameras, self.images)


class BagOutcome(NamedTuple):
    """What became of a bag.

    Attributes:
        bag: its path.
        place: where its episode is; None if it is not to be exported.
        refused: whether something is wrong with it.
        text: one sentence why it is left out, or what is worth knowing.
        kind: why it is left out in a word or two, to be counted.
    """

    bag: Path
    place: Path | None
    refused: bool
    text: str
    kind: str = ""


class _LeftOut(Exception):
    """A bag that is not wanted; holds the words and the kind of ``BagOutcome``."""


def episode_key(bag: Path) -> str:
    """Return what names the episode of a bag, as long as nobody changes the bag."""
    files = sorted(bag.iterdir()) if bag.is_dir() else [bag]
    about = [(f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in files]
    return hashlib.sha256(repr((str(bag.resolve()), about)).encode()).hexdigest()[:16]


def export_episode(job: BagJob) -> BagOutcome:
    """Make the episodes of a bag, if that has not been done before; the bag is only read."""
    bag, place = job.bag, job.place
    try:
        if not (place / PARTS).is_file():
            with Bag(bag, job.options.namespace) as opened:
                _refuse_unwanted(opened, job.options)
                part = place.with_name(place.name + ".part")
                for old in (part, place):
                    shutil.rmtree(old, ignore_errors=True)
                part.mkdir(parents=True)
                _make(opened, part, job)
                os.replace(part, place)
        return BagOutcome(bag, place, False, read_json(place / PARTS)["note"])
    except _LeftOut as left:
        return BagOutcome(bag, None, False, *left.args)
    except InputError as err:
        return BagOutcome(bag, None, True, str(err))


def _refuse_unwanted(bag: Bag, options: ExportOptions) -> None:
    outcome = bag.custom.get("outcome")
    wanted = {"success": (None, "success"), "failure": ("failure",), "all": (outcome,)}
    if outcome not in wanted[options.outcome]:
        raise _LeftOut(f"its outcome is {outcome or 'not recorded'}; --outcome all takes it too",
                       f"outcome {outcome or 'not recorded'}")
    names = [bag.custom.get(k) for k in ("task", "instruction")]
    if options.tasks and not set(names) & set(options.tasks):
        raise _LeftOut(f"its task is {names[0] or names[1] or 'not recorded'}", "another task")


def _make(bag: Bag, place: Path, job: BagJob) -> None:
    options = job.options
    contract = contract_of(bag, options.robot)
    formats = job.formats(contract)
    recording = read_recording(bag, contract, formats, job.states(contract))
    recorded, instruction = _instruction(bag, recording, options)
    tolerance = contract.stamps.tolerance if options.tolerance is None else options.tolerance
    fps, sampling = options.fps, Sampling(options.fps, options.pick, tolerance)
    check_rates(recording, contract, fps)
    frames = find_frames(recording, sampling)
    source = choose_source(recording, contract, options.actions)
    if source == "chunk":
        _refuse_lost(bag, contract)
    actions = find_actions(recording, contract, source, frames.times, fps, recorded, options.dt)
    first, last = actions.span
    if first == last:
        raise InputError(f"{bag.path} has no frame with a known command; leave it out.")
    commanders, why = frame_commanders(bag, recording, frames.times, actions)
    parts = [(first, last)]
    if options.commander != "all":
        if commanders is None:
            raise _LeftOut(f"{why}; --commander all takes it too", "commander unknown")
        parts = [(first + a, first + b) for a, b in parts_of(
            commanders[first:last], options.commander, round(options.lead_up * fps))]
        if not parts:
            raise _LeftOut(f"no {options.commander} commanded in it", "another commander")
    for number, (first, last) in enumerate(parts):
        part = place / str(number)
        part.mkdir()
        names = None if commanders is None else commanders[first:last]
        _make_part(bag, part, recording, formats, frames.select(first, last), replace(
            actions, values=actions.values[first:last], held=actions.held[first:last]), names,
            {"task": instruction, "robot": contract.name, "source": source,
             "features": _features(contract, recording, formats, actions, fps)}, fps, tolerance)
    # Last: an episode without it is recognizably unfinished.
    held = np.concatenate([actions.held[first:last] for first, last in parts])
    write_json(place / PARTS, {"parts": len(parts), "note": "; ".join(
        [*_notes(bag, held), *recording.notes, *_part_notes(parts, frames, options)])})


def _make_part(bag: Bag, part: Path, recording: Recording, formats: dict[str, ImageFormat],
               frames: Frames, actions: Actions, commanders: np.ndarray | None, about: dict,
               fps: int, tolerance: float) -> None:
    values = actions.values
    arrays = {"action": values.reshape(len(values), -1)}
    arrays["observation.state"] = np.stack(
        [s.values[frames.picks[f"state {n}"]] for n, s in recording.states.items()],
        axis=1).astype(np.float32)
    counts = None
    if commanders is not None:
        arrays[INTERVENTION], counts = interventions(commanders), count_frames(commanders)
    images, stored = store_images(bag, recording, frames, fps, formats, part)
    np.savez(part / ARRAYS, **arrays, **images)
    write_json(part / ABOUT, {
        **about, "frames": len(values), "commanders": counts,
        "images": {name: made.model_dump() for name, made in stored.items()},
        "bag": _about(bag, recording, frames, actions, tolerance)
        | ({} if counts is None else {"commanders": counts})})


def _part_notes(parts: list[tuple[int, int]], frames: Frames, options: ExportOptions
                ) -> list[str]:
    if options.commander == "all":
        return []
    taken = sum(last - first for first, last in parts)
    if taken == len(frames.times):
        return []
    return [f"{options.commander} commanded in {taken} of {len(frames.times)} frames, "
            f"{'an episode' if len(parts) == 1 else f'{len(parts)} episodes'}"]


def _instruction(bag: Bag, recording: Recording, options: ExportOptions
                 ) -> tuple[str | None, str]:
    """Return the recorded instruction, None if there is none, and the one for the dataset."""
    published = recording.instructions
    recorded = bag.custom.get("instruction")
    if recorded is None and len(published) > 1:
        raise InputError(f"{bag.path}: the instruction changes from {published[0]!r} to "
                         f"{published[1]!r}; an episode has one, split this bag or leave it out.")
    if recorded is None and published:
        recorded = published[0]
    if not recorded and not options.instruction:
        raise InputError(f"{bag.path} has no instruction; give --instruction TEXT.")
    return recorded, recorded or options.instruction


def _refuse_lost(bag: Bag, contract: RobotContract) -> None:
    for topic in filter(None, (find_commands(bag, output) for output in contract.outputs)):
        for word in ("lost", "dropped"):
            if f"{word} {topic}" in bag.custom:
                raise InputError(f"{bag.path}: {bag.custom[f'{word} {topic}']} messages of {topic}"
                                 f" were {word}, so that some commands are unknown; leave this "
                                 "bag out.")


def _features(contract: RobotContract, recording: Recording, formats: dict[str, ImageFormat],
              actions: Actions, fps: int) -> dict:
    features = {f"observation.images.{name}": form.feature(fps) for name, form in formats.items()}
    states = list(recording.states)
    features["observation.state"] = {"dtype": "float32", "shape": [len(states)], "names": states}
    names = [f"{c}.{step}" for step in range(actions.values.shape[1]) for c in contract.actions]
    features["action"] = {"dtype": "float32", "shape": [len(names)], "names": names}
    turns, channels = continuous_features(contract, recording.states)
    for feature, note in (("observation.state", turns), ("action", channels)):
        if note:
            features[feature]["continuous"] = note
    return features


def _notes(bag: Bag, held: np.ndarray) -> list[str]:
    notes = []
    if "outcome" not in bag.custom:
        notes.append("its outcome was not recorded")
    if held.any():
        notes.append(f"the arm held for {held.sum()} of {held.size} control steps")
    return notes


def _about(bag: Bag, recording: Recording, frames: Frames, actions: Actions, tolerance: float
           ) -> dict:
    """Return where the episode comes from, for ``meta/bags.json``."""
    lead = next(iter(recording.cameras.values())).stamps
    offsets = {n: np.abs(s.stamps[frames.picks[n]] - frames.times).max() / 1e9
               for n, s in recording.measured.items()}
    kept = ("task", "seed", "outcome", "checkpoint_digest", "backend", "join")
    return {
        "bag": bag.name, **{k: bag.custom[k] for k in kept if k in bag.custom},
        "first_stamp_ns": int(frames.times[0]), "last_stamp_ns": int(frames.times[-1]),
        "images_before": int((lead < frames.times[0]).sum()),
        "images_after": int((lead > frames.times[-1]).sum()),
        "largest_offset_s": round(float(max(offsets.values())), 6),
        "largest_offset_of": max(offsets, key=offsets.get), "tolerance_s": tolerance,
        "actions": actions.source, "control_period_s": actions.dt,
        "held_steps": int(actions.held.sum())}


def describe(about: dict) -> str:
    """Return what must be alike in all episodes of a dataset."""
    return json.dumps([about["features"], about["source"], about["bag"]["control_period_s"]])

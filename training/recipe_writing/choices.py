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

"""What a recipe takes of data and of a robot contract, each value with where it comes from.

A comment begins with ``data``, ``contract`` or ``default``. Defaults are those of
``config/train/default.yaml``, with ``mt10.yaml`` where there are many tasks; docs/training.md says
what they were measured to do.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import numpy as np

from tinyvla_ros.arm.contract import RobotContract
from tinyvla_ros.core.commented_yaml import Noted
from tinyvla_ros.core.errors import InputError, unknown
from training.data.checks.declarations import SQUEEZE, middle_crop
from training.recipe_writing.cameras import Camera
from training.recipe_writing.limits import limits, unit
from training.recipe_writing.summary import DataSummary
from training.recipe_writing.values import Values, span

# Rows or columns of the shorter side: what the shipped policies see.
SHORT_SIDE = 96
# A chunk of demonstrated actions lasts about this long, s, and is not longer than that many rows.
CHUNK_S, MOST_ROWS, LEAST_ROWS = 1.0, 32, 8
# Delay, from the image to the command, that committed rows are learned for, s.
DELAY_S = 0.2
# A frame is drawn about so often.
PASSES, LEAST_STEPS, MOST_STEPS = 15, 2000, 16000
MANY_TASKS = 4
# For positions of joints, what was measured (docs/training.md#pauses).
OF_POSITIONS = {
    "color_jitter": (0.4, "a camera's colors vary with the light"),
    "state_noise": (0.8, "few demonstrations are told apart by exact states"),
    "skip_still": (0.04, "who learned pauses, pauses for ever")}
FUTURE_S = (0.1, 0.2, 0.4, 0.8)


def cameras(data: DataSummary, contract: RobotContract | None) -> tuple[dict, list[str]]:
    """Return the section ``cameras`` and sentences about what was left out.

    All cameras have one size, the first one's. Images that were shrunk when they were stored keep
    their size, for they cannot be shrunk again.

    Raises:
        InputError: the robot has none of them.
    """
    known = contract.all_cameras if contract else data.cameras
    taken = {n: c for n, c in data.cameras.items() if n in known}
    left = [f"Camera {n} is left out, the contract does not have it (known: "
            f"{', '.join(known)})." for n in data.cameras if n not in known]
    if not taken:
        raise InputError(f"Robot {contract.name!r} has no camera of the data: "
                         + unknown("camera", next(iter(data.cameras)), known)
                         + " Name them alike, in the contract or in meta/info.json.")
    resized = next((c for c in taken.values() if c.made.resized), None)
    first = resized or next(iter(taken.values()))
    height, width = (first.height, first.width) if resized else image_size(first)
    section = {}
    for name, camera in taken.items():
        stored = f"{camera.width}x{camera.height}"
        crop = list(camera.made.crop) if camera.made.crop else None
        if camera.made.resized:
            note = f"data: stored in this size, {stored}, and cannot be shrunk again"
        elif (height, width) == (camera.height, camera.width):
            note = f"data: {stored}, as they are; 'height' and 'width' are multiples of 8"
        else:
            note = f"data: {stored}; default: {min(height, width)} on the shorter side is what " \
                   "the shipped policies see, multiples of 8"
        squeezed = width / height / (camera.width / camera.height)
        if abs(squeezed - 1) > SQUEEZE and not camera.made.resized:
            note += f"; squeezed, to keep the proportions give crop: " \
                    f"{middle_crop(camera.width, camera.height, width / height)}"
        section[name] = Noted({"height": height, "width": width, "crop": crop}, note)
    return section, left


def image_size(camera: Camera) -> tuple[int, int]:
    """Return (height, width) for the network: multiples of 8, proportions kept, not enlarged."""
    short, long = sorted((camera.height, camera.width))
    most = max(16, min(SHORT_SIDE + 16, short // 8 * 8))
    sizes = []
    for side in range(max(16, min(SHORT_SIDE - 16, most)), most + 1, 8):
        other = max(8, round(side * long / short / 8) * 8)
        error = abs(other / side / (long / short) - 1)
        sizes.append((error > SQUEEZE, abs(side - SHORT_SIDE) if error <= SQUEEZE else error,
                      side, other))
    _, _, side, other = min(sizes)
    return (side, other) if camera.height <= camera.width else (other, side)


def states(data: DataSummary, contract: RobotContract | None) -> tuple[list[Noted], list[str]]:
    """Return the section ``state`` and sentences about what was left out.

    Raises:
        InputError: nothing is left.
    """
    needed = set(data.turning.values())
    if contract is not None:
        needed |= {c.state for c in contract.actions.values() if c.state}
        needed |= set(contract.joint_names)
    taken, left = [], []
    for name, values in data.states.items():
        reason = _unusable(name, values, contract)
        if not reason and values.is_constant and name not in needed:
            reason = f"it is {values.low:g} in every frame"
        if reason:
            left.append(f"State {name} is left out, {reason}.")
            continue
        note = f"data: {span(values)}"
        if name in data.turns:
            note += f"; turns without end, one turn is {data.turns[name]:.6g}"
        elif values.is_constant:
            note += "; never moves, but the contract or the data measure an action by it"
        taken.append(Noted(name, note))
    if not taken:
        raise InputError("No state is left for a policy: " + " ".join(left))
    return taken, left


def _unusable(name: str, values: Values, contract: RobotContract | None) -> str:
    if values.problem:
        return f"it {values.problem}"
    if contract is not None and contract.sources.find(name) is None:
        return "the contract has no topic for it"
    return ""


def actions(data: DataSummary, contract: RobotContract | None, states: Collection[str]
            ) -> tuple[dict, list[str]]:
    """Return the section ``action`` and sentences about what may surprise.

    Args:
        data: of the recipe.
        contract: of the robot, if it is known.
        states: that the policy sees.

    Raises:
        InputError: the values of a channel are not those of the contract.
    """
    channels, units, lows, highs, notes = [], [], [], [], []
    for name, values in data.channels.items():
        if values.problem:
            roots = " or ".join(str(t.root) for t in data.tables)
            raise InputError(f"{roots}: action {name!r} {values.problem}; correct the data, or "
                             "remove those episodes ('tinyvla data check' names them).")
        channels.append(Noted(name, f"data: {span(values)}"))
        units.append(unit(name, data, contract))
        low, high, surprise = limits(name, data, contract)
        lows.append(low)
        highs.append(high)
        notes += surprise
    if any(u.value == "unknown" for u in units):
        notes.append("The data state no unit of actions; write the robot contract's into "
                     "action.units, or give --robot.")
    dt = 1.0 / (data.fps * data.steps)
    rows, why = _horizon(data, dt)
    relative = _relative(data, contract, states)
    # An arm that follows its commands late has hardly moved after a sixth of a chunk.
    share, words = (2, "half") if relative else (6, "a sixth")
    each = max(1, round(rows / share / data.steps)) * data.steps
    return {
        "channels": channels, "units": units, "low": lows, "high": highs,
        "dt": Noted(float(f"{dt:.9g}"), f"data: {data.fps:g} fps, {data.steps} action(s) per "
                    "frame; seconds"),
        "horizon": Noted(rows, why),
        "n_action_steps": Noted(min(each, rows), f"default: {words} of the chunk, in whole "
                                "frames; in lock-step only"),
        **relative,
    }, notes


def _relative(data: DataSummary, contract: RobotContract | None, states: Collection[str]
              ) -> dict[str, dict]:
    """Return which channels count from the state that measures them, if any do."""
    found = {}
    for name in data.channels:
        measured = contract.actions[name].state if contract else name
        turns = name in data.turns or bool(contract and contract.actions[name].continuous)
        # A gripper's command is open or closed, wherever its jaws are.
        if measured in states and not turns and "gripper" not in name:
            found[name] = Noted(measured, "default: a position is learned as where to go from "
                                "there")
    return {"relative": found} if found else {}


def _horizon(data: DataSummary, dt: float) -> tuple[int, str]:
    if data.plan_rows:
        return data.plan_rows // 4 * 4, f"data: expert_plan has {data.plan_rows} rows; " \
            "a multiple of 4"
    wanted = math.ceil(CHUNK_S / dt / 4 - 1e-3) * 4
    rows = min(max(wanted, LEAST_ROWS), MOST_ROWS)
    longest = int(np.median(data.lengths)) * data.steps // 4 * 4
    if max(longest, LEAST_ROWS) < rows:
        rows = max(longest, LEAST_ROWS)
        return rows, f"data: half of the episodes have {int(np.median(data.lengths))} frames or " \
            "fewer; a multiple of 4"
    why = f"default: {rows * dt:.2g} s; about {CHUNK_S:g} s"
    return rows, why + (f", but at most {MOST_ROWS} rows: later ones are learned badly"
                        if wanted > MOST_ROWS else ", a multiple of 4")


def model(data: DataSummary, contract: RobotContract | None, horizon: int, each: int, dt: float
          ) -> dict:
    """Return the section ``model``."""
    many = len(data.tasks) >= MANY_TASKS
    rows, why = _committed(contract, horizon, each, dt)
    like = f"default: as mt10.yaml, for {len(data.tasks)} tasks" if many else \
        "default: as default.yaml"
    return {"image_channels": Noted(32, "default"), "keypoints": Noted(32, "default"),
            "instruction_dim": Noted(64 if many else 32, like),
            "condition_dim": Noted(384 if many else 256, like),
            "denoiser_channels": Noted([64, 128, 256], "default"),
            "kernel_size": Noted(3, "default"), "committed_rows": Noted(rows, why)}


def _committed(contract: RobotContract | None, horizon: int, each: int, dt: float
               ) -> tuple[int, str]:
    if contract is None or contract.execution.join != "committed":
        return 0, "default: none, which did as well (docs/training.md)"
    rows = max(1, min(math.ceil(DELAY_S / dt - 1e-3), horizon // 2, horizon - each))
    return rows, f"contract: execution.join is committed; delays up to {rows * dt:.2g} s"


def language(data: DataSummary) -> Noted | dict:
    """Return the section ``language``."""
    count = len(data.tasks)
    if count < MANY_TASKS:
        return {"kind": Noted("table", f"data: {count} task(s), each a learned vector; other "
                              "words are refused; hashed takes them")}
    return {"kind": Noted("hashed", f"data: {count} tasks; other words are compared with theirs"),
            "dim": Noted(512, "default")}


def diffusion() -> dict:
    """Return the section ``diffusion``."""
    return {"prediction": Noted("sample", "default: learns from images sooner than epsilon"),
            "schedule": Noted("squaredcos_cap_v2", "default"),
            "train_steps": Noted(100, "default"),
            "sample_steps": Noted(2, "default: two do as well as ten"),
            "spacing": Noted("trailing", "default: begins with pure noise")}


def optimization(data: DataSummary, relative: Collection[str] = ()) -> dict:
    """Return the section ``optimization``.

    Args:
        data: of the recipe.
        relative: channels that count from a state.
    """
    many = len(data.tasks) >= MANY_TASKS
    batch = 64 if many or relative else 32
    wanted = PASSES * data.frames / batch
    steps = int(min(max(math.ceil(wanted / 500) * 500, LEAST_STEPS), MOST_STEPS))
    future = sorted({max(1, round(seconds * data.fps)) for seconds in FUTURE_S})
    special = [*(["gripper"] if "gripper" in data.channels else []), "end"]
    episodes = len(data.lengths)
    held = min(max(round(0.04 * episodes), 1), episodes - 1)
    fraction = 0.04 if round(0.04 * episodes) else round(held / episodes, 4)
    varied: Mapping[str, object] = {
        "shift_pixels": Noted(1, "default: as mt10.yaml"),
        "instruction_dropout": Noted(0.05, "default: as mt10.yaml"),
    } if many else {"shift_pixels": Noted(0, "default: shifted images blur where things are")}
    if relative:
        varied = {**varied, "shift_pixels": Noted(1, "default"), **{
            name: Noted(value, f"default: {why}") for name, (value, why) in OF_POSITIONS.items()}}
    return {
        "steps": Noted(steps, f"data: {data.frames} frames; each is drawn about "
                       f"{steps * batch / data.frames:.2g} times ({PASSES}, from {LEAST_STEPS} to "
                       f"{MOST_STEPS} steps)"),
        "batch_size": Noted(batch, f"default: for {len(data.tasks)} task(s); larger is nearly "
                            "free on a GPU"),
        "noise_samples": Noted(2, "default"), "learning_rate": Noted(3e-3, "default"),
        "warmup_steps": Noted(200, "default"), "final_fraction": Noted(0.02, "default"),
        "weight_decay": Noted(1e-3 if many or relative else 1e-4, "default"),
        "gradient_norm": Noted(1.0, "default"), "ema_decay": Noted(0.998, "default"),
        **varied, "precision": Noted("auto", "default"), "future_weight": Noted(0.5, "default"),
        "future_frames": Noted([*future, *special], f"data: {', '.join(map(str, FUTURE_S))} s at "
                               f"{data.fps:g} fps, and the end of the episode"),
        "validation_fraction": Noted(fraction, f"data: {held} of {episodes} episode(s)"),
        "save_every": Noted(500, "default"), "snapshot_every": Noted(2000, "default")}

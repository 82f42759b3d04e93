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

"""MetaWorld's tasks by benchmark, and by how hard they are published to be; no simulator."""

from __future__ import annotations

from collections.abc import Iterable

# MetaWorld's benchmark of ten tasks, in its order.
MT10 = ("reach-v3", "push-v3", "pick-place-v3", "door-open-v3", "drawer-open-v3",
        "drawer-close-v3", "button-press-topdown-v3", "peg-insert-side-v3", "window-open-v3",
        "window-close-v3")
# All fifty, grouped as in Seo et al. 2022 (Masked World Models, arXiv:2206.14244), which is how
# TinyVLA, SmolVLA, Evo-1 and others report them.
MT50_GROUPS = {
    "mt50-easy": (
        "button-press-v3", "button-press-topdown-v3", "button-press-topdown-wall-v3",
        "button-press-wall-v3", "coffee-button-v3", "dial-turn-v3", "door-close-v3",
        "door-lock-v3", "door-open-v3", "door-unlock-v3", "drawer-close-v3", "drawer-open-v3",
        "faucet-close-v3", "faucet-open-v3", "handle-press-v3", "handle-press-side-v3",
        "handle-pull-v3", "handle-pull-side-v3", "lever-pull-v3", "peg-unplug-side-v3",
        "plate-slide-v3", "plate-slide-back-v3", "plate-slide-back-side-v3",
        "plate-slide-side-v3", "reach-v3", "reach-wall-v3", "window-close-v3", "window-open-v3"),
    "mt50-medium": (
        "basketball-v3", "bin-picking-v3", "box-close-v3", "coffee-pull-v3", "coffee-push-v3",
        "hammer-v3", "peg-insert-side-v3", "push-wall-v3", "soccer-v3", "sweep-v3",
        "sweep-into-v3"),
    "mt50-hard": (
        "assembly-v3", "hand-insert-v3", "pick-out-of-hole-v3", "pick-place-v3", "push-v3",
        "push-back-v3"),
    "mt50-very-hard": (
        "disassemble-v3", "pick-place-wall-v3", "shelf-place-v3", "stick-pull-v3",
        "stick-push-v3")}
MT50 = tuple(task for group in MT50_GROUPS.values() for task in group)
# Pairs with the same objects, which ask for different or opposite motions: what the words must
# tell apart where the images do not.
TWINS = (
    ("door-open-v3", "door-close-v3"), ("door-lock-v3", "door-unlock-v3"),
    ("drawer-open-v3", "drawer-close-v3"), ("faucet-open-v3", "faucet-close-v3"),
    ("window-open-v3", "window-close-v3"), ("handle-press-v3", "handle-pull-v3"),
    ("handle-press-side-v3", "handle-pull-side-v3"), ("coffee-push-v3", "coffee-pull-v3"),
    ("plate-slide-v3", "plate-slide-back-v3"),
    ("plate-slide-side-v3", "plate-slide-back-side-v3"), ("assembly-v3", "disassemble-v3"),
    ("peg-insert-side-v3", "peg-unplug-side-v3"), ("stick-push-v3", "stick-pull-v3"),
    ("sweep-v3", "sweep-into-v3"), ("button-press-v3", "button-press-wall-v3"),
    ("button-press-topdown-v3", "button-press-topdown-wall-v3"),
    ("pick-place-v3", "pick-place-wall-v3"), ("push-v3", "push-wall-v3"),
    ("reach-v3", "reach-wall-v3"))
# Pairs that have the same scene with ``--scenes shared`` and ``chained``.
SCENES = {"puck": ("reach-v3", "pick-place-v3"),
          "drawer": ("drawer-open-v3", "drawer-close-v3"),
          "window": ("window-open-v3", "window-close-v3"),
          "door": ("door-open-v3", "door-close-v3")}
SUITES = {"mt10": MT10, "mt50": MT50, **MT50_GROUPS,
          "scenes": tuple(task for pair in SCENES.values() for task in pair),
          "mt50-twins": tuple(task for pair in TWINS for task in pair)}


def expand_tasks(tasks: Iterable[str]) -> tuple[str, ...]:
    """Return the tasks, with the name of a suite replaced by its tasks."""
    return tuple(name for task in tasks for name in SUITES.get(task, (task,)))


def twin(task: str) -> str | None:
    """Return the task that looks like it, None if there is none."""
    pair = next((pair for pair in TWINS if task in pair), None)
    return None if pair is None else pair[1 - pair.index(task)]

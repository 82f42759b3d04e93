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

"""A policy in a changed world, before and after a person took over from it some times.

The front camera is moved by 3 cm and turned by 8 degrees, the table is dark, the cube has twice
its weight. A scripted person watches the policy over topics, takes the leader arm where it has not
succeeded after 6 s, and finishes. With the first N of these episodes the policy is improved and
judged on the same unseen scenes, and in the world that it was trained in; beside it with as many
fresh demonstrations in the changed world, and with other rules of what is learned. What a run has
finished is not done again: the same command goes on, and with more seeds or rules adds them.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import yaml
from _commands import Commands
from _figures import print_heading

from sim_bridge.results.saved import SavedResults
from tinyvla_ros.bags.reader import find_bags
from tinyvla_ros.core.intervals import rate_text
from tinyvla_ros.core.resources import robot_file, share_directory
from tinyvla_ros.core.tables import markdown_table
from training.improve.judgment import judge

TASK = "so101-pick-place"
INSTRUCTION = "pick up the cube and put it on the mark"
FRONT = {"lookat": [0.175, 0.03, 0.03], "distance": 0.44, "azimuth": 172.0, "elevation": -47.0}
SURROUNDINGS = {"table_color": [0.2, 0.22, 0.2], "cube_mass": 0.06}
PATIENCE_S = 6
TAKEOVER_SCENES, FRESH_SCENES, EVALUATION_SCENES = 70_000, 72_000, 63_000
TAKEOVERS, FRESH = "takeovers", "fresh demonstrations"


@dataclass(frozen=True)
class Training:
    """One training.

    Attributes:
        source: of its episodes.
        rule: what is learned of them.
        count: how many.
        seed: of the training.
    """

    source: str
    rule: str
    count: int
    seed: int

    @property
    def name(self) -> str:
        """Of its directory."""
        return f"{self.source.split()[0]}_{self.rule}_{self.count}_{self.seed}"

    @property
    def kind(self) -> tuple[str, str, int]:
        """What several seeds have in common."""
        return self.source, self.rule, self.count


@dataclass(frozen=True)
class Worlds:
    """Where policies are judged, and what the old one does there.

    Attributes:
        commands: runs the evaluations.
        out: directory of the results of the old policy.
        changed: file of the changed world.
        scenes: of each evaluation.
    """

    commands: Commands
    out: Path
    changed: Path
    scenes: int

    def evaluate(self, checkpoint: Path, place: Path) -> None:
        """Write the directories ``changed`` and ``home`` in a place, unless they are there."""
        for name, more in (("changed", ["--config", self.changed]), ("home", [])):
            if not (place / name / "results.json").is_file():
                self.commands.tinyvla(
                    "evaluate", "--tasks", TASK, "--episodes", self.scenes, "--seed",
                    EVALUATION_SCENES, "--checkpoint", checkpoint, "--out", place / name, *more)

    def rate(self, world: str, place: Path | None = None) -> float:
        """Return the success rate of an evaluation, by default the old policy's."""
        return float(np.mean(outcomes((place or self.out) / world)))

    def row(self, training: Training, place: Path) -> list[str]:
        """Return what became of a training."""
        changed = judge(self.out / "changed", place / "changed")
        home = judge(self.out / "home", place / "home")
        minutes = float((place / "seconds").read_text()) / 60
        return [training.source, training.rule, str(training.count), str(training.seed),
                rate_text(outcomes(place / "changed")),
                f"{changed.gained} / {changed.lost}, p = {changed.p:.1g}",
                rate_text(outcomes(place / "home")),
                f"{home.gained} / {home.lost}, p = {home.p:.1g}", f"{minutes:.1f}"]

    def mean_row(self, kind: tuple[str, str, int], places: Sequence[Path]) -> list[str]:
        """Return the mean of several seeds, and how much of what was lost came back."""
        changed, home = (100 * np.mean([self.rate(w, p) for p in places])
                         for w in ("changed", "home"))
        before, whole = 100 * self.rate("changed"), 100 * self.rate("home")
        return [*map(str, kind), str(len(places)), f"{changed:.0f} %",
                f"{changed - before:+.0f}", f"{(changed - before) / (whole - before):.0%}",
                f"{home:.0f} %"]


def changed_world(path: Path) -> Path:
    """Write the configuration of the changed world."""
    world = yaml.safe_load((share_directory() / "config/so101.yaml").read_text())
    world["cameras"]["front"] |= FRONT
    path.write_text(yaml.safe_dump(world | {"surroundings": SURROUNDINGS}, sort_keys=False))
    return path


def outcomes(results: Path) -> list[bool]:
    """Return which episodes of an evaluation succeeded."""
    return list(SavedResults.read(results).outcomes.values())


def recorded(episodes: Path, count: int) -> list[Path]:
    """Return bags; ends the script if there are too few."""
    found = find_bags(episodes)
    if len(found) < count:
        sys.exit(f"{episodes} has {len(found)} episodes, {count} are wanted; delete it, or give "
                 "smaller numbers")
    return found


def record(commands: Commands, args: argparse.Namespace, world: Path) -> dict[str, list[Path]]:
    """Record the episodes that are not there yet; return source -> bags."""
    robot, out, found = robot_file("so101"), args.out, {}
    scene = ("sim-robot", "--task", TASK, "--config", world)
    if count := max([*args.takeovers, args.compared if args.rules[1:] else 0]):
        episodes = out / "episodes"
        if not episodes.exists():
            with commands.step(f"{count} episodes with a person who takes over"), \
                    commands.running("run", "--robot", robot, "--checkpoint", args.checkpoint,
                                     "--takeover", "leader", "--record", "--out", episodes):
                commands.tinyvla(*scene, "--seed", TAKEOVER_SCENES, "--demonstrate", count,
                                 "--takeover-after", PATIENCE_S)
        found[TAKEOVERS] = recorded(episodes, count)
    if count := max(args.fresh, default=0):
        episodes = out / "fresh"
        if not episodes.exists():
            with commands.step(f"{count} demonstrations"), commands.running(
                    "teleop", "--robot", robot, "--input", "leader", "--record", "--out",
                    episodes, "--instruction", INSTRUCTION, "--task", TASK, "--episodes", count,
                    "--reset-s", 0.5, "--reset-service", "sim_robot_node/reset"):
                commands.tinyvla(*scene, "--seed", FRESH_SCENES, "--demonstrate", count)
        found[FRESH] = recorded(episodes, count)
    return found


def trainings(args: argparse.Namespace) -> Iterator[Training]:
    """Yield all trainings, so that a run that is cut off has whole seeds."""
    first, *others = args.rules
    for seed in args.seeds:
        for count in args.takeovers:
            yield Training(TAKEOVERS, first, count, seed)
        for count in args.fresh:
            yield Training(FRESH, first, count, seed)
    for seed in args.seeds:
        for rule in others:
            yield Training(TAKEOVERS, rule, args.compared, seed)


def main() -> int:
    """Record episodes, improve with some of them, and print tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, required=True, help="of so101-pick-place")
    parser.add_argument("--data", type=Path, required=True, help="what it was trained with")
    parser.add_argument("--out", type=Path, default=Path("results/improve"))
    parser.add_argument("--takeovers", type=int, nargs="*", default=[10, 20, 50],
                        help="numbers of episodes with the first rule")
    parser.add_argument("--fresh", type=int, nargs="*", default=[10, 20, 50],
                        help="numbers of demonstrations instead")
    parser.add_argument("--rules", nargs="+", default=["human", "mixed", "success"])
    parser.add_argument("--compared", type=int, default=20, help="episodes for the other rules")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of the trainings")
    parser.add_argument("--scenes", type=int, default=50, help="of each evaluation")
    parser.add_argument("--more", nargs="*", default=[], help="further options of improve, such "
                        "as steps=1000 processes=2")
    args = parser.parse_args()
    commands = Commands(args.out)
    worlds = Worlds(commands, args.out / "before", changed_world(args.out / "world.yaml"),
                    args.scenes)
    print_heading("Takeovers make a policy better", ["mujoco", "torch", "onnxruntime"],
                  scenes=args.scenes, options=" ".join(args.more))
    worlds.evaluate(args.checkpoint, worlds.out)
    episodes = record(commands, args, worlds.changed)
    more = [text for option in args.more
            for text in (f"--{option.partition('=')[0].replace('_', '-')}",
                         option.partition("=")[2])]
    rows, done = [], []
    for training in trainings(args):
        place = args.out / training.name
        if not (place / "seconds").exists():
            begin = time.perf_counter()
            bags = episodes[training.source][:training.count]
            commands.tinyvla("improve", args.checkpoint, *bags, "--data", args.data, "--rule",
                             training.rule, "--out", place / "work", "--set",
                             f"seed={training.seed}", *more)
            (place / "seconds").write_text(f"{time.perf_counter() - begin:.0f}")
        worlds.evaluate(place / "work/checkpoint", place)
        rows.append(worlds.row(training, place))
        done.append((training.kind, place))
        print(*rows[-1], sep=", ", flush=True)
    done.sort(key=lambda pair: (pair[0][0] == FRESH, args.rules.index(pair[0][1]), pair[0][2]))
    means = [worlds.mean_row(kind, [place for _, place in group])
             for kind, group in groupby(done, key=lambda pair: pair[0])]
    old = [rate_text(outcomes(worlds.out / world)) for world in ("changed", "home")]
    print(f"\nBefore: {old[0]} in the changed world, {old[1]} in that of the demonstrations.\n")
    print(markdown_table(["episodes", "rule", "n", "seeds", "changed world", "points", "recovered",
                          "world of the demonstrations"], means))
    print(markdown_table(["episodes", "rule", "n", "seed", "changed world", "gained / lost",
                          "world of the demonstrations", "gained / lost", "min"], rows))
    print(markdown_table(["step", "s"], commands.rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())

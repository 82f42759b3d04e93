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
judged on the same unseen scenes, and in the world that it was trained in.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path

import yaml
from _commands import Commands
from _figures import print_heading

from sim_bridge.results.saved import SavedResults
from tinyvla_ros.bags.reader import find_bags
from tinyvla_ros.core.intervals import rate_text
from tinyvla_ros.core.resources import robot_file, share_directory
from tinyvla_ros.core.tables import markdown_table

TASK = "so101-pick-place"
FRONT = {"lookat": [0.175, 0.03, 0.03], "distance": 0.44, "azimuth": 172.0, "elevation": -47.0}
SURROUNDINGS = {"table_color": [0.2, 0.22, 0.2], "cube_mass": 0.06}
PATIENCE_S = 6
TAKEOVER_SCENES, EVALUATION_SCENES = 70_000, 63_000


def changed_world(path: Path) -> Path:
    """Write the configuration of the changed world."""
    world = yaml.safe_load((share_directory() / "config/so101.yaml").read_text())
    world["cameras"]["front"] |= FRONT
    path.write_text(yaml.safe_dump(world | {"surroundings": SURROUNDINGS}, sort_keys=False))
    return path


def success(results: Path) -> str:
    """Return the rate of an evaluation with its interval."""
    return rate_text(list(SavedResults.read(results).outcomes.values()))


def main() -> int:
    """Record takeovers, improve with some of them, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, required=True, help="of so101-pick-place")
    parser.add_argument("--data", type=Path, required=True, help="what it was trained with")
    parser.add_argument("--out", type=Path, default=Path("results/improve"))
    parser.add_argument("--takeovers", type=int, nargs="+", default=[10, 20, 50])
    parser.add_argument("--scenes", type=int, default=50, help="of each evaluation")
    parser.add_argument("--rule", default="human")
    parser.add_argument("--seed", type=int, default=0, help="of the training")
    parser.add_argument("--more", nargs="*", default=[], help="further options of improve, such "
                        "as steps=1000 processes=2")
    args = parser.parse_args()
    out, most = args.out, max(args.takeovers)
    commands, robot = Commands(out), robot_file("so101")
    world, episodes = changed_world(out / "world.yaml"), out / "episodes"
    print_heading("Takeovers make a policy better", ["mujoco", "torch", "onnxruntime"],
                  episodes=most, scenes=args.scenes, rule=args.rule, seed=args.seed,
                  options=" ".join(args.more))
    if not episodes.exists():
        with commands.step(f"{most} episodes with a person who takes over"), \
                commands.running("run", "--robot", robot, "--checkpoint", args.checkpoint,
                                 "--takeover", "leader", "--record", "--out", episodes):
            commands.tinyvla("sim-robot", "--task", TASK, "--seed", TAKEOVER_SCENES,
                             "--demonstrate", most, "--takeover-after", PATIENCE_S,
                             "--config", world)
    found = find_bags(episodes)
    if len(found) < most:
        sys.exit(f"{episodes} has {len(found)} episodes, {most} are wanted; delete it, or give "
                 "fewer --takeovers")
    usual = ["evaluate", "--tasks", TASK, "--episodes", args.scenes, "--seed", EVALUATION_SCENES]
    rows, name = [], f"{args.rule}_{args.seed}"
    home = out / "before_at_home"
    if not home.exists():
        commands.tinyvla(*usual, "--checkpoint", args.checkpoint, "--out", home)
    more = [text for option in args.more
            for text in (f"--{option.partition('=')[0].replace('_', '-')}",
                         option.partition("=")[2])]
    for count in args.takeovers:
        place = out / f"improved_{name}_{count}"
        begin = time.perf_counter()
        commands.tinyvla("improve", args.checkpoint, *found[:count], "--data",
                         args.data, "--rule", args.rule, "--out", place, "--tasks", TASK,
                         "--episodes", args.scenes, "--seed", EVALUATION_SCENES, "--config", world,
                         "--set", f"seed={args.seed}", *more, accepted=(0, 1))
        seconds = time.perf_counter() - begin
        shutil.rmtree(place / "home", ignore_errors=True)
        commands.tinyvla(*usual, "--checkpoint", place / "run/last", "--out", place / "home")
        [judged] = (place / "evaluation").iterdir()
        rows.append([f"after {count} episodes", success(judged / "after"),
                     success(place / "home"), f"{seconds / 60:.1f}"])
        before = success(judged / "before")
    rows.insert(0, ["before", before, success(home), "-"])
    print(f"\n{markdown_table(['', 'changed world', 'world of its data', 'min'], rows)}")
    print(markdown_table(["step", "s"], commands.rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())

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

"""From a running arm to a policy that moves it: the tutorial (docs/own-arm.md) as one script.

Every step is a command of the tutorial, on the simulated SO-101, with a scripted operator in the
place of a person. Prints how long each took, and the success of the policy on unseen scenes, in
lock-step and on the wall clock. ``--small`` runs all steps in a few minutes, without the claim
that the policy learned anything.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from pathlib import Path

from _commands import Commands
from _figures import print_heading

from tinyvla_ros.core.intervals import wilson_interval
from tinyvla_ros.core.resources import robot_file
from tinyvla_ros.core.tables import markdown_table

TASK = "so101-pick-place"
INSTRUCTION = "pick up the cube and put it on the mark"
SMALL = ["optimization.steps=40", "optimization.warmup_steps=10", "optimization.batch_size=8",
         "optimization.save_every=40", "optimization.snapshot_every=0",
         "model.image_channels=8", "model.keypoints=8", "model.denoiser_channels=[16,16,16]"]
# Scenes of demonstrations; those of evaluations are counted from 0.
FIRST_SCENE = 400_000


def fill_in(draft: Path) -> int:
    """Answer what a drafted contract asks for, as a person who knows the arm; return how often."""
    text = draft.read_text()
    # What is asked for of the SO-101 is in its own contract.
    known = robot_file("so101").read_text()
    answers = 0
    lines = []
    for line in text.splitlines():
        if asked := re.match(r"\s*(\w+): \?\?\?", line):
            found = re.search(rf"\b{asked[1]}: ([-\w.]+)", known)
            line = line.replace("???", found[1] if found else "1.0", 1)
            answers += 1
        lines.append(line)
    draft.write_text("\n".join(lines) + "\n")
    return answers


def main() -> int:
    """Run all steps and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("results/own_arm"))
    parser.add_argument("--demonstrations", type=int, default=100)
    parser.add_argument("--episodes", type=int, default=50)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE",
                        help="changes of the recipe")
    args = parser.parse_args()
    if args.small:
        args.demonstrations, args.episodes, args.set = 2, 1, SMALL
    out, robot, tutorial = args.out, robot_file("so101"), Commands(args.out)
    draft, demos, data = out / "my_arm.yaml", out / "demonstrations", out / "data"
    recipe, run = out / "recipe.yaml", out / "run"
    if not args.small:
        print_heading("From an own arm to an own policy", ["mujoco", "torch", "onnxruntime"],
                      demonstrations=args.demonstrations, episodes=args.episodes)

    seconds = 2 if args.small else 10  # to listen, and of the dry run
    with tutorial.step("robot init"), tutorial.running("sim-robot", "--task", TASK,
                                                       until=f"{TASK} is there"):
        tutorial.tinyvla("robot", "init", "--out", draft, "--seconds", seconds)
        print(f"{fill_in(draft)} value(s) filled in")
    with tutorial.step(f"{args.demonstrations} demonstrations"), tutorial.running(
            "teleop", "--robot", robot, "--input", "leader", "--record", "--out", demos,
            "--instruction", INSTRUCTION, "--task", TASK, "--episodes", args.demonstrations,
            "--reset-s", 0.5, "--reset-service", "sim_robot_node/reset"):
        tutorial.tinyvla("sim-robot", "--task", TASK, "--seed", FIRST_SCENE, "--demonstrate",
                         args.demonstrations)
    print(tutorial.tinyvla("bag", "info", demos).splitlines()[-1])
    with tutorial.step("export and check"):
        # On a busy machine an image may be late, and a bag refused for it; the others are taken.
        late, fps = (0.5, 15) if args.small else (0.15, 20)
        exported = tutorial.tinyvla("bag", "export", demos, "--out", data, "--tolerance", late,
                                    "--fps", fps, "--dt", 1 / fps, accepted=(0, 1))
        print("\n".join(exported.splitlines()[-2:]))
        tutorial.tinyvla("data", "check", data)
    with tutorial.step("recipe"):
        tutorial.tinyvla("recipe", "--from", data, "--robot", robot, "--out", recipe)
    with tutorial.step("train"):
        changes = [part for change in args.set for part in ("--set", change)]
        tutorial.tinyvla("train", "--config", recipe, "--data", data, "--out", run,
                         "--processes", min(2, os.cpu_count() or 1), *changes)
        tutorial.tinyvla("export", run / "last")
    with tutorial.step("robot check, live"), tutorial.running("sim-robot", "--task", TASK,
                                                              until=f"{TASK} is there"):
        for contract in (robot, draft):
            print(tutorial.tinyvla("robot", "check", contract, "--checkpoint", run / "last",
                                   "--live", "--seconds", seconds / 2).splitlines()[-1])
    with tutorial.step("dry run"):
        tutorial.tinyvla("dry-run", "--robot", robot, "--checkpoint", run / "last", "--seconds",
                         seconds, accepted=(0, 1))
    results = {}
    for mode, more in (("lockstep", []), ("realtime", ["--record"])):
        with tutorial.step(f"{args.episodes} episodes, {mode}"):
            tutorial.tinyvla("sim-eval", "--tasks", TASK, "--checkpoint", run / "last",
                             "--episodes", args.episodes, "--seed", 0, "--mode", mode, "--out",
                             out / mode, *more, *(["--horizon", 100] if args.small else []))
        results[mode] = json.loads((out / mode / "results.json").read_text())["tasks"][TASK]
    with tutorial.step("report"):
        tutorial.tinyvla("bag", "report", out / "realtime" / "episodes", "--out",
                         out / "report.html")
    print(f"\n{markdown_table(['step', 's'], tutorial.rows)}")
    for mode, found in results.items():
        low, high = wilson_interval(found["successes"], found["episodes"])
        print(f"{mode}: {found['successes']}/{found['episodes']}, "
              f"{100 * found['success_rate']:.0f} % ({100 * low:.0f}-{100 * high:.0f})")
    return 0


if __name__ == "__main__":
    sys.exit(main())

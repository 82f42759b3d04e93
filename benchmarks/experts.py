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

"""How often scripted experts end an episode that does not go as planned.

Each of the tasks with an expert of ours for corrections (``collect --policy``), by that and by
MetaWorld's own, on the same seeds: undisturbed, under the pushes of ``collect``, and after the
closed fingers were let down on top of the object, where a policy often stops.
"""

from __future__ import annotations

import argparse
from contextlib import closing

import numpy as np
from _figures import print_heading

from sim_bridge.arms import HORIZON
from sim_bridge.metaworld.closed_fingers import ON_TOP_STEPS, close_on_top
from sim_bridge.metaworld.environment import MetaWorldEnv
from sim_bridge.metaworld.expert import Expert
from sim_bridge.metaworld.experts import make_expert
from sim_bridge.metaworld.grasping_experts import GRASPS
from sim_bridge.metaworld.pushes import Pushes
from tinyvla_ros.core.tables import markdown_table
from training.jobs.progress import progress_bar

FIRST_SEED = 900_000_000  # of neither demonstrations nor evaluations
PUSHED = 0.7  # amplitude in units of an action; 0 to 1 in demonstrations


def main() -> None:
    """Run the episodes and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", default=list(GRASPS), choices=list(GRASPS))
    parser.add_argument("--episodes", type=int, default=30, help="per task, expert and beginning")
    args = parser.parse_args()
    print_heading("Experts", ("metaworld", "mujoco"), episodes=args.episodes, pushes=PUSHED)
    rows = []
    with progress_bar(total=len(args.tasks) * 6 * args.episodes, unit="episode") as progress:
        for task in args.tasks:
            with closing(MetaWorldEnv(task)) as env:
                cells = []
                for amplitude, is_on_top in ((0.0, False), (PUSHED, False), (0.0, True)):
                    for corrects in (False, True):
                        expert = make_expert(task, "standard", corrects)
                        outcomes = []
                        for seed in range(FIRST_SEED, FIRST_SEED + args.episodes):
                            outcomes.append(ends(env, expert, seed, amplitude, is_on_top))
                            progress.update()
                        cells.append(100.0 * np.mean(outcomes))
                rows.append([task, *cells])
    rows.append(["mean", *np.mean([row[1:] for row in rows], axis=0)])
    head = ["task", "undisturbed", "pushed", "fingers closed on top"]
    pairs = [[row[0], *(f"{row[i]:.0f} / {row[i + 1]:.0f}" for i in (1, 3, 5))] for row in rows]
    print("\nSuccess in %, MetaWorld's expert / ours:\n")
    print(markdown_table(head, pairs), flush=True)


def ends(env: MetaWorldEnv, expert: Expert, seed: int, amplitude: float, is_on_top: bool) -> bool:
    """Return whether the expert succeeds within the horizon."""
    env.reset_unseen(seed)
    pushes = Pushes(np.random.default_rng(seed), amplitude)
    if is_on_top:
        close_on_top(env, GRASPS[env.task].offset)
    for _ in range(HORIZON - is_on_top * ON_TOP_STEPS):
        action = np.clip(expert.get_action(env.privileged_observation), -1.0, 1.0)
        action[:3] += pushes.sample()
        if env.control(action)[1]:
            return True
    return False


if __name__ == "__main__":
    main()

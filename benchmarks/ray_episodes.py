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

"""The same episodes by local processes and on a Ray cluster of two nodes, and with a kill.

Both nodes are on this machine and have one CPU each. Every result is compared; only latencies may
differ. In the third run, a worker is killed when a quarter of the episodes is done.
"""

from __future__ import annotations

import argparse
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace

import psutil
from ray.cluster_utils import Cluster

from sim_bridge.episodes import plan_episodes
from sim_bridge.opengl import require_opengl
from sim_bridge.simulated_robot import SimulatedRobotConfig
from tinyvla_ros.core.resources import default_checkpoint
from tinyvla_ros.core.tables import markdown_table
from training.jobs.episodes import EpisodeOutcome, EpisodeRun, PolicySource, run_episode
from training.jobs.local_processes import LocalProcesses
from training.jobs.pool import work_through
from training.jobs.ray_cluster import RAY_SETTINGS, RayCluster
from training.jobs.workers import Job, Workers


def main() -> None:
    """Run the episodes three times and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+",
                        default=["reach-v3", "button-press-v3", "pick-place-v3"])
    parser.add_argument("--episodes", type=int, default=200)
    parser.add_argument("--seed", type=int, default=60000)
    args = parser.parse_args()
    require_opengl()
    robot, source = SimulatedRobotConfig.load(), PolicySource(default_checkpoint())
    runs = [EpisodeRun(source, spec, robot)
            for spec in plan_episodes(args.tasks, -(-args.episodes // len(args.tasks)), args.seed)]
    runs = runs[:args.episodes]
    os.environ.update({**RAY_SETTINGS, **os.environ})
    rows, expected = [], None
    for name in ("2 local processes", "Ray, 2 nodes", "Ray, 2 nodes, a worker killed"):
        cluster = Cluster() if name.startswith("Ray") else None
        for _ in range(2 if cluster else 0):
            cluster.add_node(num_cpus=1, object_store_memory=100 << 20, include_dashboard=False)
        begin = time.perf_counter()
        workers = RayCluster(cluster.address) if cluster else LocalProcesses(2)
        found = results(runs, workers, kill_a_worker if "killed" in name else None)
        rows.append([name, len(found), sum(f.result.success for f in found),
                     f"{time.perf_counter() - begin:.1f}"])
        if cluster:
            cluster.shutdown()
        expected = expected or found
        rows[-1].append(sum(a == b for a, b in zip(expected, found, strict=True)))
    print(markdown_table(["", "episodes", "successes", "wall time s", "equal to local"], rows))


def results(runs: list[EpisodeRun], workers: Workers,
            at_a_quarter: Callable[[], None] | None) -> list[EpisodeOutcome]:
    """Return the outcomes in order, without their latencies."""
    found = []

    def finished(job: Job, outcome: EpisodeOutcome) -> None:
        found.append(replace(outcome, latency_ms=()))
        if len(found) == len(runs) // 4 and at_a_quarter is not None:
            at_a_quarter()

    with workers:
        work_through((Job("episode", run_episode, run) for run in runs), finished, workers,
                     in_order=True)
    return found


def kill_a_worker() -> None:
    """Send SIGKILL to a worker that is doing a job."""
    while True:
        for process in psutil.Process().children(recursive=True):
            if process.status() != psutil.STATUS_ZOMBIE and "RayWorker.do" in process.name() + \
                    " ".join(process.cmdline()):
                process.send_signal(signal.SIGKILL)
                return


if __name__ == "__main__":
    main()

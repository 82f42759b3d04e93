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

"""What the benchmarks share: the heading, the alternating clock and the table.

Importable only; running it does nothing.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path

import numpy as np

from tinyvla_ros.core.tables import markdown_table


def print_heading(title: str, packages: Sequence[str], **protocol: object) -> None:
    """Print what a reader needs to judge the figures: machine, date, versions, protocol.

    Args:
        title: what is measured.
        packages: distributions whose versions matter for it.
        protocol: name -> value of everything that was chosen.
    """
    load = os.getloadavg()[0]
    versions = [f"{name} {_version(name)}" for name in packages]
    print(f"\n## {title}\n")
    print(f"machine:  {_cpu_model()}, {len(os.sched_getaffinity(0))} cores, "
          f"load {load:.1f} at the start")
    print(f"date:     {datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC")
    print(f"versions: {', '.join([f'Python {platform.python_version()}', *versions])}")
    print(f"protocol: {', '.join(f'{k} {v}' for k, v in protocol.items())}", flush=True)


def alternate(settings: Mapping[str, Callable[[], object]], rounds: int, warmup: int,
              limit_s: float) -> dict[str, list[float]]:
    """Time every setting once a round, so that drift of the machine meets all of them alike.

    The order rotates: none always runs in the caches another one left behind.

    Args:
        settings: name -> what to time.
        rounds: rounds that count.
        warmup: rounds before them.
        limit_s: after this many seconds no round begins, except the first that counts.

    Returns:
        Setting -> seconds of each round that counts, in the order of ``settings``.
    """
    labels = list(settings)
    samples: dict[str, list[float]] = {label: [] for label in labels}
    deadline = time.monotonic() + limit_s
    for number in range(-warmup, rounds):
        if number > 0 and time.monotonic() > deadline:
            break
        first = number % len(labels)
        for label in labels[first:] + labels[:first]:
            start = time.perf_counter()
            settings[label]()
            elapsed = time.perf_counter() - start
            if number >= 0:
                samples[label].append(elapsed)
    return samples


def print_table(samples: Mapping[str, Sequence[float]], baselines: Sequence[str] = (),
                items: tuple[str, int] | None = None) -> None:
    """Print median and p99 of every setting as a Markdown table.

    Args:
        samples: setting -> seconds.
        baselines: settings to compare with. The ratio is the median over rounds of
            (baseline's time / own time), so both come from the same moment; above 1 is faster.
        items: name and number of the things done in one sample, for a throughput column.
    """
    head = ["", "n", "median (p50) ms", "p99 ms", *([f"{items[0]}/s"] if items else []),
            *(f"speed vs {name}" for name in baselines)]
    rows = []
    for label, seconds in samples.items():
        median, p99 = np.percentile(seconds, (50, 99))
        rows.append([label, len(seconds), f"{1e3 * median:.2f}", f"{1e3 * p99:.2f}",
                     *([f"{items[1] / median:.1f}"] if items else []),
                     *(f"{np.median(np.divide(samples[name], seconds)):.2f}"
                       for name in baselines)])
    print(f"\n{markdown_table(head, rows)}", flush=True)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "(not from pip)"  # a ROS installation brings its own


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()  # ARM names no model there


def latency_row(name: str, seconds: list[float]) -> list[object]:
    """Return a row of a table: name, tries, answers, and p50, p99 and maximum in ms.

    ``seconds`` are infinite where no answer came.
    """
    got = [s for s in seconds if np.isfinite(s)]
    p50, p99 = np.percentile(got, [50, 99]) if got else (np.nan, np.nan)
    return [name, len(seconds), len(got), *(f"{1e3 * v:.1f}" for v in (p50, p99, max(got)))]

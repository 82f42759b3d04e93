# SPDX-License-Identifier: Apache-2.0
"""What is in a bag: duration, rates, gaps, losses, outcome."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from tinyvla_ros.bags.reader import Bag, find_bags
from tinyvla_ros.core.errors import InputError

# A pause is a gap if it is longer than this many of the topic's median periods ...
GAP_PERIODS = 3.0
# ... of which there must be enough to speak of a period.
LEAST_MESSAGES = 10
# Custom data shown first; text as long as a robot contract is left to --json.
FIRST = ("task", "instruction", "seed", "outcome", "steps", "checkpoint_digest", "robot", "join")
LONGEST = 100


@dataclass(frozen=True)
class TopicInfo:
    """A topic's timing, by receive time.

    Attributes:
        name, type: of the topic.
        count: messages.
        bytes: of all messages, as they are without compression.
        rate_hz: over the whole recording of the topic; 0 for less than two messages.
        period_ms, longest_ms: median and longest time between two messages.
        gaps: pauses longer than three median periods.
        publishers: at least, when it was recorded.
        lost, dropped: messages that did not arrive, and that arrived and were not written, as far
            as the recorder could tell.
    """

    name: str
    type: str
    count: int
    bytes: int
    rate_hz: float
    period_ms: float
    longest_ms: float
    gaps: int
    publishers: int
    lost: int
    dropped: int


@dataclass(frozen=True)
class BagInfo:
    """Everything ``tinyvla bag info`` prints; ``custom`` is the recorder's text by name."""

    path: str
    start_ns: int
    duration_s: float
    topics: tuple[TopicInfo, ...]
    custom: dict[str, str]


def bag_info(bag: Bag) -> BagInfo:
    """Measure a bag; every message is read, none is decoded."""
    times: dict[str, list[int]] = {name: [] for name in bag.topics}
    sizes = dict.fromkeys(bag.topics, 0)
    for message in bag.messages():
        times[message.topic.name].append(message.log_ns)
        sizes[message.topic.name] += len(message.data)
    topics = []
    for name, topic in sorted(bag.topics.items()):
        stamps = times[name]
        periods = np.diff(stamps) / 1e6
        median = float(np.median(periods)) if len(periods) else 0.0
        span = (stamps[-1] - stamps[0]) / 1e9 if stamps else 0.0
        gaps = int((periods > GAP_PERIODS * median).sum()) if len(stamps) >= LEAST_MESSAGES else 0
        topics.append(TopicInfo(
            name, topic.type, len(stamps), sizes[name],
            (len(stamps) - 1) / span if span > 0 else 0.0, median,
            float(periods.max()) if len(periods) else 0.0, gaps, topic.publishers,
            int(bag.custom.get(f"lost {name}", 0)), int(bag.custom.get(f"dropped {name}", 0))))
    return BagInfo(str(bag.path), bag.start_ns, bag.duration_s, tuple(topics), dict(bag.custom))


def describe(info: BagInfo) -> str:
    """Return the text of ``tinyvla bag info``."""
    custom = {k: info.custom[k] for k in FIRST if k in info.custom}
    messages, size = sum(t.count for t in info.topics), sum(t.bytes for t in info.topics)
    lines = [info.path,
             f"  {info.duration_s:.2f} s, {messages} messages, {size / 1e6:.1f} MB"]
    if custom:
        lines.append("  " + ", ".join(f"{k} {v}" for k, v in custom.items()))
    width = max([len(t.name) for t in info.topics] + [5])
    lines.append(f"  {'topic':{width}}  messages     Hz  period ms  longest ms  gaps  lost  "
                 "dropped  type")
    for t in info.topics:
        lines.append(f"  {t.name:{width}}  {t.count:8}  {t.rate_hz:5.1f}  {t.period_ms:9.1f}  "
                     f"{t.longest_ms:10.1f}  {t.gaps:4}  {t.lost:4}  {t.dropped:7}  {t.type}")
    more = [f"  {t.name} has {t.publishers} publishers" for t in info.topics if t.publishers > 1]
    more += [f"  {k}: {v}" for k, v in info.custom.items()
             if k not in FIRST and len(v) <= LONGEST and not k.startswith(("lost ", "dropped "))]
    return "\n".join(lines + more)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``tinyvla bag info``."""
    parser.add_argument("bags", nargs="+", type=Path, metavar="BAG",
                        help="bags, or folders of bags")
    parser.add_argument("--json", action="store_true", help="everything, as JSON lines")


def run(options: argparse.Namespace) -> int:
    """Print bags; one that cannot be read does not stop the others."""
    failed = 0
    for path in bags_of(options.bags):
        try:
            with Bag(path) as bag:
                info = bag_info(bag)
        except InputError as err:
            failed += 1
            print(f"error: {err}")
            continue
        print(json.dumps(asdict(info)) if options.json else describe(info), flush=True)
    return 2 if failed else 0


def bags_of(paths: Sequence[Path]) -> list[Path]:
    """Return all bags at or below several paths."""
    return [bag for path in paths for bag in find_bags(path)]

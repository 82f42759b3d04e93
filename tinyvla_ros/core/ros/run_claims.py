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

"""Which of two runs in one ROS domain goes on: every node claims its name and its topics.

A run is the set of nodes that one command starts. Two runs whose nodes share a name or a topic
would use each other's messages, so one of them must end. Every node decides that by itself, from
the same claims and by the same rule; no message of a run is used before its node has decided.
Nothing here imports ROS.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pydantic import Field

from tinyvla_ros.core.configuration import Config


class RunMember(Config):
    """The parameter that every node has."""

    run: str = Field("", max_length=100, description="Id of the run that this node belongs to, "
                     "the same for all nodes that one command starts; empty for a run of its own.")


def new_run_id() -> str:
    """Return the id of a new run; ids sort by time of start, and never are the same."""
    now = time.time()
    text = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now))
    return f"{text}.{int(now % 1 * 1e6):06d}-{secrets.token_hex(3)}"


@dataclass(frozen=True)
class Claim:
    """What a node claims for its run.

    Attributes:
        node: fully qualified name.
        run: id of the run.
        process: differs between all processes, and after a restart.
        place: where to find it, ``process 4711 on host arm1, topic /episode``.
        topics: fully qualified names of topics that belong to this run alone.
        group: namespace that the run has for itself; empty for a node that was started alone.
        settled: whether the node has begun: no run that started before it was heard of.
    """

    node: str
    run: str
    process: str
    place: str = ""
    topics: tuple[str, ...] = ()
    group: str = ""
    settled: bool = False

    def values(self) -> dict[str, str]:
        """Return the claim as text by name."""
        return {"node": self.node, "run": self.run, "process": self.process, "place": self.place,
                "topics": " ".join(self.topics), "group": self.group,
                "settled": str(self.settled).lower()}

    @classmethod
    def read(cls, values: Iterable[tuple[str, str]]) -> Claim | None:
        """Return the claim of such values, None if they are none."""
        known = dict(values)
        if not all(known.get(name) for name in ("node", "run", "process")):
            return None
        return cls(known["node"], known["run"], known["process"], known.get("place", ""),
                   tuple(known.get("topics", "").split()), known.get("group", ""),
                   known.get("settled") == "true")

    def shared(self, other: Claim) -> str:
        """Say what ``other`` claims too, empty if nothing."""
        topic = next((t for t in other.topics if t in self.topics), "")
        if topic:
            return f"uses {topic} too"
        if self.node == other.node:
            return "has the name of a node of this run"
        if self.group and self.group == other.group:
            return f"is in the namespace {self.group} of this run"
        return ""


class RunClaims:
    """All claims that a node has heard of, its own among them.

    Of two runs that share something, the one goes on that has begun; if none has or both have, the
    one with the smaller id, which started first.
    """

    def __init__(self, mine: Claim):
        self.mine = mine
        self._claims = {mine.process: mine}

    def add(self, claim: Claim) -> None:
        """Add a claim, in place of the same process's claim before."""
        self._claims[claim.process] = claim
        if claim.process == self.mine.process:
            self.mine = claim

    def lost_to(self) -> str:
        """Return a sentence about the run that goes on in place of this one, empty if none."""
        runs = {c.run for c in list(self._claims.values())} - {self.mine.run}
        for run in sorted(runs, key=self._rank):
            if self._rank(run) > self._rank(self.mine.run):
                return ""
            # What the other nodes of this run share counts too, or one of them would go on.
            pairs = [(claim.shared(other), other) for other in self._of(run)
                     for claim in self._of(self.mine.run)]
            found = sorted((p for p in pairs if p[0]), key=lambda p: not p[0].startswith("uses"))
            if found:
                return _sentence(found[0][1], found[0][0])
        return ""

    def has_begun(self, is_wanted: Callable[[Claim], bool]) -> bool:
        """Return whether a node of this run that fits has settled."""
        return any(c.settled and is_wanted(c) for c in self._of(self.mine.run))

    def of_others(self) -> list[Claim]:
        """Return the claims of other runs."""
        return [c for c in list(self._claims.values()) if c.run != self.mine.run]

    def yielding(self, topic: str) -> list[str]:
        """Return the nodes of other runs that will end because they claim a topic of this one.

        One that loads a checkpoint may take long until it hears of this run, and sends nothing
        before.
        """
        return [c.node for c in self.of_others() if topic in c.topics and not c.settled
                and self._rank(c.run) > self._rank(self.mine.run)]

    def _of(self, run: str) -> list[Claim]:
        # list() copies at once: the control thread asks while a callback adds.
        return [c for c in list(self._claims.values()) if c.run == run]

    def _rank(self, run: str) -> tuple[bool, str]:
        return (not any(c.settled for c in self._of(run)), run)


def _sentence(other: Claim, shared: str) -> str:
    return (f"Another run is in this ROS domain: its node {other.node} ({other.place}) {shared}; "
            "end it, or give this run another ROS_DOMAIN_ID or another namespace.")

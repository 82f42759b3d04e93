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

"""What happened in a dry run, collected from ``/diagnostics``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

POLICY, ARM = "policy_node: policy", "dry_run_arm_node: arm"
# Longest message in a line, characters.
LONGEST = 60


class DryRunSummary:
    """The newest status of policy and arm, and the time that the policy spent in each state.

    Attributes:
        has_policy: whether a status of the policy came.

    All times are steady times.

    Args:
        now_s: when the run began.
        namespace: of its nodes, ``/`` by default.
    """

    def __init__(self, now_s: float, namespace: str = "/"):
        self._begin_s = now_s
        self._prefix = f"{namespace.strip('/')}/".lstrip("/")
        self._status: dict[str, Mapping[str, str]] = {POLICY: {}, ARM: {}}
        self._message, self._since_s = "starting", now_s
        self._state = "starting"
        self._seconds: dict[str, float] = defaultdict(float)
        self.has_policy = False

    def add(self, name: str, message: str, values: Mapping[str, str], now_s: float) -> None:
        """Add a status; those of other nodes, and of other namespaces, are ignored."""
        if not name.startswith(self._prefix):
            return
        name = name.removeprefix(self._prefix)
        if name in self._status:
            self._status[name] = values
        if name == POLICY:
            self._count(now_s)
            self._state, self._message = values.get("state", "inactive"), message
            self.has_policy = True

    def line(self, now_s: float) -> str:
        """Return one line about the present."""
        message = self._message if len(self._message) <= LONGEST else \
            self._message[:LONGEST - 3] + "..."
        state = message if message.startswith(self._state) else f"{self._state}: {message}"
        arm = self._status[ARM]
        return (f"{now_s - self._begin_s:4.0f} s  policy {state}, "
                f"{self._status[POLICY].get('plans', 0)} plans | arm {arm.get('accepted', 0)} "
                f"commands followed, {arm.get('refused', 0)} refused, fastest: "
                f"{arm.get('largest_velocity', 'nothing')}")

    def table(self, now_s: float) -> str:
        """Return a table of the whole run."""
        self._count(now_s)
        policy, arm = self._status[POLICY], self._status[ARM]
        states = (f"{state} {seconds:.1f} s" for state, seconds in self._seconds.items())
        refused = int(arm.get("refused", 0))
        rows = {"seconds": f"{now_s - self._begin_s:.1f}",
                "policy": ", ".join(states),
                "plans": policy.get("plans", "0"),
                "holds": _listing(policy, "hold "),
                "limits touched": _listing(policy, "intervention "),
                "commands followed": arm.get("accepted", "0"),
                "commands refused": f"{refused}: {_listing(arm, 'refused ')}" if refused else "0"}
        if refused:
            rows["last refusal"] = arm["last_refusal"]
        rows |= {k.replace("_", " ", 1): v for k, v in arm.items()
                 if k.startswith("largest_velocity ")}
        width = max(len(name) for name in rows)
        return "\n".join(["dry run", *(f"  {n:{width}}  {v}" for n, v in rows.items())])

    def problem(self) -> str:
        """Return why the run was no success, empty if it was one."""
        arm = self._status[ARM]
        if int(arm.get("refused", 0)):
            return f"the arm refused commands: {_listing(arm, 'refused ')}"
        if not int(arm.get("accepted", 0)):
            return f"the arm was never commanded; the policy's status: {self._message}"
        return ""

    def _count(self, now_s: float) -> None:
        self._seconds[self._state] += now_s - self._since_s
        self._since_s = now_s


def _listing(values: Mapping[str, str], prefix: str) -> str:
    return ", ".join(f"{k.removeprefix(prefix)} ({v})" for k, v in values.items()
                     if k.startswith(prefix)) or "none"

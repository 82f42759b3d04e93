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

"""What ``/diagnostics`` says of a node that drives an arm."""

from __future__ import annotations

import time
from collections.abc import Iterable

from rclpy.publisher import Publisher

from tinyvla_ros.arm.blending import seam_summary
from tinyvla_ros.arm.supervisor import Supervisor
from tinyvla_ros.nodes.policy.policy_inputs import PolicyInputs
from tinyvla_ros.nodes.policy.policy_loop import PolicyLoop
from tinyvla_ros.nodes.shared.runner import ERROR, OK, SUBSCRIBERS, WARN


def driving_values(supervisor: Supervisor, loop: PolicyLoop, inputs: PolicyInputs,
                   publishers: Iterable[Publisher]) -> dict[str, object]:
    """Return key -> value, without the state (docs/arm.md#5-watch-it)."""
    values = {"join": supervisor.join, "pace": f"{supervisor.pacing.pace:.3g}",
              "instruction": inputs.instruction, "plans": supervisor.plans}
    values |= {k: f"{v:.2f}" for k, v in loop.latencies.summary().items()}
    values |= {k: f"{v:.5f}" for k, v in seam_summary(supervisor.seams).items()}
    for kind, counts in (("intervention", supervisor.interventions),
                         ("hold", supervisor.holds), ("missed", loop.unused)):
        # dict() copies at once; another thread may add a key during the loop.
        values |= {f"{kind} {k}": n for k, n in dict(counts).items()}
    values |= {"images": inputs.images, "driver": loop.driver}
    values |= {f"{SUBSCRIBERS}{p.topic_name}": p.get_subscription_count() for p in publishers}
    return values | inputs.describe(time.monotonic())


def driving_message(state: str, reason: str, refused: str, stuck: str, running: str
                    ) -> tuple[bytes, str]:
    """Return level and message.

    Args:
        state: of the supervisor.
        reason: why it is in that state.
        refused: the last refused message, or what failed in the inference thread; may be empty.
        stuck: which joints do not follow; may be empty.
        running: what to say if nothing is wrong.
    """
    if state == "stopped":
        return ERROR, reason
    if refused:
        # Not instead of the reason: what was refused need not be the cause.
        return ERROR, refused if state == "running" else f"{reason}; {refused}"
    if state == "running":
        return (WARN, stuck) if stuck else (OK, running)
    return WARN, f"{reason}; {stuck}" if stuck and state == "holding" else reason

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

"""Jobs that end the process that does them."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path

from training.jobs.episodes import EpisodeOutcome, EpisodeRun, run_episode


@dataclass(frozen=True)
class FatalRun(EpisodeRun):
    """An episode whose first worker is killed before it returns.

    Attributes:
        marker: file that tells that this has happened.
    """

    marker: Path | None = None


def run_fatal_episode(run: FatalRun) -> EpisodeOutcome:
    """Run the episode; the first time, SIGKILL this process at its end."""
    outcome = run_episode(run)
    if not run.marker.exists():
        run.marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return outcome

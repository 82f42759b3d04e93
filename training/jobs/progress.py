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

"""Progress bars with an ETA, that do not fill a log file."""

from __future__ import annotations

import sys

from tqdm import tqdm

LOG_SECONDS = 10.0


def progress_bar(iterable=None, **options) -> tqdm:
    """Return a ``tqdm`` bar; where the output goes to a file it prints every ten seconds."""
    return tqdm(iterable, mininterval=update_seconds(), **options)


def update_seconds() -> float:
    """Return the least time between two updates of a bar, s."""
    return 0.1 if sys.stderr.isatty() else LOG_SECONDS

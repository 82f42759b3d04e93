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

"""How a thread that simulates ends its node."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rclpy.node import Node

from tinyvla_ros.core.errors import InputError


@contextmanager
def ending(node: Node, is_closing: Callable[[], bool]) -> Iterator[None]:
    """Let an exception in this block end the node, by its ``exit_code``; nothing is raised.

    What cannot be used is one sentence and exit code 2; a crash of the simulator is 1, and must
    end the process instead of hanging it.
    """
    try:
        yield
    except InputError as err:
        print(f"error: {err}", file=sys.stderr, flush=True)
        node.exit_code = 2
    except Exception as err:
        if not is_closing():
            node.get_logger().fatal(f"the simulation failed: {err!r}")
            node.exit_code = 1

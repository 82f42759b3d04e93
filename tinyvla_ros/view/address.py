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

"""Where a viewer's server listens."""

from __future__ import annotations

import socket

from tinyvla_ros.core.errors import InputError


def check_free(host: str, port: int, option: str) -> None:
    """Check that a server can listen on a port; libraries say it late, or not at all.

    Raises:
        InputError: it cannot; names ``option``, with which another is chosen.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    except OSError as err:
        raise InputError(f"--host {host} is no address of this machine ({err.strerror}); give "
                         "127.0.0.1, or 0.0.0.0 for all who reach it.") from None
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As servers do: a port whose last user has just ended is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen()
        except OSError as err:
            raise InputError(f"{option} {port} cannot be used on {host} ({err.strerror}), perhaps "
                             f"another viewer runs; give another {option}.") from None


def url_host(host: str) -> str:
    """Return how a browser on this machine calls the host of a server."""
    name = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    return f"[{name}]" if ":" in name else name

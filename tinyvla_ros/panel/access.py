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

"""Who may open the page: a token, the page's own origin, and names of this machine alone."""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from collections.abc import Mapping
from urllib.parse import urlsplit

from tinyvla_ros.core.errors import InputError

# Environment variable with the token; a parameter could be read by everybody in the ROS domain.
TOKEN = "TINYVLA_PANEL_TOKEN"
SHORTEST_TOKEN = 16


def is_loopback(host: str) -> bool:
    """Whether an address or a name reaches this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _split(url: str) -> tuple[str, str]:
    """Return an address's host, and host with port; empty ones if it is none."""
    try:
        parts = urlsplit(url)
        return parts.hostname or "", parts.netloc
    except ValueError:
        return "", ""


class Access:
    """What a request must have.

    Attributes:
        token: that a browser must show once; empty if none is needed.

    Args:
        host: address that the server listens at.
        token: given by the operator; empty to make one where one is needed.

    Raises:
        InputError: the token is too short.
    """

    def __init__(self, host: str, token: str):
        if token and (len(token) < SHORTEST_TOKEN or not token.isascii()
                      or not token.isprintable() or set(token) & set(' ";,\\')):
            raise InputError(f"{TOKEN} has {len(token)} characters; give at least "
                             f"{SHORTEST_TOKEN} letters and digits, or unset it for a random one.")
        self._is_local = is_loopback(host)
        self.token = token or ("" if self._is_local else secrets.token_urlsafe(24))

    def knows(self, token: str) -> bool:
        """Whether a token is the right one."""
        return not self.token or hmac.compare_digest(token.encode(errors="surrogateescape"),
                                                     self.token.encode())

    def problem(self, headers: Mapping[str, str], needs_origin: bool) -> str:
        """Return why a request is refused, empty if it is not.

        Args:
            headers: of the request.
            needs_origin: whether it must come from the page itself, as one that commands does.
        """
        host = headers.get("Host", "")
        # Another site's name may be made to point here; then its pages would have our origin.
        if self._is_local and not is_loopback(_split(f"//{host}")[0]):
            return f"Host {host!r} is not this machine; open http://127.0.0.1, or an SSH tunnel."
        if needs_origin:
            origin = headers.get("Origin", "")
            if not host or _split(origin)[1] != host:
                return f"Origin {origin!r} is not this page, which is at {host!r}."
        return ""

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

"""Who may open the page."""

from __future__ import annotations

import pytest

from tinyvla_ros.core.errors import InputError
from tinyvla_ros.panel.access import Access

TOKEN = "0123456789abcdef"


@pytest.mark.parametrize(("host", "headers", "refused"), [
    ("127.0.0.1", {"Host": "127.0.0.1:80", "Origin": "http://127.0.0.1:80"}, False),
    ("127.0.0.1", {"Host": "localhost:9000", "Origin": "http://localhost:9000"}, False),  # tunnel
    ("::1", {"Host": "[::1]:80", "Origin": "http://[::1]:80"}, False),
    ("127.0.0.1", {"Host": "evil.example", "Origin": "http://evil.example"}, True),
    ("127.0.0.1", {"Host": "127.0.0.1:80", "Origin": "http://evil.example"}, True),
    ("127.0.0.1", {"Host": "127.0.0.1:80", "Origin": "http://127.0.0.1:81"}, True),
    ("127.0.0.1", {"Host": "127.0.0.1:80", "Origin": "null"}, True),
    ("127.0.0.1", {"Host": "127.0.0.1:80"}, True),
    ("127.0.0.1", {}, True), ("127.0.0.1", {"Host": "[::1", "Origin": "http://[::1"}, True),
    ("0.0.0.0", {"Host": "[", "Origin": "http://["}, True),
    ("0.0.0.0", {"Host": "arm.local", "Origin": "https://arm.local"}, False),
    ("0.0.0.0", {"Host": "arm.local", "Origin": "https://evil.example"}, True)])
def test_only_the_page_itself_commands(host, headers, refused):
    assert bool(Access(host, TOKEN).problem(headers, needs_origin=True)) == refused


def test_another_sites_name_for_this_machine_reads_nothing():
    assert Access("127.0.0.1", "").problem({"Host": "evil.example"}, needs_origin=False)


def test_a_token_is_needed_where_others_reach_the_page():
    assert not Access("127.0.0.1", "").token and Access("127.0.0.1", "").knows("")
    for host in ("0.0.0.0", "192.168.0.7", "::", "arm.local"):
        access = Access(host, "")
        assert len(access.token) >= 16 and access.knows(access.token)
        assert not access.knows("") and not access.knows(TOKEN)
    assert Access("0.0.0.0", "").token != Access("0.0.0.0", "").token
    assert Access("127.0.0.1", TOKEN).token == TOKEN, "one that is given counts here, too"


@pytest.mark.parametrize("token", ["short", "0123456789 abcdef", "0123456789;abcdef", "ä" * 20])
def test_a_token_that_cannot_be_used_is_refused(token):
    with pytest.raises(InputError, match="TINYVLA_PANEL_TOKEN"):
        Access("127.0.0.1", token)

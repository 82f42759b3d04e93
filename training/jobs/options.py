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

"""Options of every command that works in other processes."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from tinyvla_ros.core.options import Flag

RAY_ADDRESSES = ("local, which starts one on this machine; auto, which joins the one that "
                 "RAY_ADDRESS names or that runs on this machine, or else starts one; HOST:PORT "
                 "of a cluster that this machine is a node of; or ray://HOST:PORT of any other")
_ADDRESS = re.compile(r"local|auto|(ray://)?(\[[0-9a-fA-F:]+\]|[^\s:/\[\]]+):[0-9]{1,5}")


def check_ray_address(address: str) -> str:
    """Return an address; ``ValueError`` if it is none."""
    if not _ADDRESS.fullmatch(address) or (
            ":" in address and not 0 < int(address.rpartition(":")[2]) < 65536):
        raise ValueError(f"give {RAY_ADDRESSES}")
    return address


RayAddress = Annotated[
    str | None, Flag(metavar="ADDRESS"),
    AfterValidator(lambda address: address and check_ray_address(address)),
    Field(description=f"work on a Ray cluster (docs/scale.md): {RAY_ADDRESSES}")]
WorkerCount = Annotated[int | None, Field(
    ge=1, description="processes; default: cores, or with --ray the CPUs of the cluster")]

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

"""One process among several: torch's distributed training, started by ``torchrun``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from tinyvla_ros.core.errors import InputError
from tinyvla_ros.policy.backends.torch_backend import find_device


@dataclass(frozen=True)
class Process:
    """This process's place.

    Attributes:
        rank: number among all processes.
        world_size: how many there are, over all machines.
        device: torch device.
    """

    rank: int
    world_size: int
    device: str

    @property
    def is_main_process(self) -> bool:
        """Whether this process writes, logs and shows progress."""
        return self.rank == 0

    def wrap_ddp(self, module: nn.Module) -> nn.Module:
        """Wrap a module so that its gradients are the mean over all processes."""
        return DistributedDataParallel(
            module, gradient_as_bucket_view=True) if self.world_size > 1 else module

    def mean(self, *values: float | torch.Tensor) -> list[float]:
        """Return the means of numbers over all processes; every process must call it."""
        device = next((v.device for v in values if isinstance(v, torch.Tensor)), "cpu")
        # Together, for every copy from a GPU waits until it has done all before it.
        tensor = torch.stack([torch.as_tensor(v, dtype=torch.float64, device=device).detach()
                              for v in values]).cpu()
        if self.world_size > 1:
            tensor = tensor.to(self.device) / self.world_size
            distributed.all_reduce(tensor)
        return tensor.tolist()

    def wait(self) -> None:
        """Wait for the others."""
        if self.world_size > 1:
            distributed.barrier()


def check_share(batch_size: int, processes: int) -> None:
    """Raise ``InputError`` if processes cannot share every batch evenly."""
    if batch_size % processes:
        raise InputError(f"Batch size {batch_size} cannot be shared evenly by {processes} "
                         "processes; make it a multiple.")


@contextmanager
def join_processes(device: str) -> Iterator[Process]:
    """Join the processes that ``torchrun`` started; without it, this one is alone.

    Args:
        device: ``cpu``, or ``cuda``, which becomes this process's own GPU.

    Raises:
        InputError: there is no such device.
    """
    find_device(device)
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    if world_size == 1:
        yield Process(0, 1, device)
        return
    if device.startswith("cuda"):
        if device != "cuda":
            raise InputError(f"Device {device!r} cannot be shared by {world_size} processes; give "
                             "'cuda', and each takes a GPU of its own.")
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        find_device(device)
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        yield Process(distributed.get_rank(), world_size, device)
    finally:
        distributed.destroy_process_group()

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

"""LeRobot's asynchronous inference: its policy server, and its robot client on a recorded robot.

Run as a script, this is the server, in a process of its own::

    python _lerobot_async.py PORT [fill-queues]
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
from _lerobot_reference import name_operators

FILL_QUEUES = "fill-queues"
START_S, CHUNK_S = 180.0, 60.0
# Between two looks whether a chunk is there.
POLL_S = 0.0005


def serve(port: int, fill_queues: bool) -> None:
    """Run LeRobot's policy server on one thread.

    Args:
        port: on this machine.
        fill_queues: ``predict_action_chunk`` keeps the observation first, as ``select_action``
            does. Up to LeRobot 0.5 it does not, and the server cannot run a DiffusionPolicy
            (huggingface/lerobot issues 3445 and 3861).
    """
    library = name_operators()  # lives as long as its operators must
    import torch
    from lerobot.async_inference.configs import PolicyServerConfig
    from lerobot.async_inference.policy_server import serve as lerobot_serve
    from lerobot.policies.diffusion.modeling_diffusion import DiffusionPolicy
    from lerobot.policies.utils import populate_queues

    torch.set_num_threads(1)
    if fill_queues:
        released = DiffusionPolicy.predict_action_chunk

        def predict_action_chunk(policy, batch, noise=None):
            images = [batch[name] for name in policy.config.image_features]
            batch = {**batch, "observation.images": torch.stack(images, dim=-4)}
            batch.pop("action", None)
            policy._queues = populate_queues(policy._queues, batch)  # noqa: SLF001
            return released(policy, batch, noise)

        DiffusionPolicy.predict_action_chunk = predict_action_chunk
    lerobot_serve(PolicyServerConfig(host="127.0.0.1", port=port))
    del library


class Asynchronous:
    """The policy in ``folder/policy`` behind LeRobot's policy server, asked by its client.

    Attributes:
        as_released: what the server said instead of a chunk as LeRobot released it; empty if it
            gave one. If it gave none, ``fill_queues`` made it.

    Args:
        data: observations, see ``_lerobot_process.Synchronous``.
        action_size: entries of an action.
        folder: for logs, with the policy.
    """

    def __init__(self, data: dict[str, np.ndarray], action_size: int, folder: Path):
        self._robot, self._folder = recorded_robot(data, action_size), folder
        self._start()
        self.as_released = self._first_chunk()
        if self.as_released:
            self.close()
            self._start(FILL_QUEUES)
            error = self._first_chunk()
            if error:
                raise RuntimeError(f"LeRobot's policy server gives no chunk: {error}")

    def chunks(self, number: int) -> list[tuple[float, float]]:
        """Return (wall, CPU of both) seconds from a robot's observation to its chunk."""
        client, seconds = self._client, []
        for _ in range(number):
            start, cpu = time.perf_counter(), self._cpu_seconds()
            client.control_loop_observation(task="")
            # Then both the actions and the permission to send the next observation are there.
            while not (client.actions_available() and client.must_go.is_set()):
                if time.perf_counter() - start > CHUNK_S:
                    raise RuntimeError(f"no chunk within {CHUNK_S:g} s; see {self._log}")
                time.sleep(POLL_S)
            seconds.append((time.perf_counter() - start, self._cpu_seconds() - cpu))
            while client.actions_available():
                client.control_loop_action()
        return seconds

    def close(self) -> None:
        """End both."""
        self._client.shutdown_event.set()
        self._client.channel.close()
        self._server.terminate()
        self._server.wait(10.0)

    def _start(self, *options: str) -> None:
        from lerobot.async_inference.configs import RobotClientConfig
        from lerobot.async_inference.robot_client import RobotClient

        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._log = self._folder / f"server{''.join(options)}.log"
        with self._log.open("w") as log:
            self._server = subprocess.Popen(
                [sys.executable, __file__, str(port), *options], cwd=self._folder, stdout=log,
                stderr=log, env=os.environ | {"OMP_NUM_THREADS": "1"})
        self._wait_for("PolicyServer started", START_S)
        self._client = RobotClient(RobotClientConfig(
            policy_type="diffusion", pretrained_name_or_path=str(self._folder / "policy"),
            robot=self._robot, actions_per_chunk=8, server_address=f"127.0.0.1:{port}"))
        if not self._client.start():
            raise RuntimeError(f"LeRobot's client cannot reach its server; see {self._log}")
        receiver = threading.Thread(target=self._client.receive_actions, daemon=True)
        receiver.start()
        self._client.start_barrier.wait()

    def _first_chunk(self) -> str:
        """Return the server's error, empty if it gives a chunk."""
        self._client.control_loop_observation(task="")
        deadline = time.monotonic() + CHUNK_S
        while not self._client.actions_available():
            found = re.search("Error in StreamActions: (.*)", self._log.read_text())
            if found:
                return found.group(1)
            if time.monotonic() > deadline:
                return f"no actions within {CHUNK_S:g} s"
            time.sleep(0.05)
        while self._client.actions_available():
            self._client.control_loop_action()
        return ""

    def _cpu_seconds(self) -> float:
        """Return what client and server have used so far."""
        times = Path(f"/proc/{self._server.pid}/stat").read_text().rpartition(")")[2].split()
        return time.process_time() + sum(map(int, times[11:13])) / os.sysconf("SC_CLK_TCK")

    def _wait_for(self, text: str, limit_s: float) -> None:
        deadline = time.monotonic() + limit_s
        while text not in self._log.read_text():
            if self._server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"LeRobot's policy server did not start:\n"
                                   f"{self._log.read_text()[-2000:]}")
            time.sleep(0.05)


def recorded_robot(data: dict[str, np.ndarray], action_size: int):
    """Return the configuration of a robot that gives recorded observations and follows nothing."""
    import lerobot.robots.utils  # noqa: F401  # all of LeRobot's own are registered first
    from lerobot.robots import Robot, RobotConfig

    states = [f"state.{i}" for i in range(data["state"].shape[1])]
    cameras = {name.removeprefix("image "): v for name, v in data.items() if "image" in name}

    @RobotConfig.register_subclass("recorded")
    @dataclass(kw_only=True)
    class RecordedConfig(RobotConfig):
        pass

    class Recorded(Robot):
        config_class, name = RecordedConfig, "recorded"
        is_connected = is_calibrated = True
        observation_features = dict.fromkeys(states, float) | {
            n: v.shape[1:] for n, v in cameras.items()}
        action_features = dict.fromkeys([f"action.{i}" for i in range(action_size)], float)
        _next = count()

        def get_observation(self) -> dict:
            index = next(self._next) % len(data["state"])
            values = map(float, data["state"][index])
            return dict(zip(states, values, strict=True)) | {
                n: v[index] for n, v in cameras.items()}

        def send_action(self, action: dict) -> dict:
            return action

        def connect(self, calibrate: bool = True) -> None:
            pass

        disconnect = calibrate = configure = lambda self: None

    # Where LeRobot looks for the class of a configuration.
    RecordedConfig.__module__, globals()["Recorded"] = __name__, Recorded
    return RecordedConfig()


if __name__ == "__main__":
    serve(int(sys.argv[1]), FILL_QUEUES in sys.argv[2:])

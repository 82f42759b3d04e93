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

"""LeRobot's DiffusionPolicy, timed: run by ``lerobot_latency.py`` with a Python that has LeRobot.

    python _lerobot_process.py INPUTS.npz ACTION_SIZE FOLDER

Reads lines ``SETTING COUNT`` and answers each with a line of JSON: the seconds of COUNT new
chunks, on the wall and of the CPU. The first answer tells parameters and versions. Everything is
LeRobot's own: configuration, processors, ``predict_action`` as its control loop calls it, and for
asynchronous inference its policy server and robot client.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from _lerobot_reference import name_operators

DDIM_STEPS = 10
DEFAULT, DDIM, ASYNCHRONOUS = "default", "DDIM", "asynchronous"


class Synchronous:
    """A policy with random weights that is asked for actions, one after the other.

    Args:
        data: ``state``, (n, entries), and ``image NAME``, (n, height, width, 3) uint8.
        action_size: entries of an action.
        changes: of LeRobot's default configuration.
    """

    def __init__(self, data: dict[str, np.ndarray], action_size: int, **changes):
        from lerobot.configs.types import FeatureType, PolicyFeature
        from lerobot.policies.diffusion.configuration_diffusion import DiffusionConfig
        from lerobot.policies.diffusion.modeling_diffusion import DiffusionPolicy
        from lerobot.policies.factory import make_pre_post_processors

        self._frames = [dict(zip(_names(data), values, strict=True))
                        for values in zip(*data.values(), strict=True)]
        inputs = {
            name: PolicyFeature(FeatureType.STATE, v.shape) if name == "observation.state"
            else PolicyFeature(FeatureType.VISUAL, (3, *v.shape[:2]))
            for name, v in self._frames[0].items()}
        outputs = {"action": PolicyFeature(FeatureType.ACTION, (action_size,))}
        self.policy = DiffusionPolicy(DiffusionConfig(
            input_features=inputs, output_features=outputs, device="cpu", **changes)).eval()
        stats = {name: _statistics(np.stack([f[name] for f in self._frames]))
                 for name in self._frames[0]}
        stats["action"] = _statistics(np.array([[-1.0], [1.0]]) * np.ones(action_size))
        self.processors = make_pre_post_processors(self.policy.config, dataset_stats=stats)

    def chunks(self, count: int) -> list[tuple[float, float]]:
        """Return (wall, CPU) seconds of the call whenever a new chunk was due."""
        from lerobot.utils.control_utils import predict_action

        every, seconds = self.policy.config.n_action_steps, []
        self.policy.reset()
        for call in range((count - 1) * every + 1):
            frame = self._frames[call % len(self._frames)]
            start, cpu = time.perf_counter(), time.process_time()
            predict_action(frame, self.policy, torch.device("cpu"), *self.processors, False)
            if call % every == 0:  # the other calls take an action from the queue
                seconds.append((time.perf_counter() - start, time.process_time() - cpu))
        return seconds

    def save(self, folder: Path) -> None:
        """Write what LeRobot's policy server loads."""
        self.policy.save_pretrained(folder)
        for processor in self.processors:
            processor.save_pretrained(folder)


def main(inputs: Path, action_size: int, folder: Path) -> None:
    """Answer requests until there are no more."""
    answers = sys.stdout
    with redirect_stdout(sys.stderr):
        library = name_operators()  # lives as long as its operators must
        torch.set_num_threads(1)
        import diffusers
        import lerobot  # noqa: F401

        data = dict(np.load(inputs))
        default = Synchronous(data, action_size)
        ddim = Synchronous(data, action_size, noise_scheduler_type="DDIM",
                           num_inference_steps=DDIM_STEPS)
        settings: dict[str, Callable[[int], list[tuple[float, float]]]] = {
            DEFAULT: default.chunks, DDIM: ddim.chunks}
        from _lerobot_async import Asynchronous

        ddim.save(folder / "policy")
        asynchronous = Asynchronous(data, action_size, folder)
        settings[ASYNCHRONOUS] = asynchronous.chunks
        logging.disable(logging.INFO)
        config = default.policy.config
        print(json.dumps({
            "parameters": sum(p.numel() for p in default.policy.parameters()),
            "steps": {DEFAULT: config.num_train_timesteps, DDIM: DDIM_STEPS},
            "horizon": config.horizon, "n_action_steps": config.n_action_steps,
            "as_released": asynchronous.as_released,
            "versions": {"lerobot": metadata.version("lerobot"), "torch": torch.__version__,
                         "diffusers": diffusers.__version__,
                         "torchvision compiled": library is None}}), file=answers, flush=True)
        try:
            for line in sys.stdin:
                setting, count = line.split()
                print(json.dumps(settings[setting](int(count))), file=answers, flush=True)
        finally:
            asynchronous.close()


def _names(data: dict[str, np.ndarray]) -> list[str]:
    return ["observation." + name.replace("image ", "images.") for name in data]


def _statistics(values: np.ndarray) -> dict[str, np.ndarray]:
    """Return what LeRobot keeps of a feature: images by color, in [0, 1]."""
    axes = (0,)
    if values.ndim == 4:
        values, axes = values.transpose(0, 3, 1, 2) / 255.0, (0, 2, 3)
    kept = values.ndim == 4
    return {name: torch.from_numpy(getattr(values, name)(axis=axes, keepdims=kept).astype(
        np.float32)[0 if kept else ...]) for name in ("min", "max", "mean", "std")}


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))

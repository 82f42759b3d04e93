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

"""What LeRobot itself answers: run by ``lerobot_equality.py`` with a Python that has LeRobot.

    python _lerobot_reference.py CHECKPOINT INPUTS.npz OUTPUTS.npz

LeRobot's code runs as it is; only the source of its random numbers is replaced by the numbers in
INPUTS, one set per inference, so that both sides denoise from the same noise.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import torch


def name_operators() -> torch.library.Library | None:
    """Let torchvision be imported where its compiled part is for the torch of another index.

    Its Python, which is all that this needs, only wants the names of two operators to exist.
    """
    folder = Path(importlib.util.find_spec("torchvision").origin).parent
    try:
        torch.ops.load_library(next(folder.glob("_C*.so")))
    except (OSError, StopIteration):
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        return library
    return None


def main(checkpoint: Path, inputs: Path, outputs: Path) -> None:
    """Drive LeRobot's policy over recorded observations and save its actions."""
    library = name_operators()  # lives as long as its operators must
    import diffusers
    import diffusers.schedulers.scheduling_ddpm as ddpm
    import lerobot
    import torchvision
    from lerobot.policies.diffusion.modeling_diffusion import DiffusionPolicy

    torch.set_num_threads(1)
    data = np.load(inputs)
    policy = DiffusionPolicy.from_pretrained(checkpoint, local_files_only=True, strict=True)
    policy.eval()
    before = after = lambda x: x
    if (checkpoint / "policy_preprocessor.json").exists():
        from lerobot.policies.factory import make_pre_post_processors

        before, after = make_pre_post_processors(policy.config, str(checkpoint))
    numbers = (torch.from_numpy(n) for row in data["noise"] for n in row)
    torch.randn = lambda *_, **__: next(numbers)[None]
    ddpm.randn_tensor = lambda *_, **__: next(numbers)[None]
    cameras = sorted(k.removeprefix("image ") for k in data.files if k.startswith("image "))
    actions = []
    policy.reset()
    for index in range(len(data["state"])):
        batch = {"observation.state": torch.from_numpy(data["state"][index])[None]}
        for name in cameras:  # as LeRobot's control loop prepares what a camera gave
            pixels = torch.from_numpy(data[f"image {name}"][index]).type(torch.float32) / 255
            batch[f"observation.images.{name}"] = pixels.permute(2, 0, 1).contiguous()[None]
        with torch.inference_mode():
            actions.append(after(policy.select_action(before(batch))).numpy()[0])
    try:
        version = lerobot.__version__
    except AttributeError:
        version = "?"
    versions = {"lerobot": version, "torch": torch.__version__,
                "torchvision": torchvision.__version__, "diffusers": diffusers.__version__,
                "torchvision compiled": library is None}
    np.savez(outputs, actions=np.stack(actions), versions=json.dumps(versions))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))

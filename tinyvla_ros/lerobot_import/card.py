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

"""The model card of an imported checkpoint."""

from __future__ import annotations

from tinyvla_ros.lerobot_import.source import LeRobotSource
from tinyvla_ros.policy.config import PolicyConfig


def model_card(name: str, source: LeRobotSource, config: PolicyConfig) -> str:
    """Return the text of ``README.md`` of a new checkpoint."""
    model, action, lerobot = config.model, config.action, source.config
    size = sum(tensor.numel() for tensor in source.weights.values())
    sampler = f"{model.noise_scheduler_type}, {config.diffusion.sample_steps} steps"
    own_steps = lerobot.num_inference_steps or lerobot.num_train_timesteps
    trained = f"{lerobot.noise_scheduler_type}, {own_steps} steps"
    changed = "" if sampler == trained else (
        f" LeRobot's own setting is {trained}: chunks differ from LeRobot's.")
    cameras = ", ".join(f"{n} ({c.width}x{c.height})" for n, c in config.cameras.items())
    rows = "\n".join(f"| {channel} | {low:.6g} | {high:.6g} |" for channel, low, high in
                     zip(action.channels, action.low, action.high, strict=True))
    return f"""# {name}

Imported from LeRobot by `tinyvla import`.

- **Policy.** A DiffusionPolicy of LeRobot, {size / 1e6:.1f} million parameters:
  {model.vision_backbone}, U-Net {list(model.down_dims)}. The weights are unchanged.
- **Inputs.** Cameras {cameras}; state {', '.join(config.state)}; {model.n_obs_steps}
  observations, {action.dt:.4g} s apart. It ignores the instruction.
- **Outputs.** {action.horizon} actions {action.dt:.4g} s apart, of which
  {action.n_action_steps} are executed in lock-step. Units: {action.units[0]}.
- **Sampler.** {sampler}, {config.diffusion.prediction} prediction.{changed}
- **Data, training, results, license.** Those of its source, {source.path}; nothing was evaluated
  here.

Limits of the actions, which LeRobot does not have:

| channel | low | high |
|---|---|---|
{rows}
"""

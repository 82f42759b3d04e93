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

"""The section ``model`` of a checkpoint that was trained with LeRobot."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from tinyvla_ros.core.configuration import Config


class LeRobotDiffusionConfig(Config):
    """LeRobot's DiffusionPolicy (``lerobot/policies/diffusion``), under its own field names.

    Noise schedule, prediction and sampling steps are in ``DiffusionConfig``, as for every policy.

    ::

        n_obs_steps = 2, horizon = 16, LeRobot's n_action_steps = 8 (our n_action_steps)
        step of the horizon   0     1     2  ...  8     9  ...  15
        observation used     past  now
        row of our chunk            0     1  ...  7     8  ...  14
        LeRobot executes            yes   yes ... yes

    Attributes:
        kind: tells the networks apart.
        vision_backbone: ResNet up to its last feature map.
        resize_shape: (rows, columns) images are resized to first, or null.
        crop_shape: (rows, columns) cut out of the middle then, or null.
        use_group_norm: group instead of batch normalization in the backbone.
        spatial_softmax_num_keypoints: keypoints per image.
        use_separate_rgb_encoder_per_camera: one backbone per camera, or one for all.
        down_dims: channels of the U-Net; it halves the horizon once for each.
        kernel_size: of its convolutions, odd.
        n_groups: of its group normalization.
        diffusion_step_embed_dim: size of the embedding of the diffusion step.
        use_film_scale_modulation: the condition scales as well as shifts.
        n_obs_steps: observations the policy uses, ``dt`` apart; the last one is now.
        horizon: steps that are denoised, counted from the oldest observation.
        noise_scheduler_type: DDPM draws noise at every step, DDIM does not.
        beta_start: first beta of the schedules that have one.
        beta_end: last beta likewise.
        clip_sample: clip the clean actions that every step predicts.
        clip_sample_range: to plus and minus this, normalized.
    """

    kind: Literal["lerobot_diffusion"] = "lerobot_diffusion"
    vision_backbone: Literal["resnet18", "resnet34", "resnet50"] = "resnet18"
    resize_shape: tuple[int, int] | None = None
    crop_shape: tuple[int, int] | None = None
    use_group_norm: bool = True
    spatial_softmax_num_keypoints: int = Field(32, ge=1, le=2048)
    use_separate_rgb_encoder_per_camera: bool = False
    down_dims: tuple[int, ...] = Field((512, 1024, 2048), min_length=1, max_length=8)
    kernel_size: int = Field(5, ge=1, le=31)
    n_groups: int = Field(8, ge=1)
    diffusion_step_embed_dim: int = Field(128, ge=4, le=4096, multiple_of=2)
    use_film_scale_modulation: bool = True
    n_obs_steps: int = Field(2, ge=1, le=16)
    horizon: int = Field(16, ge=2, le=256)
    noise_scheduler_type: Literal["DDPM", "DDIM"] = "DDPM"
    beta_start: float = Field(0.0001, gt=0.0, lt=1.0)
    beta_end: float = Field(0.02, gt=0.0, lt=1.0)
    clip_sample: bool = True
    clip_sample_range: float = Field(1.0, gt=0.0)

    @model_validator(mode="after")
    def _sizes_fit(self):
        if self.kernel_size % 2 == 0:
            raise ValueError(f"kernel_size {self.kernel_size} must be odd")
        if any(c < 1 or c % self.n_groups for c in self.down_dims):
            raise ValueError(f"down_dims {list(self.down_dims)} must be multiples of n_groups "
                             f"{self.n_groups}")
        if self.down_dims[0] % 8:  # LeRobot's last block always has eight groups
            raise ValueError(f"down_dims starts with {self.down_dims[0]}; it must be a multiple "
                             "of 8")
        if self.horizon % 2 ** len(self.down_dims):
            raise ValueError(f"horizon {self.horizon} must be a multiple of "
                             f"{2 ** len(self.down_dims)}, for {len(self.down_dims)} down_dims")
        if self.n_obs_steps > self.horizon:
            raise ValueError(f"n_obs_steps {self.n_obs_steps} exceeds horizon {self.horizon}")
        for name in ("resize_shape", "crop_shape"):
            shape = getattr(self, name)
            if shape is not None and min(shape) < 1:
                raise ValueError(f"{name} {list(shape)} must be positive")
        return self

    @property
    def rows(self) -> int:
        """Rows of a chunk: the steps of the horizon from now on."""
        return self.horizon - self.n_obs_steps + 1

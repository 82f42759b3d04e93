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

"""The noise schedule is that of diffusers, and so are the steps of its sampler."""

from __future__ import annotations

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler

from tinyvla_ros.policy.config import DiffusionConfig
from tinyvla_ros.policy.noise_schedule import NoiseSchedule

SCHEDULES = ("squaredcos_cap_v2", "linear", "scaled_linear")
PREDICTIONS = ("sample", "epsilon", "v_prediction")


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("length", [2, 10, 100, 1000])
def test_what_each_step_keeps_is_theirs_exactly(schedule, length):
    config = DiffusionConfig(schedule=schedule, train_steps=length, sample_steps=1)
    for betas in ((0.0001, 0.02), (0.001, 0.5)):
        theirs = DDPMScheduler(length, *betas, schedule)
        assert torch.equal(NoiseSchedule(config, *betas).kept, theirs.alphas_cumprod)
    assert torch.equal(NoiseSchedule(config).kept,
                       DDPMScheduler(length, beta_schedule=schedule).alphas_cumprod)


def test_the_steps_of_the_sampler_are_theirs():
    for spacing in ("leading", "trailing"):
        for length in (10, 50, 97, 100):
            config = DiffusionConfig(train_steps=length, spacing=spacing, sample_steps=1)
            theirs = DDIMScheduler(length, timestep_spacing=spacing)
            for steps in range(1, length + 1):
                theirs.set_timesteps(steps)
                assert NoiseSchedule(config).timesteps(steps) == theirs.timesteps.tolist()


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("spacing", ["leading", "trailing"])
def test_steps_of_ddim_are_theirs_exactly(schedule, prediction, spacing):
    config = DiffusionConfig(schedule=schedule, prediction=prediction, spacing=spacing)
    ours = NoiseSchedule(config)
    theirs = DDIMScheduler(config.train_steps, beta_schedule=schedule, prediction_type=prediction,
                           timestep_spacing=spacing, clip_sample=True, clip_sample_range=1.0)
    generator = torch.Generator().manual_seed(0)
    for steps in (1, 2, 7, 10, config.train_steps):
        theirs.set_timesteps(steps)
        noisy = theirs_noisy = torch.randn(3, 16, 4, generator=generator)
        for t in ours.timesteps(steps):
            predicted = torch.randn(3, 16, 4, generator=generator)
            noisy = ours.step_back(predicted, t, t - config.train_steps // steps, noisy)
            theirs_noisy = theirs.step(predicted, t, theirs_noisy).prev_sample
            assert torch.equal(noisy, theirs_noisy), (steps, t)

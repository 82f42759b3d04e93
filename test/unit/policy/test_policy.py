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

"""What users rely on in ``Policy``: repeatable, within limits, picky about its input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from harness.policies import random_observation
from tinyvla_ros.core.errors import InputError, UnknownInstructionError
from tinyvla_ros.core.image_transform import crop_and_shrink
from tinyvla_ros.core.types import PolicyImage
from tinyvla_ros.policy.model import PolicyNetwork
from tinyvla_ros.policy.noise_schedule import NoiseSchedule
from tinyvla_ros.policy.policy import Policy


@pytest.fixture(scope="module")
def policy(tiny_checkpoint):
    return Policy(tiny_checkpoint)


def test_chunk_has_the_checkpoints_form(policy, tiny_config):
    chunk = policy.infer(random_observation(tiny_config))
    assert chunk.stamp_ns == 1_000_000_000
    assert chunk.channels == tiny_config.action.channels
    assert chunk.actions.shape == (16, 4)
    assert chunk.actions.dtype == np.float32
    assert np.all(np.abs(chunk.actions) <= 1.0)
    assert chunk.dt == 0.0125


def test_same_observation_same_chunk_also_in_a_new_policy(policy, tiny_checkpoint, tiny_config):
    observation = random_observation(tiny_config)
    first = policy.infer(observation).actions
    policy.infer(random_observation(tiny_config, seed=1, stamp_ns=7))
    policy.reset()
    assert np.array_equal(policy.infer(observation).actions, first)
    assert np.array_equal(Policy(tiny_checkpoint).infer(observation).actions, first)


def test_images_may_be_shrunk_before(policy, tiny_config):
    """As the node does when they arrive: the chunk is the same."""
    rng = np.random.default_rng(3)
    images = {n: rng.integers(0, 256, (60, 80, 3), np.uint8) for n in tiny_config.cameras}
    seen = {n: PolicyImage(crop_and_shrink(images[n], view.crop, view.height, view.width))
            for n, view in tiny_config.cameras.items()}
    observation = random_observation(tiny_config)
    assert np.array_equal(policy.infer(replace(observation, images=seen)).actions,
                          policy.infer(replace(observation, images=images)).actions)


def test_noise_depends_on_stamp_and_seed(policy, tiny_checkpoint, tiny_config):
    observation = random_observation(tiny_config)
    first = policy.infer(observation).actions
    assert not np.array_equal(policy.infer(replace(observation, stamp_ns=2)).actions, first)
    assert not np.array_equal(Policy(tiny_checkpoint, seed=1).infer(observation).actions, first)


def test_instruction_steers(policy, tiny_config):
    observation = random_observation(tiny_config)
    other = replace(observation, instruction=tiny_config.instructions[1])
    assert not np.array_equal(policy.infer(observation).actions, policy.infer(other).actions)


def test_instruction_case_and_blanks_do_not_matter(policy, tiny_config):
    observation = random_observation(tiny_config)
    shouted = replace(observation, instruction=f"  {observation.instruction.upper()} ")
    assert np.array_equal(policy.infer(observation).actions, policy.infer(shouted).actions)


def test_unknown_instruction_lists_and_suggests(policy, tiny_config):
    observation = replace(random_observation(tiny_config), instruction="press the read button")
    with pytest.raises(UnknownInstructionError) as err:
        policy.infer(observation)
    assert "Did you mean 'press the red button'" in str(err.value)
    assert all(known in str(err.value) for known in tiny_config.instructions)


def test_missing_camera_and_state_and_nan_are_refused(policy, tiny_config):
    observation = random_observation(tiny_config)
    with pytest.raises(InputError, match="camera 'front'"):
        policy.infer(replace(observation, images={"side": observation.images["side"]}))
    state = dict(observation.state)
    state.pop("right_j3")
    with pytest.raises(InputError, match="state 'right_j3'"):
        policy.infer(replace(observation, state=state))
    with pytest.raises(InputError, match="'ee_x' is nan"):
        policy.infer(replace(observation, state={**observation.state, "ee_x": float("nan")}))


@pytest.mark.parametrize(("arguments", "words"), [
    ({"device": "gpu0"}, "gpu0"), ({"threads": 0}, "Threads is 0"),
    ({"sample_steps": 1000}, "Sample steps is 1000"),
])
def test_bad_arguments_are_refused(tiny_checkpoint, arguments, words):
    with pytest.raises(InputError, match=words):
        Policy(tiny_checkpoint, **arguments)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_missing_gpu_is_refused(tiny_checkpoint):
    with pytest.raises(InputError, match="not available"):
        Policy(tiny_checkpoint, device="cuda")


@pytest.mark.parametrize("seed", range(3))
def test_head_starts_at_unit_scale(seed):
    """The point of the initialization: full size, output deviation near 1 from the first step."""
    from harness.policies import tiny_policy_config
    torch.manual_seed(seed)
    network = PolicyNetwork(tiny_policy_config(model={}))
    with torch.no_grad():
        out = network.denoiser(torch.randn(128, 16, 4), torch.randint(0, 100, (128,)),
                               torch.randn(128, 256))
    assert 0.5 < float(out.std()) < 1.5


@pytest.mark.parametrize("prediction", ["sample", "epsilon", "v_prediction"])
def test_every_prediction_type_learns_one_chunk(prediction):
    """A few steps on one sample bring the drawn chunk to it: loss, schedule and sampler agree."""
    from harness.policies import tiny_policy_config
    torch.manual_seed(0)
    config = tiny_policy_config(diffusion={"prediction": prediction, "sample_steps": 10},
                                model={"image_channels": 8, "keypoints": 4, "condition_dim": 32,
                                       "denoiser_channels": [32, 32, 32]})
    network = PolicyNetwork(config)
    actions = torch.linspace(-0.8, 0.8, 16 * 4).view(1, 16, 4)
    condition = torch.randn(1, 32)
    optimizer = torch.optim.Adam(network.denoiser.parameters(), lr=3e-3)
    batch = 32
    for _ in range(250):
        loss = network.errors(condition.expand(batch, -1), actions.expand(batch, -1, -1),
                              torch.randn(batch, 16, 4), torch.randint(0, 100, (batch,))).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    drawn = network.sample(condition.expand(4, -1), torch.randn(4, 16, 4))
    assert float((drawn - actions).abs().mean()) < 0.15


@pytest.mark.parametrize("prediction", ["sample", "epsilon", "v_prediction"])
def test_errors_can_be_expressed_in_other_terms(prediction):
    """One guess, three ways to say it: the noise and the sample it implies miss in proportion."""
    from harness.policies import tiny_policy_config
    torch.manual_seed(0)
    config = tiny_policy_config(diffusion={"prediction": prediction})
    network = PolicyNetwork(config)
    steps = torch.randint(5, 95, (8,))
    arguments = (torch.randn(8, 16), torch.randn(8, 16, 4), torch.randn(8, 16, 4), steps)
    with torch.no_grad():
        sample, noise, velocity, own = (network.errors(*arguments, quantity) for quantity in (
            "sample", "epsilon", "v_prediction", None))
    kept = NoiseSchedule(config.diffusion).kept[steps][:, None]
    assert torch.allclose(noise, sample * kept / (1 - kept), rtol=1e-2)
    assert torch.allclose(velocity, sample / (1 - kept), rtol=1e-2)
    assert torch.equal(own, {"sample": sample, "epsilon": noise,
                             "v_prediction": velocity}[prediction])

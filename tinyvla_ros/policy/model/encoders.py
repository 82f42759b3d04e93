# SPDX-License-Identifier: Apache-2.0
"""Choose the encoder that a configuration names; libraries load only for those that need them."""

from __future__ import annotations

from torch import nn

from tinyvla_ros.policy.config import PolicyConfig
from tinyvla_ros.policy.encoder_config import TinyEncoderConfig, VisionEncoderConfig, needs_base
from tinyvla_ros.policy.model.encoder import ObservationEncoder
from tinyvla_ros.policy.pretrained import BaseModelSource, fingerprint


def make_encoder(config: PolicyConfig, source: BaseModelSource) -> nn.Module:
    """Return an encoder: images, state and instruction to a condition.

    Raises:
        InputError: its base model is not to be had or does not fit.
    """
    settings = config.model.encoder
    if isinstance(settings, TinyEncoderConfig):
        return ObservationEncoder(config)
    if isinstance(settings, VisionEncoderConfig):
        from tinyvla_ros.policy.model.vision_encoder import VisionEncoder as Encoder
    else:
        from tinyvla_ros.policy.model.vlm_encoder import VlmEncoder as Encoder
    return Encoder(config, source)


def with_fingerprint(config: PolicyConfig, source: BaseModelSource) -> PolicyConfig:
    """Return a configuration that says by its fingerprint which base model it leaves weights to.

    Raises:
        InputError: the base model is not to be had, or has another fingerprint than is said.
    """
    settings = config.model.encoder
    if not needs_base(settings):
        return config
    from tinyvla_ros.policy.model.base_model import find

    encoder = settings.model_copy(update={"base": fingerprint(find(settings, source))})
    return config.model_copy(
        update={"model": config.model.model_copy(update={"encoder": encoder})})

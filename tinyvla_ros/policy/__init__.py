# SPDX-License-Identifier: Apache-2.0
"""The policy: ``infer(observation) -> chunk``, its configuration, checkpoint and words."""

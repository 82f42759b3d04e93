# SPDX-License-Identifier: Apache-2.0
"""Evaluation, and the studies built on it: latency, language, loss against success."""

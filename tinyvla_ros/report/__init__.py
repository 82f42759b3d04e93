# SPDX-License-Identifier: Apache-2.0
"""The episode report: one self-contained HTML page about a run."""

# SPDX-License-Identifier: Apache-2.0
"""Long work: a pool of processes, results that survive a kill, progress, provenance."""

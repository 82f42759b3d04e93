# SPDX-License-Identifier: Apache-2.0
"""``python -m tinyvla_ros.cli``: what torchrun starts."""

import sys

from tinyvla_ros.cli.main import main

sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""What everything else stands on: types, errors, configuration, files, messages, images."""

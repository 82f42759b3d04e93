# SPDX-License-Identifier: Apache-2.0
"""``tinyvla data check``: is a dataset fit for training?"""

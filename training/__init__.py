# SPDX-License-Identifier: Apache-2.0
"""Offline training: collect, check and mix data, train, evaluate, explain.

A room imports only rooms below it: ``experiments`` (evaluation and studies), ``diagnose``,
``learning``, ``data_check`` and ``bag_export``, ``data`` (LeRobotDatasets), ``jobs`` (work in
several processes).
"""

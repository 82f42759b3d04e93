# SPDX-License-Identifier: Apache-2.0
"""Offline training: collect, check and mix data, train, evaluate, explain.

A folder imports only folders below it: ``experiments`` (evaluation and studies), ``diagnose``,
``learning``, ``data_check`` and ``bag_export``, ``data`` (LeRobotDatasets), ``jobs`` (work in
several processes).
"""

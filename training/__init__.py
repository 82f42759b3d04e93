# SPDX-License-Identifier: Apache-2.0
"""Offline training: collect, check and mix data, train, evaluate, explain.

Where to look:

- data: ``collect``, ``lerobot_dataset`` (writing), ``lerobot_reader``, ``frames``,
  ``image_cache``, ``dataset`` (reading), ``mixture``, ``batches``
- ``tinyvla data check``: ``data_check``, ``consistency``, ``data_statistics``, ``image_check``,
  ``contact_sheet``
- training: ``recipe``, ``learner`` (losses), ``trainer`` (the loop), ``train`` (start, resume),
  ``run_directory`` (saves), ``run_log`` (curves), ``processes`` (several devices)
- ``tinyvla diagnose``: ``diagnose``, ``diagnosis``, ``diagnosis_report``, ``probe``,
  ``range_check``, ``one_batch``, ``memory_plan``
- ``tinyvla ablate``: ``ablation``, ``ablation_*``; ``tinyvla loss-vs-success``: ``loss_success``,
  ``loss_success_*``, ``held_out``; both: ``jobs``, ``episode_jobs``, ``results_log``, ``curves``,
  ``plots``, ``provenance``
- ``evaluate``; ``commands`` (the command line), ``progress``
"""

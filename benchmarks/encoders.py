# Copyright 2026 tinyvla_ros contributors
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""Latency and peak memory of a policy per encoder kind, each in a process of its own.

The base models have the sizes of SigLIP-base, DINOv2-small and SmolVLM-256M and random weights, of
which neither latency nor memory depends.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from _figures import print_heading

CHILD = Path(__file__).with_name("_encoder_process.py")
# As in the config.json of google/siglip-base-patch16-224, facebook/dinov2-small and
# HuggingFaceTB/SmolVLM-256M-Instruct.
SIGLIP = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
          "num_attention_heads": 12, "image_size": 224, "patch_size": 16}
DINOV2 = {"hidden_size": 384, "num_hidden_layers": 12, "num_attention_heads": 6,
          "image_size": 518, "patch_size": 14}
SMOLVLM_TEXT = {"model_type": "llama", "hidden_size": 576, "intermediate_size": 1536,
                "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3,
                "vocab_size": 49280}
SMOLVLM = {"vision_config": SIGLIP | {"image_size": 512}, "text_config": SMOLVLM_TEXT,
           "scale_factor": 4, "image_token_id": 49190}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--observations", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    print_heading("Encoders: observation to action chunk", ("torch", "transformers"),
                  weights="RANDOM, of the named models' sizes; tiny is the shipped checkpoint",
                  observations=args.observations, threads=args.threads, cameras="3 of 96x96")
    print(f"\n{'encoder':34} {'device':7} {'parameters':>12} {'p50 ms':>9} {'p99 ms':>9} "
          f"{'resident MB':>12} {'GPU MB':>8}")
    with tempfile.TemporaryDirectory() as root:
        for name, write, encoder in SUBJECTS:
            base = Path(root) / name.split(",")[0].replace(" ", "-")
            if write and not base.is_dir():
                write(base)
            for device in ("cpu", *(["cuda"] if torch.cuda.is_available() else [])):
                _measure(name, device, base if write else None, encoder, args)


def _measure(name: str, device: str, base: Path | None, encoder: dict, args) -> None:
    command = [sys.executable, str(CHILD), "--device", device, "--threads", str(args.threads),
               "--observations", str(args.observations)]
    if base:
        command += ["--base", str(base), "--encoder", json.dumps(encoder)]
    figures = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE,
                                        text=True).stdout.splitlines()[-1])
    gpu = f"{figures['gpu_mb']:.0f}" if figures["gpu_mb"] else "-"
    print(f"{name:34} {device:7} {figures['parameters']:>12,} {figures['p50']:>9.1f} "
          f"{figures['p99']:>9.1f} {figures['resident_mb']:>12.0f} {gpu:>8}", flush=True)


def _siglip(path: Path) -> None:
    from transformers import SiglipVisionConfig, SiglipVisionModel
    SiglipVisionModel(SiglipVisionConfig(**SIGLIP)).save_pretrained(path)


def _dinov2(path: Path) -> None:
    from transformers import Dinov2Config, Dinov2Model
    Dinov2Model(Dinov2Config(**DINOV2)).save_pretrained(path)


def _smolvlm(path: Path) -> None:
    from transformers import SmolVLMConfig, SmolVLMForConditionalGeneration
    SmolVLMForConditionalGeneration(SmolVLMConfig(**SMOLVLM)).save_pretrained(path)
    (path / "tokenizer.json").write_text("{}")  # the known wording's tokens are made up


SUBJECTS = (
    ("tiny", None, {}),
    ("vision DINOv2-small, 224", _dinov2,
     {"kind": "vision", "adapt": "frozen", "image_size": 224}),
    ("vision SigLIP-base, 224", _siglip, {"kind": "vision", "adapt": "frozen"}),
    ("vlm SmolVLM-256M, 512", _smolvlm, {"kind": "vlm", "adapt": "lora"}),
    ("vlm SmolVLM-256M, 256", _smolvlm, {"kind": "vlm", "adapt": "lora", "image_size": 256}),
)

if __name__ == "__main__":
    main()

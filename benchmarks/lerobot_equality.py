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

"""Compare an imported policy with LeRobot: same weights, observations and noise.

For every case of ``test/harness/lerobot_source.py`` a LeRobot checkpoint is written, LeRobot
drives it over ten frames with a Python of its own (``--lerobot``, PYTHONPATH from
``--lerobot-path``), and the imported one is driven over the same frames by ``Policy``.
``--record`` keeps LeRobot's actions for the tests.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "test"))

from harness.lerobot_source import (  # noqa: E402
    CASES,
    LARGE_CASES,
    drive,
    frames,
    import_case,
    noise,
    write_lerobot_checkpoint,
)

RECORDED = ROOT / "test" / "data" / "lerobot_actions.json"


def main() -> int:
    """Compare and print; 1 if a difference exceeds the tolerance."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lerobot", required=True, help="Python that has LeRobot's dependencies")
    parser.add_argument("--lerobot-path", default="", help="PYTHONPATH for it")
    parser.add_argument("--cases", nargs="+", default=list(CASES),
                        choices=[*CASES, *LARGE_CASES])
    parser.add_argument("--tolerance", type=float, default=1e-5)
    parser.add_argument("--record", action="store_true", help=f"write {RECORDED.name}")
    args = parser.parse_args()
    recorded = json.loads(RECORDED.read_text()) if args.record and RECORDED.is_file() else {}
    worst = 0.0
    for name in args.cases:
        case = (CASES | LARGE_CASES)[name]
        with tempfile.TemporaryDirectory() as folder:
            theirs, versions = lerobot_actions(Path(folder), case, args)
            ours = drive(import_case(Path(folder), case), case)
        difference = float(np.abs(ours - theirs).max())
        worst = max(worst, difference)
        print(f"{name}: {ours.size} numbers, largest |action| {np.abs(theirs).max():.3f}, spread "
              f"{theirs.std():.3f}, largest difference {difference:.2e} ({versions})", flush=True)
        recorded[name] = {"versions": versions, "actions": theirs.astype(float).tolist()}
    if args.record:
        RECORDED.parent.mkdir(exist_ok=True)
        RECORDED.write_text(json.dumps(recorded) + "\n")
    return int(worst > args.tolerance)


def lerobot_actions(folder: Path, case: dict, args) -> tuple[np.ndarray, dict]:
    """Return LeRobot's action for every frame, (frames, channels), and its versions."""
    source = write_lerobot_checkpoint(folder / "source", case)
    seen = frames(case)
    images = {f"image {n}": np.stack([f["images"][n] for f in seen]) for n in case["cameras"]}
    np.savez(folder / "inputs.npz", state=np.stack([f["state"] for f in seen]),
             noise=noise(import_case(folder, case), case), **images)
    environment = os.environ | {"PYTHONPATH": args.lerobot_path, "HF_HUB_OFFLINE": "1"}
    subprocess.run([args.lerobot, str(ROOT / "benchmarks" / "_lerobot_reference.py"), source,
                    folder / "inputs.npz", folder / "outputs.npz"], check=True, env=environment)
    outputs = np.load(folder / "outputs.npz")
    return outputs["actions"], json.loads(str(outputs["versions"]))


if __name__ == "__main__":
    sys.exit(main())

"""Compiling, where other packages offer stages of Qiskit's transpiler."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

STAGES = """
[qiskit.transpiler.translation]
others = others_stages:Stage
"""
COMPILE = """
import sys
from qpuflow.domain.compiling import compile_circuit
from tests.domain.programs import DEVICE, bell_circuit

pair = bell_circuit().remove_final_measurements(inplace=False)
assert compile_circuit(pair, DEVICE).operations["cx"] == 1
assert "others_stages" not in sys.modules, "imported for nothing"
"""


def test_what_other_packages_offer_is_not_imported_and_breaks_nothing(tmp_path: Path) -> None:
    (tmp_path / "others_stages.py").write_text("raise SystemExit('the vendor is broken')")
    about = tmp_path / "others_stages-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: others-stages\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(STAGES)
    paths = os.pathsep.join([str(tmp_path), *sys.path])
    subprocess.run(
        [sys.executable, "-c", COMPILE],
        check=True,
        env=os.environ | {"PYTHONPATH": paths},
        cwd=Path(__file__).parents[2],
        timeout=120,
    )

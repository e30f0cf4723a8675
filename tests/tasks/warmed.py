"""Imported by the process that carriers are forked from: none of them pays for a first time."""

from __future__ import annotations

import importlib

import xarray
from qiskit.transpiler import generate_preset_pass_manager
from sqlalchemy.orm import configure_mappers

for vendor in ("braket", "ibm", "quantinuum"):
    importlib.import_module(f"qpuflow.drivers.{vendor}.driver")
for needed in ("anyio._backends._asyncio", "tenacity.asyncio", "websockets.asyncio.client"):
    importlib.import_module(needed)
configure_mappers()
xarray.Dataset({"shots": ("shot", [0])})  # looks for dask, which takes half a second
# Only made: a run would start Qiskit's threads, which a fork has not, and waits for.
generate_preset_pass_manager(1, basis_gates=["rz", "sx", "cx"])

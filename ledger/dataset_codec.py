"""Datasets as bytes.

NumPy's own archive rather than netCDF: writing a two-outcome histogram takes 0.3 ms instead of
20, and the dataset comes back identical. `Dataset.to_netcdf` is for what leaves qpuflow.
"""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import xarray as xr

MEDIA_TYPE = "application/vnd.qpuflow.dataset+npz"
_STRUCTURE = "__structure__"


def encode(dataset: xr.Dataset) -> bytes:
    """Variables, coordinates and attributes (JSON values) of a dataset."""
    import numpy as np

    structure = {
        "attrs": dict(dataset.attrs),
        "variables": {
            str(name): {
                "dims": list(variable.dims),
                "attrs": dict(variable.attrs),
                "coord": name in dataset.coords,
            }
            for name, variable in dataset.variables.items()
        },
    }
    arrays = {str(name): variable.values for name, variable in dataset.variables.items()}
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=False, **{_STRUCTURE: np.array(json.dumps(structure))}, **arrays)
    return stream.getvalue()


def decode(content: bytes, *, indexed: bool = True) -> xr.Dataset:
    """Whoever only reads its values needs no index, which takes more than all the rest."""
    import numpy as np
    import xarray as xr

    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        structure = json.loads(str(archive[_STRUCTURE]))
        data: dict[str, Any] = {}
        coords: dict[str, Any] = {}
        for name, about in structure["variables"].items():
            place = coords if about["coord"] else data
            place[name] = (about["dims"], archive[name], about["attrs"])
    known = coords if indexed else xr.Coordinates(coords, indexes={})
    return xr.Dataset(data, coords=known, attrs=structure["attrs"])

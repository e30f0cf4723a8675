"""Datasets as bytes.

NumPy's own archive rather than netCDF: writing a two-outcome histogram takes 0.1 ms instead of
20, and the dataset comes back identical. `Dataset.to_netcdf` is for what leaves qpuflow.
"""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

MEDIA_TYPE = "application/vnd.qpuflow.dataset+npz"
FEW = 16
"""So many values are written between the names: an entry of the archive takes longer to read than
all of them."""
_STRUCTURE = "__structure__"
_AS_IN_JSON = frozenset("?bBhHiIlLqQefdU")
"""Characters of a `dtype` whose values JSON gives back as they were."""


def encode(dataset: xr.Dataset) -> bytes:
    """Variables, coordinates and attributes (JSON values) of a dataset."""
    import numpy as np

    arrays = {str(name): variable.values for name, variable in dataset.variables.items()}
    structure = {
        "attrs": dict(dataset.attrs),
        "variables": {
            str(name): {
                "dims": list(variable.dims),
                "attrs": dict(variable.attrs),
                "coord": name in dataset.coords,
                **_written(arrays[str(name)]),
            }
            for name, variable in dataset.variables.items()
        },
    }
    apart = {name: array for name, array in arrays.items() if not _is_short(array)}
    stream = io.BytesIO()
    written = np.array(json.dumps(structure).encode())
    np.savez(stream, allow_pickle=False, **{_STRUCTURE: written}, **apart)
    return stream.getvalue()


def decode(content: bytes, *, indexed: bool = True) -> xr.Dataset:
    """Whoever only reads its values needs no index, which takes more than all the rest."""
    import numpy as np
    import xarray as xr

    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        structure = json.loads(archive[_STRUCTURE].item())
        data: dict[str, Any] = {}
        coords: dict[str, Any] = {}
        for name, about in structure["variables"].items():
            place = coords if about["coord"] else data
            values = _read(about) if "values" in about else archive[name]
            place[name] = (about["dims"], values, about["attrs"])
    known = coords if indexed else xr.Coordinates(coords, indexes={})
    return xr.Dataset(data, coords=known, attrs=structure["attrs"])


def _is_short(array: NDArray[Any]) -> bool:
    return array.size <= FEW and array.dtype.char in _AS_IN_JSON


def _written(array: NDArray[Any]) -> dict[str, Any]:
    if not _is_short(array):
        return {}
    return {"values": array.ravel().tolist(), "dtype": array.dtype.str, "shape": array.shape}


def _read(about: dict[str, Any]) -> NDArray[Any]:
    import numpy as np

    return np.array(about["values"], dtype=about["dtype"]).reshape(about["shape"])

"""A cryostat that is not there: the part of Bluefors' HTTP API that is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


def control_software(values: Mapping[str, dict[str, Any]], key: str) -> Starlette:
    """`values`: by path, the ``latest_valid_value``."""

    async def value(request: Request) -> Response:
        if request.query_params.get("key") != key:
            return JSONResponse({"errors": ["invalid key"]}, 401)
        path = request.path_params["path"].replace("/", ".")
        if path not in values:
            return JSONResponse({"errors": ["unknown"]}, 404)
        content = {"latest_value": values[path], "latest_valid_value": values[path]}
        return JSONResponse({"data": {path: {"name": path, "content": content}}})

    return Starlette(routes=[Route("/values/{path:path}", value)])


def reading(value: str, status: str = "SYNCHRONIZED", *, outdated: bool = False) -> dict[str, Any]:
    return {"value": value, "status": status, "outdated": outdated, "date": 1_795_000_000_000}

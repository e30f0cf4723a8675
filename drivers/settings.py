"""A driver's settings as they come from a block or a file, made into its own model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from qpuflow.domain.errors import InputError

Model = TypeVar("Model", bound=BaseModel)


def validated(model: type[Model], name: str, settings: Mapping[str, Any] | Model) -> Model:
    """`InputError` names the setting that is wrong, and those that there are."""
    if isinstance(settings, model):
        return settings
    try:
        return model.model_validate(settings)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InputError(
            f"Setting {place!r}: {first['msg']}",
            where=f"the settings of {name}",
            remedy=f"The settings are {', '.join(model.model_fields)}.",
        ) from error

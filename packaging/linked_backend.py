"""PEP 517 build backend: setuptools, with an editable install that links the live tree.

The folders at the root are the subpackages of the namespace package ``qpuflow``. Setuptools'
own editable finder is an import hook that pyright and import-linter cannot see through, so the
editable wheel holds one ``.pth`` line instead: a folder of symbolic links, ``build/links``.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from setuptools import build_meta
from setuptools.build_meta import (  # noqa: F401  (the hooks that stay setuptools' own)
    build_sdist,
    build_wheel,
    get_requires_for_build_sdist,
    get_requires_for_build_wheel,
    prepare_metadata_for_build_wheel,
)
from wheel.wheelfile import WheelFile

ROOT = Path(__file__).resolve().parent.parent
LAYERS = ("domain", "ledger", "drivers", "blocks", "tasks", "flows", "client", "deployments")
WHEEL_TEXT = (
    "Wheel-Version: 1.0\nGenerator: linked_backend\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
)


def get_requires_for_build_editable(config_settings: dict[str, str] | None = None) -> list[str]:
    return []


def prepare_metadata_for_build_editable(
    metadata_directory: str, config_settings: dict[str, str] | None = None
) -> str:
    return build_meta.prepare_metadata_for_build_wheel(metadata_directory, config_settings)


def build_editable(
    wheel_directory: str,
    config_settings: dict[str, str] | None = None,
    metadata_directory: str | None = None,
) -> str:
    links = link_layers(ROOT / "build" / "links")
    with tempfile.TemporaryDirectory() as scratch:
        dist_info = Path(scratch, build_meta.prepare_metadata_for_build_wheel(scratch))
        name = f"{dist_info.name.removesuffix('.dist-info')}-py3-none-any.whl"
        with WheelFile(Path(wheel_directory, name), "w") as wheel:
            wheel.writestr("qpuflow_links.pth", f"{links}\n")
            wheel.writestr(f"{dist_info.name}/WHEEL", WHEEL_TEXT)
            for file in sorted(path for path in dist_info.rglob("*") if path.is_file()):
                if file.name not in ("WHEEL", "RECORD"):
                    wheel.write(file, file.relative_to(scratch).as_posix())
    return name


def link_layers(links: Path) -> Path:
    namespace = links / "qpuflow"
    namespace.mkdir(parents=True, exist_ok=True)
    for layer in LAYERS:
        link = namespace / layer
        if not link.is_symlink():
            link.symlink_to(ROOT / layer, target_is_directory=True)
    return links

"""What tools make again by themselves, below the working directory: nothing is lost with it but time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.approval.risk.detectors import paths
from services.approval.risk.detectors.paths import HIDDEN

if TYPE_CHECKING:
    from services.approval.risk.shell.walker import Walker

# Folders and files that nobody writes by hand, whatever the project.
_CACHES = frozenset(
    "__pycache__ .pytest_cache .mypy_cache .ruff_cache .hypothesis .tox .nox .nyc_output .parcel-cache .turbo .sass-cache .eslintcache .stylelintcache "
    ".cache .eggs .ipynb_checkpoints .next .nuxt .svelte-kit .angular .docusaurus .dart_tool htmlcov .coverage .tsbuildinfo .ds_store thumbs.db cmakefiles "
    "deriveddata storybook-static bower_components cmake-build-debug cmake-build-release".split()
)
_CACHE_ENDS = (".pyc", ".pyo", ".egg-info", ".o", ".obj", ".class", ".tsbuildinfo", ".gcda", ".gcno")


def is_cache(walker: Walker, path: str) -> bool:
    """Whether a path is a cache of a tool, or something in one."""
    parts = _parts(walker, path)
    return bool(parts) and (parts[-1].endswith(_CACHE_ENDS) or not _CACHES.isdisjoint(parts))


def _parts(walker: Walker, path: str) -> list[str]:
    """The parts of a path, in lower case, when it is known and below the working directory; a star at its end means all in the folder."""
    real = walker.state.files.real(path)
    if not real or HIDDEN in real or paths.outside(paths.normalised(real, walker.moved), walker.place.root) or paths.write_factor(real, walker.place):
        return []
    parts = [part for part in paths.normalised(real).lower().removesuffix("/*").split("/") if part != "."]
    wild = any(sign in part for part in parts[:-1] for sign in "*?[") or (parts and any(s in parts[-1].removeprefix("*") for s in "*?["))
    return [] if wild or ".." in parts else parts

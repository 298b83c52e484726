"""The image that was built last. IMAGE_REQUIRED=1 turns "there is none" into a failure (CI)."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.image.build import Built, CannotBuild, built, require
from tests.image.bundle import Container, without_tools
from tests.required import cannot_run


@pytest.fixture(scope="session")
def image() -> Built:
    try:
        require()
        return built()
    except CannotBuild as problem:
        cannot_run(problem, "IMAGE_REQUIRED")


@pytest.fixture(scope="session")
def bare(image: Built) -> Iterator[Path]:
    """Its files without any program but Python; beside the cache, for hard links do not cross file systems."""
    folder = image.root.parent / "bare"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    yield without_tools(image, folder)
    shutil.rmtree(folder)


@pytest.fixture
def container(image: Built, bare: Path, tmp_path: Path) -> Iterator[Callable[..., Container]]:
    """Makes containers of the image, and removes them in the end."""
    made: list[Container] = []

    def make(command: list[str] | None = None, **options: Any) -> Container:
        made.append(Container(image, bare, tmp_path, command, **options))
        return made[-1]

    yield make
    for one in made:
        one.kill()

"""docs/features.md against the code: fields, settings and samples are there, and proofs run on a real control plane."""

import ast
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from app.settings import Settings as HookSettings
from external_service.v1alpha1 import ExternalService
from probe_sidecar.settings import Settings as SidecarSettings
from runtime.settings import hints

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "features.md"
LINK = re.compile(r"\[[^\]]+\]\(([^)#]+)\)")
SCENARIO = re.compile(r"tests/e2e/test_\d\d_\w+\.py")
SETTINGS = {f"ESO_{name.upper()}" for name in hints(HookSettings) | hints(SidecarSettings)}
SCHEMA = yaml.safe_load((ROOT / "metacontroller" / "crd.yaml").read_text())["spec"]["versions"][0]["schema"]


class Row(NamedTuple):
    """One feature; `elsewhere` is who lacks it, `proofs` are scenarios, all paths are from the root."""

    feature: str
    elsewhere: str
    name: str
    sample: str
    proofs: tuple[str, ...]


def rows() -> list[Row]:
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")][1:]
    return [_row(*(cell.strip() for cell in line.strip("|").split("|"))) for line in lines]


def _row(feature: str, elsewhere: str, name: str, sample: str, proofs: str) -> Row:
    (file,) = _paths(sample)
    return Row(feature, elsewhere, name.strip("`"), file, _paths(proofs))


def _paths(cell: str) -> tuple[str, ...]:
    return tuple(str((PAGE.parent / link).resolve().relative_to(ROOT)) for link in LINK.findall(cell))


ROWS = rows()
NAMES = [f"{number}-{row.name}" for number, row in enumerate(ROWS)]


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_feature_row_names_an_existing_field_or_setting(row: Row) -> None:
    if row.name.startswith("ESO_"):
        assert row.name in SETTINGS
    else:
        node: dict[str, Any] = SCHEMA["openAPIV3Schema"]
        for field in row.name.split("."):
            node = node["properties"][field]


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_feature_sample_uses_the_field(row: Row) -> None:
    manifest: Any = yaml.safe_load((ROOT / row.sample).read_text())
    if row.name.startswith("ESO_"):
        assert row.name in manifest["data"]
        return
    ExternalService.model_validate(manifest)
    for field in row.name.split("."):
        assert field in manifest
        manifest = manifest[field]


@pytest.mark.parametrize("row", ROWS, ids=NAMES)
def test_feature_has_an_e2e_scenario(row: Row) -> None:
    assert row.proofs
    for proof in row.proofs:
        assert SCENARIO.fullmatch(proof)
        assert _on_the_real_one(ROOT / proof), f"{proof} asks neither for a world nor for a control plane"


def _on_the_real_one(file: Path) -> bool:
    """Whether a test of it takes a fixture that is, or is also, the real control plane."""
    functions = [
        one for one in ast.walk(ast.parse(file.read_text())) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    tests = [one for one in functions if one.name.startswith("test_")]
    return any({argument.arg for argument in one.args.args} & {"world", "admin", "control_plane"} for one in tests)

"""docs/features.md against the code: its fields, settings and samples exist, and its tests run on a real control
plane.
"""

import re
from pathlib import Path
from typing import Any

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
ON_A_CONTROL_PLANE = re.compile(r"def test_\w+\([^)]*\b(world|admin|control_plane): ")
SETTINGS = {f"ESO_{name.upper()}" for name in hints(HookSettings) | hints(SidecarSettings)}
SCHEMA = yaml.safe_load((ROOT / "metacontroller" / "crd.yaml").read_text())["spec"]["versions"][0]["schema"]


ROWS = [line.strip("|").split("|") for line in PAGE.read_text().splitlines() if line.startswith("| ")][1:]


def paths(cell: str) -> list[Path]:
    return [(PAGE.parent / link).resolve() for link in LINK.findall(cell)]


@pytest.mark.parametrize("row", ROWS, ids=[f"{number}-{row[2].strip(' `')}" for number, row in enumerate(ROWS)])
def test_feature_has_a_field_a_sample_and_a_scenario(row: list[str]) -> None:
    _, _, cell, sample, proofs = row
    name, (file,) = cell.strip(" `"), paths(sample)
    manifest: Any = yaml.safe_load(file.read_text())
    if name.startswith("ESO_"):
        assert name in SETTINGS
        assert name in manifest["data"]
    else:
        ExternalService.model_validate(manifest)
        node: dict[str, Any] = SCHEMA["openAPIV3Schema"]
        for field in name.split("."):
            node, manifest = node["properties"][field], manifest[field]
    assert paths(proofs)
    for proof in paths(proofs):
        assert SCENARIO.fullmatch(str(proof.relative_to(ROOT)))
        assert ON_A_CONTROL_PLANE.search(proof.read_text()), f"{proof} asks neither for a world nor for a control plane"

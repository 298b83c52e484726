"""`external-service render` of every sample, against files whose content the API server stores unchanged.

To change one: `external-service render metacontroller/samples/NAME.yaml > tests/contract/golden/NAME.yaml`; check it.
"""

from pathlib import Path

import pytest

from app.commands import render
from app.render import unresolved
from app.settings import Settings
from runtime.commands import run
from runtime.settings import hints

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = sorted((ROOT / "metacontroller" / "samples").glob("*.yaml"))
GOLDEN = ROOT / "tests" / "contract" / "golden"


NOTES = {
    "hostnames": [
        f"warning: {SAMPLES[0].parent / 'hostnames.yaml'}: spec.hostnames[{index}]: {unresolved(name, status=False)}"
        for index, name in enumerate(("db-1.example.com", "db-2.example.com"))
    ],
    "address-families": [
        f"warning: {SAMPLES[0].parent / 'address-families.yaml'}: spec.hostnames[0]: "
        f"{unresolved('api.example.com', status=False)}"
    ],
}


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in hints(Settings):
        monkeypatch.delenv(f"ESO_{name.upper()}", raising=False)


def test_every_sample_has_a_golden_file() -> None:
    assert [sample.name for sample in SAMPLES] == sorted(golden.name for golden in GOLDEN.glob("*.yaml"))
    assert {"http", "https", "tcp", "grpc", "no-probe", "no-hosts", "ipv6", "complex-example"} <= {
        sample.stem for sample in SAMPLES
    }


@pytest.mark.parametrize("sample", SAMPLES, ids=[sample.stem for sample in SAMPLES])
def test_sample_renders_to_its_golden_file(sample: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(render, "external-service render", [str(sample)]) == 0
    rendered = capsys.readouterr()
    assert rendered.err.splitlines() == NOTES.get(sample.stem, [])
    assert rendered.out == (GOLDEN / sample.name).read_text()

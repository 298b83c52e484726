"""docs/compatibility.md from what the tests pin, and from tests/e2e/versions.json.

`python -m tests.e2e.versions --write` stores the results in that file.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "tests" / "e2e" / "versions.json"
PAGE = ROOT / "docs" / "compatibility.md"
PARTS = {
    "CRD": "The API server takes the CRD without a warning; objects older than its rules can be changed (see below).",
    "samples": "`kubectl apply` of all samples and of the predecessor's manifests; a second time changes nothing.",
    "good objects": "The API server accepts each object of `tests/contract/crs/good.yaml`.",
    "bad objects": "It refuses each of `tests/contract/crs/bad.yaml`, with the expected field and message.",
    "address policy": "The ValidatingAdmissionPolicy refuses denied addresses and nothing else.",
    "status guard": "A stale write of `.status` is refused, a newer one is accepted.",
    "loop": "Hook, sidecar and composite controller: children, transitions, flapping, no write in the steady state.",
}
TRIED = "3.11, with OpenSSL 3.0; on 2026-11-29 `make unit` with 3.13 (OpenSSL 3.5, as in the image) and 3.14 (3.6)"
HEAD = """\
# Compatibility

| component | works with | tested | not tested |
|---|---|---|---|
| Kubernetes | 1.31 or newer: the rules of the CRD need `isIP` | {kubernetes}, see below | anything newer |
| Metacontroller | 4.16 or newer (4.15 without a token) | {metacontroller}, both apply strategies | all others |
| Helm | 3.8 or newer (3.17 for `--take-ownership`) | {helm} | all others |
| Python, for commands and playground | 3.11 or newer | {tried}; the workflow `tests` runs {python} | all others |

## Kubernetes

The table shows how many tests passed on a real kube-apiserver of each version, with etcd, kube-controller-manager and
kubectl of 1.36.3. `-` means not run. `python -m tests.e2e.versions --loop --write` runs the tests and writes this page.

"""
TAIL = """\

### Kubernetes 1.31 and 1.32

When `.status` is written, these versions apply the CRD's rules to the whole object, also to fields that do not change.
An ExternalService that the predecessor left with an invalid spec therefore gets no status until its spec is fixed: its
columns in `kubectl get` are empty, and the sidecar logs the refused write. Its `SyncError` Events name the field.
`external-service render` finds such objects before you migrate ([migration](migration.md#step-by-step)).
From 1.33 on their STATUS is `invalid: ...`.
"""

Counts = Mapping[str, Mapping[str, int]]


def cells(parts: Counts) -> list[str]:
    """One text per part, such as "bad objects 158 of 158"."""
    return [f"{part} {_cell(parts[part])}" for part in PARTS if part in parts]


def document(results: Mapping[str, Any]) -> str:
    """The page."""
    lines = [f"| Kubernetes | {' | '.join(PARTS)} | run on |", "|---" * (len(PARTS) + 2) + "|"]
    for release, one in sorted(results.items(), key=lambda entry: _order(entry[0])):
        row = (_cell(one["parts"].get(part, {})) for part in PARTS)
        lines.append(f"| {release} | {' | '.join(row)} | {one['date']} |")
    meanings = (f"| {part} | {meaning} |" for part, meaning in PARTS.items())
    return head(results) + "\n".join((*lines, "", "| column | what passed |", "|---|---|", *meanings)) + "\n" + TAIL


def head(results: Mapping[str, Any]) -> str:
    """The versions that the tests pin."""
    releases = sorted((release.rpartition(".")[0] for release in results), key=_order)
    python = re.findall(r'"(3\.\d+)"', _pinned(".github/workflows/tests.yml", r"python: (\[.*\])"))
    return HEAD.format(
        kubernetes=f"{releases[0]} to {releases[-1]}" if releases else "none",
        metacontroller=_pinned("hack/kind/up", r"manifests/production\?ref=v([\d.]+)"),
        helm=_pinned("tests/chart/helm/go.mod", r"helm\.sh/helm/v\d+ v([\d.]+)"),
        tried=TRIED,
        python=f"{python[0]} to {python[-1]}",
    )


def _pinned(name: str, pattern: str) -> str:
    found = re.search(pattern, (ROOT / name).read_text())
    assert found, f"{name} pins no version: {pattern}"
    return found[1]


def store(release: str, results: Mapping[str, Any]) -> None:
    """Adds the results of one release to the file, in place of earlier ones, and writes the page."""
    merged = {**stored(), release: results}
    RESULTS.write_text(json.dumps(dict(sorted(merged.items(), key=lambda entry: _order(entry[0]))), indent=2) + "\n")
    main()


def stored() -> dict[str, Any]:
    """The results of the file: release -> date and counts."""
    found: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    return found


def main() -> None:
    """Writes the page from the file of results."""
    PAGE.write_text(document(stored()))


def _cell(outcomes: Mapping[str, int]) -> str:
    total = sum(outcomes.values())
    return f"{outcomes.get('passed', 0)} of {total}" if total else "-"


def _order(release: str) -> tuple[int, ...]:
    return tuple(int(part) for part in release.split("."))


if __name__ == "__main__":
    main()

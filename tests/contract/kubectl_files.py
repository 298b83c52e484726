"""Files of all kinds, with what kubectl reads in each: `golden/kubectl_files.json`, made by test_66_kubectl_files.

`objects` is null where kubectl refuses a file.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

GOLDEN = Path(__file__).resolve().parent / "golden" / "kubectl_files.json"


class File(NamedTuple):
    """`objects`: kind, name, annotations and spec of each, in order."""

    name: str
    source: str
    objects: list[dict[str, Any]] | None


FILES = [File(**one) for one in json.loads(GOLDEN.read_text())]


def essentials(one: Mapping[str, Any]) -> dict[str, Any]:
    """Part of an object that is compared."""
    metadata = one["metadata"]
    shown = {"kind": one["kind"], "name": metadata.get("name"), "annotations": metadata.get("annotations")}
    return {**shown, "spec": one.get("spec")}

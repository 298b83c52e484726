"""We read a file as kubectl does (golden/kubectl_files.json, made by tests/e2e/test_66_kubectl_files), or refuse it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from external_service.documents import documents
from external_service.manifest import InvalidInput, external_services


class File(NamedTuple):
    """`objects`: kind, name, annotations and spec of each, in order; null where kubectl refuses the file."""

    name: str
    source: str
    objects: list[dict[str, Any]] | None


GOLDEN = Path(__file__).resolve().parent / "golden" / "kubectl_files.json"
FILES = [File(**one) for one in json.loads(GOLDEN.read_text())]
STRICTER = {
    "json dup": "a key that occurs twice is an error, as in the API server's strict validation",
    "json nan": "the text NaN is no port",
}
"""Files that kubectl takes and we refuse. Of the port the API server says the same."""


def essentials(one: Mapping[str, Any]) -> dict[str, Any]:
    """Part of an object that is compared."""
    metadata = one["metadata"]
    shown = {"kind": one["kind"], "name": metadata.get("name"), "annotations": metadata.get("annotations")}
    return {**shown, "spec": one.get("spec")}


@pytest.mark.parametrize("file", FILES, ids=[file.name for file in FILES])
def test_file_is_parsed_as_by_kubectl(file: File) -> None:
    if file.objects is None or file.name in STRICTER:
        with pytest.raises(InvalidInput):
            external_services(file.source)
    else:
        found = [one for document in documents(file.source) for one in document.get("items", [document])]
        assert [essentials(one) for one in found] == file.objects
        assert external_services(file.source).documents

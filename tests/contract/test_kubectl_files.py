"""We read a file as kubectl does, or refuse it."""

from typing import Any

import pytest

from external_service.documents import documents
from external_service.manifest import InvalidInput, external_services
from tests.contract.kubectl_files import FILES, File, essentials

STRICTER = {
    "json dup": "a key that occurs twice is an error, as in the API server's strict validation",
    "json nan": "the text NaN is no port",
}
"""Files that kubectl takes and we refuse. Of the port the API server says the same."""


def objects(source: str) -> list[dict[str, Any]]:
    return [one for document in documents(source) for one in document.get("items", [document])]


@pytest.mark.parametrize("file", FILES, ids=[file.name for file in FILES])
def test_file_is_parsed_as_by_kubectl(file: File) -> None:
    if file.objects is None or file.name in STRICTER:
        with pytest.raises(InvalidInput):
            external_services(file.source)
    else:
        assert [essentials(one) for one in objects(file.source)] == file.objects
        assert external_services(file.source).documents

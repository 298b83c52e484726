"""The sync request for an ExternalService in a file, to send to the hook by hand. Pure."""

import json
from collections.abc import Iterable
from typing import Any

from external_service.manifest import Document, InvalidInput


def request(documents: Iterable[Document], name: str = "") -> str:
    """The request as one line of JSON, for the only one of `documents` or the one called `name`.

    `name` is NAME or NAMESPACE/NAME. The request shows no children: the hook then answers with all that it would make.
    Raises InvalidInput without a `name` for several, and with one that fits none or several.
    """
    found = {_name(document): document for document in documents}
    chosen = [each for each in found if name in ("", each, each.partition("/")[2])]
    if len(chosen) != 1:
        wrong = "several ExternalServices in it" if chosen else f"no ExternalService called {name} in it"
        raise InvalidInput(f"{wrong}: choose one with --name: {', '.join(found)}")
    return json.dumps({"parent": _stored(found[chosen[0]]), "children": {}, "finalizing": False}, ensure_ascii=False)


def _name(document: Document) -> str:
    return f"{document.parent.metadata.namespace}/{document.parent.metadata.name}"


def _stored(document: Document) -> dict[str, Any]:
    """The object with the fields that the API server adds when it is created."""
    metadata = document.parent.metadata
    added = {"namespace": metadata.namespace, "generation": 1, "uid": "00000000-0000-4000-8000-000000000000"}
    return {**document.raw, "metadata": {**added, **document.raw["metadata"]}}

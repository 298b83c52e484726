"""The schema of an ExternalService as the API server requires it (structural, apiextensions/v1), made from the models.

`python -m external_service.crd` prints the CustomResourceDefinition. Pure but for the printing.
"""

import json
from functools import cache
from typing import Any

from external_service import kind, v1alpha1

Schema = dict[str, Any]

HEADER = "# Made from the models in external_service by `make crd`. Change those, not this.\n"
DROPPED = ("title", "$defs", "default", "properties", "additionalProperties", "patternProperties", "items")
HANDLER = ".spec.readinessProbe['httpGet','tcpSocket','grpc']"
COLUMNS = (
    ("Ready", "string", ".status.ready", "Ready addresses / enabled addresses", 0),
    ("Status", "string", ".status.summary", "The most important problem in a few words, or OK", 0),
    ("Hosts", "string", ".status.hosts", "First of the names that are routed, and how many more", 0),
    ("Age", "date", ".metadata.creationTimestamp", "Time since creation", 0),
    ("Port", "integer", ".spec.port", "Port of the Service", 1),
    ("Probe", "string", f"{HANDLER}['path','service','port']", "HTTP path, gRPC service, else port of the probe", 1),
    ("IPs", "string", ".status.ips", "The first addresses, and how many more", 1),
)
ROOT_PROPERTIES: Schema = {
    "apiVersion": {"type": "string", "description": kind.API_VERSION},
    "kind": {"type": "string", "description": kind.KIND},
    "metadata": {"type": "object", "properties": {"name": {"type": "string", "maxLength": 253}}},
}


def custom_resource_definition() -> Schema:
    """The whole CRD as plain JSON values, in a stable order."""
    names = {
        "kind": kind.KIND,
        "listKind": f"{kind.KIND}List",
        "plural": kind.PLURAL,
        "singular": "externalservice",
        "shortNames": ["extsvc"],
    }
    version = {
        "name": kind.VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [_column(*column) for column in COLUMNS],
        "schema": {"openAPIV3Schema": _root()},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.PLURAL}.{kind.GROUP}"},
        "spec": {"group": kind.GROUP, "names": names, "scope": "Namespaced", "versions": [version]},
    }


def parent_schema() -> Schema:
    """The schema of an ExternalService as Metacontroller sends it: the CRD's, with the metadata that the hook reads."""
    text, texts = {"type": "string"}, {"type": "object", "additionalProperties": {"type": "string"}}
    metadata = {"name": text, "namespace": text, "uid": text, "generation": {"type": "integer"}}
    return {
        **root(),
        "properties": {
            **root()["properties"],
            "spec": _root()["properties"]["spec"],
            "metadata": {
                "type": "object",
                "required": ["name"],
                "properties": {**metadata, "labels": texts, "annotations": texts},
            },
        },
    }


def to_yaml(definition: Schema) -> str:
    """`definition` as a file: same definition, same bytes."""
    import yaml  # noqa: PLC0415 - no server needs it

    return HEADER + yaml.safe_dump(definition, sort_keys=False, width=120, allow_unicode=True)


def _column(name: str, kind: str, path: str, description: str, priority: int) -> Schema:
    column = {"name": name, "type": kind, "jsonPath": path, "description": description}
    return {**column, "priority": priority} if priority else column


@cache
def root() -> Schema:
    """The whole object, with the metadata that the models read, without defaults."""
    schema = v1alpha1.ExternalService.model_json_schema()
    return _node(schema, schema["$defs"], defaults=False)


def _root() -> Schema:
    """apiVersion, kind and metadata are the API server's own; `status` keeps no default.

    Metacontroller compares the stored status with the hook's response: a value that the schema fills in and the hook's
    echo does not carry would differ at each sync, permanently, and each difference is a write.
    """
    schema = v1alpha1.ExternalService.model_json_schema()
    spec = _node(schema["properties"]["spec"], schema["$defs"], defaults=True)
    return {
        **root(),
        "required": ["spec"],
        "properties": {**ROOT_PROPERTIES, "spec": spec, "status": root()["properties"]["status"]},
    }


def _node(schema: Schema, definitions: Schema, *, defaults: bool) -> Schema:
    """One JSON schema as a structural one: references inlined, nulls folded away, constants as enums."""
    node = _plain(schema, definitions)
    out = {name: value for name, value in node.items() if name not in DROPPED}
    if defaults and node.get("default"):  # an empty default says nothing: absent and empty mean the same here
        out["default"] = node["default"]
        shown = json.dumps(node["default"]).strip('"')  # `kubectl explain` shows no defaults of its own
        out["description"] = f"{node['description']} Default: {shown}."
    if "properties" in node:
        own = node["properties"].items()
        out["properties"] = {name: _node(value, definitions, defaults=defaults) for name, value in own}
    elif values := node.get("additionalProperties") or next(iter(node.get("patternProperties", {}).values()), None):
        out["additionalProperties"] = _node(values, definitions, defaults=defaults)  # a map
    if "items" in node:
        # No defaults in there: `kubectl apply` replaces lists whole and would find a difference each time.
        items = _node(node["items"], definitions, defaults=False)
        # What `kubectl explain` would show below the field's own description is written for readers of the models.
        out["items"] = {name: value for name, value in items.items() if name != "description"}
        out.setdefault("x-kubernetes-list-type", "atomic")
    return out


def _plain(schema: Schema, definitions: Schema) -> Schema:
    """`schema` without $ref, `anyOf [X, null]` and const; a keyword next to a reference has precedence."""
    if "$ref" in schema:
        target = definitions[schema["$ref"].rpartition("/")[2]]
        return _plain(target | {name: value for name, value in schema.items() if name != "$ref"}, definitions)
    if "anyOf" in schema:
        (only,) = (option for option in schema["anyOf"] if option.get("type") != "null")
        return _plain(only | {name: value for name, value in schema.items() if name != "anyOf"}, definitions)
    if "const" in schema:
        return {name: value for name, value in schema.items() if name != "const"} | {"enum": [schema["const"]]}
    return schema


if __name__ == "__main__":
    print(to_yaml(custom_resource_definition()), end="")

"""Rules of the CRD as JSON Schema words."""

from typing import Any

from external_service.cel import quoted, rule, rules


def test_rule_with_all_options() -> None:
    assert rule("self.a == 1", "write 1", shown="'write ' + string(1)", field=".a") == {
        "rule": "self.a == 1",
        "message": "write 1",
        "messageExpression": "'write ' + string(1)",
        "fieldPath": ".a",
    }


def test_creation_rule_accepts_stored_values() -> None:
    assert rule("(self.a == 1)", "write 1", at_creation_only=True) == {
        "rule": "oldSelf.hasValue() || (self.a == 1)",
        "message": "write 1",
        "optionalOldSelf": True,
    }


def test_rules_replace_the_keywords_of_pydantic() -> None:
    schema: dict[str, Any] = {"type": "string", "maxLength": 5, "minLength": 1, "pattern": "^a$"}
    rules(rule("self == 'a'", "write a"))(schema)
    assert schema == {
        "type": "string",
        "maxLength": 5,
        "x-kubernetes-validations": [{"rule": "self == 'a'", "message": "write a"}],
    }


def test_pattern_becomes_an_anchored_literal() -> None:
    assert quoted(r"[\r'x]*") == r"'^[\\r\'x]*$'"

"""Settings from the environment: defaults, precedence, and a message for each invalid value."""

from ipaddress import ip_network

import pytest

from app.settings import Settings
from external_service.policy import AddressPolicy
from probe_sidecar.settings import Settings as Sidecar
from runtime.settings import CommonSettings, InvalidSettings, hints, load
from tests.cases import cases


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in hints(Settings):
        monkeypatch.delenv(f"ESO_{name.upper()}", raising=False)


def test_settings_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ESO_DENIED_CIDRS", "10.96.0.0/12, fd00::/8,")
    monkeypatch.setenv("ESO_DENIED_PRESETS", "")
    monkeypatch.setenv("ESO_ALLOWED_CIDRS", "10.0.0.0/8")
    monkeypatch.setenv("ESO_ALLOW_LOOPBACK", "true")
    monkeypatch.setenv("ESO_UNCOPIED_ANNOTATIONS", "")
    settings = load(Settings)
    assert settings.policy == AddressPolicy(
        allow=(ip_network("10.0.0.0/8"),), deny=(ip_network("10.96.0.0/12"), ip_network("fd00::/8")), loopback=True
    )
    assert settings.uncopied_annotations == ()


def test_command_line_overrides_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ESO_LISTEN_PORT", "1")
    assert load(Settings, listen_port=2).listen_port == 2
    assert load(Settings, listen_port=None).listen_port == 1


def test_misspelt_variable_names_the_similar_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ESO_DENIED_CIDR", "10.96.0.0/12")
    with pytest.raises(InvalidSettings) as found:
        load(Settings)
    assert str(found.value) == "ESO_DENIED_CIDR: there is no such setting, write ESO_DENIED_CIDRS"


@cases(
    "settings others",
    ("hook", Settings, Sidecar),
    ("sidecar", Sidecar, Settings),
)
def test_settings_of_the_other_process_are_ignored(
    settings: type[CommonSettings], others: type[CommonSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in hints(others).keys() - hints(settings).keys():
        monkeypatch.setenv(f"ESO_{name.upper()}", "something")
    assert load(settings) == settings()


@cases("settings", ("hook", Settings), ("sidecar", Sidecar))
def test_empty_variable_is_the_default_where_that_is_none(
    settings: type[CommonSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = load(settings)
    for name, field in settings.model_fields.items():
        if field.default is None:
            monkeypatch.setenv(f"ESO_{name.upper()}", "")
    assert load(settings) == bare


def test_kubernetes_service_variables_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ESO_PORT", "tcp://10.96.0.17:80")
    assert load(Settings).listen_port == 8080


@cases(
    "name value wish",
    ("network", "ESO_DENIED_CIDRS", "10.0.0.0/8,words", "networks such as 10.96.0.0/12, with commas between"),
    ("host bits", "ESO_ALLOWED_CIDRS", "10.0.0.1/8", "networks such as 10.0.0.0/8, with commas between"),
    ("bool", "ESO_ALLOW_LOOPBACK", "perhaps", "true or false"),
    ("log level", "ESO_LOG_LEVEL", "loud", "debug, info, warning or error"),
    ("preset", "ESO_DENIED_PRESETS", "metadata,pods", "metadata, or nothing to deny no ranges by name"),
    ("host", "ESO_LISTEN_HOST", "", "an address of this machine"),
)
def test_invalid_value_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, wish: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSettings) as caught:
        load(Settings)
    assert str(caught.value) == f'{name}: write {wish} (got "{value.rpartition(",")[2]}")'

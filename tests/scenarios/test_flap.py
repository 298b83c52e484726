"""Many transitions against Metacontroller's overwriting: what protects the results, and that it is needed."""

import pytest

from playground.scenarios.flap import Flapping, flap
from playground.scenarios.forms import Form, verdict
from playground.stack import Playground

SHORT = {"transitions": 60, "addresses": 10, "shortest": 0.005, "longest": 0.05}


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(Form(guard=True, level=True, window=0.005), id="the product"),
        pytest.param(Form(guard=True, level=True, window=0.5), id="the product, a slow Metacontroller"),
        pytest.param(Form(guard=True, level=False, window=0.005), id="guard alone"),
        pytest.param(Form(guard=False, level=True, window=0.005), id="writing again alone"),
    ],
)
async def test_a_protected_form_loses_nothing(form: Form) -> None:
    how = Flapping(**SHORT, window=form.window)  # type: ignore[arg-type] # numbers of both kinds
    async with Playground(
        guard=form.guard, writing="level" if form.level else "edge", window=form.window
    ) as playground:
        report = await flap(playground, how)
    assert verdict(form, report), report.as_lines()


async def test_without_protection_old_results_come_back() -> None:
    """If this passed unharmed, the scenario would prove nothing about the others."""
    async with Playground(guard=False, writing="edge", window=0.02) as playground:
        report = await flap(playground, Flapping(**SHORT, window=0.02, settle=5))  # type: ignore[arg-type] # numbers of both kinds
    assert not report.passed, report.as_lines()

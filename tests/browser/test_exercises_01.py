"""Exercises 01 as a learner does them, in a real JupyterLab: untouched, wrong, right."""

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


def test_an_exercise_is_answered_wrong_then_right(page):
    page.open("exercises/01_worked_example.ipynb")
    page.run_all()
    question = page.cell('check("1.1", my_logits)')
    question.get_by_text("1.1: not attempted yet").wait_for(timeout=10_000)
    stub = page.cell("def my_logits")
    page.replace_source(stub, "def my_logits(x, weight, bias):\n    return x @ weight.T / np.sqrt(x.shape[-1]) + bias")
    page.run(question)
    question.get_by_text("You divided by √d").wait_for(timeout=10_000)
    assert "✗ 1.1: not yet" in question.inner_text()
    page.screenshot("exercise_wrong")
    page.replace_source(stub, "def my_logits(x, weight, bias):\n    return x @ weight.T + bias")
    page.run(question)
    question.get_by_text("1.1: correct").wait_for(timeout=10_000)
    assert "1 of 1 points. Attempts: 2." in question.inner_text()
    page.run(page.cell("progress()"))
    page.cell("progress()").get_by_text("1.1 ✓ (2)").wait_for(timeout=10_000)

"""Exercises 01 as a learner does them, in a real JupyterLab: untouched, wrong, right."""

import pytest

EDGE = "(editor) => getComputedStyle(editor).borderLeftWidth"
pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


def test_an_exercise_is_answered_wrong_then_right(page):
    page.open("exercises/01_worked_example.ipynb")
    page.run_all()
    question = page.cell('check("1.1", my_logits)')
    question.get_by_text("Not attempted yet.").wait_for(timeout=10_000)
    stub = page.cell("def my_logits")
    edges = [
        page.cell(text).locator(".jp-InputArea-editor").evaluate(EDGE) for text in ("def my_logits", "import numpy")
    ]
    assert edges == ["4px", "1px"]  # an answer's cell is seen to be one
    page.replace_source(stub, "def my_logits(x, weight, bias):\n    return x @ weight.T / np.sqrt(x.shape[-1]) + bias")
    page.run(question)
    question.get_by_text("You divided by √d").wait_for(timeout=10_000)
    assert question.locator(".moe-band").inner_text().split("\n") == ["✗", "Not yet. 1.1 A router from a checkpoint"]
    page.screenshot("exercise_wrong")
    page.replace_source(stub, "def my_logits(x, weight, bias):\n    return x @ weight.T + bias")
    page.run(question)
    question.get_by_text("Correct.").wait_for(timeout=10_000)
    assert "1 of 1 points. Attempts: 2." in question.inner_text()
    page.run(page.cell("progress()"))
    page.cell("progress()").get_by_text("✓ 1.1 (2)").wait_for(timeout=10_000)

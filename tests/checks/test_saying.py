"""What is said is printed; in a notebook it is one output, and never lost."""

import sys
from types import SimpleNamespace

import pytest

from moe_lessons.checks import saying
from moe_lessons.checks.saying import one_output, say, say_at_once


@pytest.fixture
def published(monkeypatch):
    """A notebook: what it is given to show."""
    shown = []
    shell = SimpleNamespace(display_pub=SimpleNamespace(publish=shown.append))
    monkeypatch.setattr(saying, "notebook", lambda: shell)
    return shown


def speak(html=lambda: "<b>ab</b>"):
    with one_output() as output:
        say("a")
        output.html = html
        say("b")


def test_elsewhere_each_line_is_printed_at_once(capsys):
    with one_output() as output:
        say("a")
        assert capsys.readouterr().out == "a\n"
        output.html = lambda: 1 / 0  # not asked for
    assert capsys.readouterr().out == ""


def test_in_a_notebook_all_lines_are_one_output_beside_the_html(published, capsys):
    speak()
    assert published == [{"text/plain": "a\nb", "text/html": "<b>ab</b>"}]
    assert capsys.readouterr().out == ""
    say("c")
    assert capsys.readouterr().out == "c\n"


@pytest.mark.parametrize("html", [None, lambda: 1 / 0])
def test_without_html_the_lines_are_shown(published, html):
    speak(html)
    assert published == [{"text/plain": "a\nb"}]


def test_where_publishing_fails_the_lines_are_printed(monkeypatch, capsys):
    monkeypatch.setattr(saying, "notebook", lambda: SimpleNamespace())
    speak()
    assert capsys.readouterr().out == "a\nb\n"


def test_whoever_waits_has_seen_what_was_said(published, capsys):
    with one_output():
        say("a")
        say_at_once("wait")
        assert capsys.readouterr().out == "a\nwait\n"
        say("b")
    assert capsys.readouterr().out == "b\n"
    assert published == []


def test_half_a_character_is_shown_as_a_question_mark(published):
    with one_output() as output:
        say("\udcff")
        output.html = lambda: "<b>\udcff</b>"
    assert published == [{"text/plain": "?", "text/html": "<b>?</b>"}]


def test_what_is_interrupted_is_shown(published):
    with pytest.raises(KeyboardInterrupt), one_output():
        say("a")
        raise KeyboardInterrupt
    assert published == [{"text/plain": "a"}]


def test_where_somebody_keeps_what_is_printed_there_is_no_notebook(monkeypatch):
    import io

    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: "a shell"))
    assert saying.notebook() == "a shell"
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert saying.notebook() is None
    monkeypatch.delitem(sys.modules, "IPython")
    assert saying.notebook() is None


def test_a_shell_that_cannot_be_asked_for_is_none(monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: 1 / 0))
    assert saying.notebook() is None

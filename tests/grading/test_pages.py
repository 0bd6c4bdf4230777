"""The pages: what a learner and a teacher read, that nothing in them can run, and that nothing is loaded."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from moe_lessons.checks.attempt import Status
from moe_lessons.checks.registry import questions
from moe_lessons.grading.feedback import BROKEN_DOWN, DOUBTED, MEANING, feedback_name, feedback_page
from moe_lessons.grading.marking import Comment, Late, Marking, Override
from moe_lessons.grading.overview import misconceptions, outcomes, overview_page
from moe_lessons.grading.page import document, table
from moe_lessons.grading.records import Ended, Part
from moe_lessons.grading.report import Results
from moe_lessons.grading.roster import Person

EVIL = [
    "<script>alert(1)</script>",
    "</pre><img src=x onerror=alert(1)>",
    "\"'><svg onload=alert(1)>",
    "&lt;b>",
    "`<b>`",
]
VOID = {"meta", "br", "img"}
EXPECTED = {
    *("html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "strong", "section", "pre", "code", "details"),
    *("summary", "ul", "li", "div", "table", "thead", "tbody", "tr", "th", "td"),
    *("svg", "desc", "rect", "text", "line"),
}


class Reader(HTMLParser):
    """Reads a page as a browser does: its tags, its attributes and its text."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes, self.open, self.said = [], [], [], []
        self.feed(page.decode("utf-8"))
        self.close()

    def handle_starttag(self, name, attributes):
        self.tags.append(name)
        self.attributes += attributes
        if name not in VOID:
            self.open.append(name)

    def handle_endtag(self, name):
        if self.open[-1:] == [name]:
            self.open.pop()
        else:
            self.tags.append(f"</{name}> out of place")

    def handle_data(self, data):
        self.said.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.said).split())


def faults(page):
    """Return what a page holds that could run or be loaded."""
    reader = Reader(page)
    wrong = [name for name in reader.tags if name not in EXPECTED] + reader.open
    wrong += [key for key, value in reader.attributes if key.startswith("on") or key in ("src", "href")]
    wrong += re.findall(rb"url\(|@import|https?://(?!www\.w3\.org/2000/svg)", page)
    return wrong


@pytest.fixture
def records(made):
    ann = made.record(
        "ann/04.ipynb",
        made.mark("4.1", Status.NOT_YET, "You masked with 0.\nexpected [1, −∞]", mistake="zeros"),
        made.mark("4.2"),
        made.mark("4.3", Status.RAISED, "line 3 of its cell, in my_gate\nValueError: <b>"),
        made.mark("4.4", Status.NOT_ATTEMPTED),
        made.mark("4.5", Status.FAULT, "Please report it with seed 123"),
        notes=("cell 2: %timeit was passed over",),
    )
    bob = made.record("bob/04.ipynb", made.mark("4.1", Status.NOT_YET, mistake="zeros"), made.mark("4.2"))
    cy = made.record("cy/04.ipynb", ended=Ended.UNREADABLE, reason="not JSON")
    return [ann, bob, cy]


def test_feedback_shows_each_verdict_with_points_and_hints(records):
    page = Reader(feedback_page(records[0], questions()))
    for words in [
        "Feedback: ann",
        f"{questions()['4.2'].points} of {sum(q.points for q in questions().values() if q.set == '04')} points",
        "✗ not yet, 0 of 2 points You masked with 0. expected [1, −∞]",
        f"✓ correct, 3 of 3 points Worth keeping: {questions()['4.2'].takeaway}",
        "ValueError: <b>",
        "· not attempted yet, 0 of 2 points",
        "cell 2: %timeit was passed over",
        "lesson 04",
    ]:
        assert words in page.text
    assert page.tags.count("details") == 8  # two hints for each of four questions, none for the one that is right
    assert page.tags.count("section") == 5


def test_why_an_answer_was_not_found_stands_beside_its_verdict(made):
    marks = made.mark("1.1", Status.NOT_ATTEMPTED), made.mark("1.4", Status.NOT_YET, "Why")
    notes = "my_logits stands in a raw cell", "my_prototype is not it", "cell 2"
    text = Reader(feedback_page(made.record("a.ipynb", *marks, notes=notes), questions())).text
    assert text.index("my_logits stands") < text.index("1.4 ") < text.index("Notes on your notebook")
    assert [text.count(note) for note in notes] == [2, 1, 1]


def test_feedback_on_a_review_does_not_tell_which_lesson_it_was(made):
    page = Reader(feedback_page(made.record("ann/x.ipynb", made.mark("4r.1", Status.NOT_YET)), questions()))
    assert "Where to look: the lessons up to 04, and these hints." in page.text


def test_feedback_tells_nothing_hidden(records):
    page = feedback_page(records[0], questions())
    for hidden in ("seed", "123", "secret", questions()["4.1"].idea[:30], records[0].digest):
        assert hidden.encode() not in page


@pytest.mark.parametrize("ended", [ended for ended in Ended if ended != Ended.OK])
def test_feedback_says_how_a_troubled_file_ended(made, ended):
    page = Reader(feedback_page(made.record("a.ipynb", made.mark("4.1"), ended=ended, reason="<why>"), questions()))
    assert MEANING[ended] in page.text
    assert "The reason: <why>" in page.text


def test_the_cause_stands_before_every_verdict(made):
    why = "cell 1 raised ModuleNotFoundError: No module named 'pandas' (line 1: import pandas)"
    marks = made.mark("4.1", Status.RAISED, "NameError: pd"), made.mark("4.2")
    text = Reader(feedback_page(made.record("a.ipynb", *marks, ended=Ended.PARTIAL, reason=why), questions())).text
    assert (
        text.index("points")
        < text.index(why)
        < text.index("4.1 Keep k, another k for every token")
        < text.index("NameError: pd")
    )


def test_what_is_the_courses_own_has_a_page_that_says_so(made):
    page = Reader(feedback_page(made.record("ann/05.ipynb", notes=("a lesson: it is not marked",)), questions()))
    assert "a lesson: it is not marked" in page.text
    assert "✗" not in page.text + "points"


def test_no_marks_are_no_zero(made):
    unread = Reader(feedback_page(made.record("a.ipynb", ended=Ended.UNREADABLE, reason="why"), questions()))
    broken = Reader(feedback_page(made.record("a.ipynb", ended=Ended.KILLED, reason="KeyError: 1"), questions()))
    assert "The reason: why" in unread.text
    assert BROKEN_DOWN in broken.text
    assert "KeyError" not in broken.text  # a fault of the grader's is the teacher's business
    assert "points" not in unread.text + broken.text


def test_the_page_lies_beside_its_like():
    names = ["ann/04.ipynb", "ann/04.IPYNB", "ann/04.html.ipynb"]
    assert [feedback_name(n) for n in names] == ["ann/04.html", "ann/04.IPYNB.html", "ann/04.html.html"]


@pytest.fixture
def ruled(made):
    """The results of two learners under a teacher's rules; a third of the class is missing."""
    half = replace(made.mark("4.2", Status.NOT_YET, "…"), parts=(Part("load", 4, 4), Part("cv", 1, 4)))
    claims = replace(made.mark("4.1", Status.NOT_YET), claimed=True)
    files = ["Ex_ann_attempt_2026-11-21-10-00-00_x.ipynb", "Bo <b>/x.ipynb"]
    rules = Marking(
        late=Late(per_day=0.1, days={"ann": {"": 2}}),
        overrides=(Override("bo <b>", "4.2", 3, "shown <to> me"),),
        comments=(Comment("ann", "Well <done>."), Comment("ann", "See page 3.", "4.2"), Comment("zoe", "?")),
    )
    roster = [Person("ann", frozenset(["@ann"])), Person("Zoe <z>", frozenset(["zoe"]))]
    return Results.of([made.record(file, claims, half) for file in files], questions(), (), rules, roster)


def test_feedback_tells_what_is_right_what_is_late_and_the_teachers_words(ruled):
    bo, ann = (Reader(feedback_page(record, ruled.questions)) for record in ruled.records)
    for words in (
        "1.2 of 5 points 2 days late: 20% of the points less Your teacher: Well <done>.",
        f"✗ not yet, 0 of 2 points {DOUBTED}",
        "✗ not yet, 1.2 of 3 points Right in it: load, cv in 1 of 4 cases. Your teacher: See page 3.",
    ):
        assert words in ann.text
    assert "✗ not yet, 3 of 3 points Right in it: load, cv in 1 of 4 cases. Your teacher: shown <to> me" in bo.text
    assert "late" not in bo.text


def test_the_overview_tells_what_a_person_should_look_at(ruled):
    page = overview_page(ruled, [])
    text = Reader(page).text
    assert faults(page) == []
    for words in (
        "To look at Bo <b>, 4.1: not correct, though the notebook's own output says correct (Bo <b>/x.ipynb)",
        "Marked by hand Bo <b>, 4.2: 3 of 3. shown <to> me",
        "What a teacher wrote that is about nobody here marking.toml: no learner is called 'zoe'",
        "Missing Zoe <z>",
        "Not on the roster Bo <b>",
    ):
        assert words in text


@pytest.mark.parametrize("evil", EVIL)
def test_nothing_a_learner_writes_can_run(made, evil):
    record = made.record(
        f"{evil.replace('/', '')}/{evil.replace('/', '')}.ipynb",
        made.mark("4.1", Status.NOT_YET, evil, mistake=evil),
        ended=Ended.PARTIAL,
        reason=evil,
        notes=(evil,),
    )
    pages = [feedback_page(record, questions()), overview_page(Results.of([record], questions()), [evil])]
    for page in pages:
        assert faults(page) == []
        assert evil in "".join(Reader(page).said)


@pytest.mark.parametrize(
    "broken", ["<script>1</script>", "<img src=x>", "<p onclick=x>", "<b>", '<a href="https://a.b">']
)
def test_broken_control_what_could_run_is_seen(broken):
    assert faults(document("title", broken)) != []


def test_any_text_can_be_written(made):
    record = made.record("a\udcff/04.ipynb", made.mark("4.1", Status.NOT_YET, "\ud800 \x00 \x1b[31m"))
    assert b"\\udcff" in feedback_page(record, questions())
    assert overview_page(Results.of([record], questions()), ["\udcff"])


def test_tables_are_escaped():
    assert '<td class="number">2</td>' in table(["<"], [[2]])
    assert '<th scope="col">&lt;</th>' in table(["<"], [["a"]])


def test_the_overview_counts(records):
    results = Results.of(records, questions())
    assert outcomes(results)["4.1"] == {Status.NOT_YET: 2}
    assert outcomes(results)["4.2"] == {Status.CORRECT: 2}
    assert misconceptions(results) == [("4.1", "zeros", 2)]
    page = Reader(overview_page(results, ["ann/essay.pdf"]))
    for words in [
        "3 files from 3 learners: 2 ok, 1 unreadable. 1 file had trouble: see the end.",
        "4.2 Three gate forms 2 0 0 0 0 3.0 of 3",
        "4.1 Keep k, another k for every token zeros 2",
        "cy cy/04.ipynb unreadable not JSON",
        "ann/essay.pdf",
    ]:
        assert words in page.text


def test_who_has_no_marks_at_all_is_listed(made):
    lesson = made.record("dee/05.ipynb", notes=("a lesson",))
    results = Results.of([made.record("ann/04.ipynb", made.mark("4.1")), lesson], questions())
    assert "Learners without marks dee" in Reader(overview_page(results, [])).text
    assert "without marks" not in Reader(overview_page(Results.of(results.records[:1], questions()), [])).text


def test_misconceptions_come_by_frequency_then_by_question(made):
    def wrong(file, *pairs):
        return made.record(file, *(made.mark(q, Status.NOT_YET, mistake=m) for q, m in pairs))

    results = Results.of(
        [wrong("a.ipynb", ("4.2", "b"), ("4.1", "z")), wrong("b.ipynb", ("4.2", "b"), ("4.1", "a"))], questions()
    )
    assert misconceptions(results) == [("4.2", "b", 2), ("4.1", "a", 1), ("4.1", "z", 1)]


def bars(page):
    """Return the width of each bar of the first picture, beside the number written on it."""
    parts = re.findall(rb'<rect x="[\d.]+" y="\d+" width="([\d.]+)" height="26"[^>]*></rect><text[^>]*>(\d+)<', page)
    return [(float(width), int(count)) for width, count in parts]


def test_bars_are_as_wide_as_their_counts(records, made):
    more = [made.record(f"d{i}/04.ipynb", made.mark("4.1")) for i in range(3)]
    drawn = bars(overview_page(Results.of([*records, *more], questions()), []))
    assert drawn[:2] == [(300, 3), (200, 2)]  # 4.1: three correct, two not yet, on 500
    assert drawn[2] == (500, 2)  # 4.2: all correct


def test_a_class_without_marks_has_an_overview(made):
    page = overview_page(Results.of([made.record("a.ipynb", ended=Ended.UNREADABLE)], questions()), [])
    assert "Nothing was marked." in Reader(page).text
    assert faults(page) == []


def test_two_runs_write_the_same_pages(records):
    results = Results.of(records, questions())
    again = Results.of(records[::-1], questions())
    assert overview_page(results, []) == overview_page(again, [])

"""The names that platforms give, as their own code or people's scripts for them have it."""

from datetime import datetime

import pytest

from moe_lessons.grading.downloads import handed, tidy
from moe_lessons.grading.learners import Learner, learner


@pytest.mark.parametrize(
    ("file", "who"),
    [
        # Moodle: a folder since 3.1, "_" at its end before 4.1; one folder for all before; text typed online
        ("Ann Lee_1234_assignsubmission_file/04.ipynb", Learner("Ann Lee", moodle="1234")),
        ("Ann Lee_1234_assignsubmission_file_/work/04.ipynb", Learner("Ann Lee", moodle="1234")),
        ("Ann Lee_1234_assignsubmission_file_04.ipynb", Learner("Ann Lee", moodle="1234")),
        ("Ann Lee_1234_assignsubmission_onlinetext/onlinetext.html", Learner("Ann Lee", moodle="1234")),
        ("Ann Lee_1234_assignsubmission_onlinetext_onlinetext.html", Learner("Ann Lee", moodle="1234")),
        ("Ann_Lee_1234_assignsubmission_file_/04.ipynb", Learner("Ann Lee", moodle="1234")),
        ("Participant_1234_assignsubmission_file_/04.ipynb", Learner("Participant 1234", moodle="1234")),
        ("Default group_assignsubmission_file_/04.ipynb", Learner("Default group")),
        ("Group A-Ann Lee_1234_assignsubmission_file_/04.ipynb", Learner("Group A-Ann Lee", moodle="1234")),
        ("Jean-Luc O'Neil_7_assignsubmission_file_/04.ipynb", Learner("Jean-Luc O'Neil", moodle="7")),
        # Canvas: lower case, without spaces; late; without names; handed in again; a group; an archive unpacked
        ("leeann_567_8901_04_top_k_gating.ipynb", Learner("leeann", canvas="567")),
        ("leeann_LATE_567_8901_04_top_k_gating-2.ipynb", Learner("leeann", canvas="567")),
        ("anon_Ab3xY_8901_04_top_k_gating.ipynb", Learner("anon_Ab3xY")),
        ("LATE_anon_Ab3xY_8901_04_top_k_gating.ipynb", Learner("anon_Ab3xY")),
        ("team_a_567_8901_04.ipynb", Learner("team_a", canvas="567")),
        ("leeann_567_8901_work/04.ipynb", Learner("leeann", canvas="567")),
        # Blackboard
        ("Exercise 4_annlee_attempt_2026-11-30-10-05-09_04.ipynb", Learner("annlee")),
        ("Ex_4_top_k_a.lee@u_attempt_2026-11-30-10-05-09_04_top_k_gating.ipynb", Learner("a.lee@u")),
        ("gradebook_MOE_Ex4_2026/Ex 4_annlee_attempt_2026-11-30-10-05-09_work/04.ipynb", Learner("annlee")),
        # Brightspace: files, or a folder for each
        ("123-4567 - Ann Lee - Nov 30, 2026 1005 AM/04.ipynb", Learner("Ann Lee", brightspace="123")),
        ("123-4567 - Ann Lee - Nov 30, 2026 1005 AM - 04.ipynb", Learner("Ann Lee", brightspace="123")),
        ("1-67 - Ann - Marie Lee- 30 November, 2026 2205 - 04.ipynb", Learner("Ann - Marie Lee", brightspace="1")),
        # Gradescope
        ("assignment_4_export/submission_123456789/04.ipynb", Learner("submission_123456789")),
        # other scripts, with signs that are no letters of their own
        ("नेहा शर्मा_12_assignsubmission_file_/04.ipynb", Learner("नेहा शर्मा", moodle="12")),
        ("नेहाशर्मा_567_8901_04.ipynb", Learner("नेहाशर्मा", canvas="567")),
        ("สมชาย_567_8901_04.ipynb", Learner("สมชาย", canvas="567")),
        ("علی‌رضا_567_8901_04.ipynb", Learner("علی‌رضا", canvas="567")),
        ("12-3 - Đặng Thị Hà - Nov 3, 2026 105 PM/04.ipynb", Learner("Đặng Thị Hà", brightspace="12")),
        # no platform's
        ("ann_2026_11_04_top_k_gating.ipynb", Learner("ann_2026_11")),
        ("week_1_2_x/ann.ipynb", Learner("week_1_2_x")),
        ("ann_04_05_X.ipynb", Learner("ann_04_05_X")),
    ],
)  # fmt: skip
def test_whose_it_is(file, who):
    assert learner(file) == who


@pytest.mark.parametrize(
    ("part", "own"),
    [
        ("Ann_1_assignsubmission_file_helpers.py", "helpers.py"),
        ("leeann_567_8901_helpers.py", "helpers.py"),
        ("leeann_567_8901_helpers-2.py", "helpers.py"),
        ("anon_Ab3xY_8901_my_helpers.py", "my_helpers.py"),
        ("Ex 4_annlee_attempt_2026-11-30-10-05-09_my_helpers.py", "my_helpers.py"),
        ("123-4567 - Ann Lee - Nov 30, 2026 1005 AM - my - helpers.py", "my - helpers.py"),
        ("123-4567 - Ann Lee - Nov 30, 2026 1005 AM", ""),
    ],
)
def test_what_the_learner_called_it(part, own):
    assert handed(part).own == own


@pytest.mark.parametrize(
    ("part", "when", "late"),
    [
        ("Ex 4_ann_attempt_2026-11-30-22-05-09_x.ipynb", datetime(2026, 11, 30, 22, 5, 9), False),
        ("1-2 - Ann Lee - Nov 30, 2026 1005 PM", datetime(2026, 11, 30, 22, 5), False),
        ("1-2 - Ann Lee - Nov 3, 2026 905 AM - x.ipynb", datetime(2026, 11, 3, 9, 5), False),
        ("1-2 - Ann Lee - 3 November 2026 2205", datetime(2026, 11, 3, 22, 5), False),
        ("1-2 - Ann Lee - 3 Νοεμβρίου 2026 2205", None, False),
        ("ann_LATE_567_8901_x.ipynb", None, True),
        ("LATE_anon_Ab3xY_8901_x.ipynb", None, True),
        ("late_567_8901_x.ipynb", None, False),
        ("Ex 4_ann_attempt_2026-99-30-22-05-09_x.ipynb", None, False),
    ],
)
def test_when_it_was_handed_in(part, when, late):
    said = handed(part)
    assert (said.when, said.late) == (when, late)


@pytest.mark.parametrize("name", ["ann", "ann lee", "04_top_k_gating", "ann_04_top_k_gating", "submission", ""])
def test_what_no_platform_has_named(name):
    assert handed(name) is None


def test_names_are_compared_as_people_read_them():
    assert tidy("Jose\u0301  Nun\u0303ez ") == tidy("José\u00a0Nuñez") == "José Nuñez"
    assert tidy("\u200fדן\u200e") == "דן"
    assert tidy("علی‌رضا") == "علی‌رضا"  # a sign that joins nothing is part of the name
    assert tidy(" ") == " "

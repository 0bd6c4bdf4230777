"""Who is in the class, and whose of the files are theirs."""

import pytest

from moe_lessons.grading.learners import Learner, learner
from moe_lessons.grading.roster import matched, read_roster

CANVAS = """Student,ID,SIS User ID,SIS Login ID,Section,Exercises 04 (99)
    Points Possible,,,,,14
"Lee, Ann",567,a1,alee@u.edu,S1,
"Müller, José",568,a2,jmuller@u.edu,S1,
"Student, Test",999,,t,S1,
"""
MOODLE = """Identifier,Full name,Email address,Status,Grade
Participant 12,Ann Lee,alee@u.edu,Submitted,
Participant 13,José Müller,jm@u.edu,No submission,
"""
PARTICIPANTS = "First name;Last name;Email address\nAnn;Lee;alee@u.edu\nJosé;Müller;jm@u.edu\n"
BLACKBOARD = (
    '"Last Name"\t"First Name"\t"Username"\t"Student ID"\n"Lee"\t"Ann"\t"alee"\t"7"\n"Müller"\t"José"\t"jmul"\t"8"\n'
)
BRIGHTSPACE = """OrgDefinedId,Username,Last Name,First Name,Email,Exercise 4 Points Grade,End-of-Line Indicator
#7,#alee,Lee,Ann,alee@u.edu,,#
#8,#jmul,Müller,José,jm@u.edu,,#
"""
NAMES = "Ann Lee\n\nMüller, José\n"
ALL = {"canvas": CANVAS, "moodle": MOODLE, "participants": PARTICIPANTS, "blackboard": BLACKBOARD,
       "brightspace": BRIGHTSPACE, "names": NAMES}  # fmt: skip


@pytest.fixture
def roster(tmp_path):
    """A function that reads a roster from its content."""

    def read(content):
        path = tmp_path / "class.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_roster(path)

    return read


def on(people, *files):
    """Return who on the roster the learners of files are."""
    found = matched(people, map(learner, files))
    return [found[who].name if (who := learner(file)) in found else None for file in files]


@pytest.mark.parametrize("content", ALL.values(), ids=ALL)
def test_two_people_are_in_every_export(roster, content):
    assert len(roster(content)) == 2


@pytest.mark.parametrize("content", ALL.values(), ids=ALL)
def test_folders_with_names_find_their_people(roster, content):
    ann, jose = (person.name for person in roster(content))
    files = ["Ann Lee/04.ipynb", "lee ann_04_top_k_gating.ipynb", "ANN_LEE.ipynb", "Lee, Ann/x.ipynb"]
    assert on(roster(content), *files) == [ann] * 4
    assert (
        on(roster(content), "José Müller/x.ipynb", "Jose\u0301 Mu\u0308ller/x.ipynb", "muller_jose.ipynb") == [jose] * 3
    )
    assert on(roster(content), "Bo Lee/x.ipynb", "Ann/x.ipynb", "An Nlee/x.ipynb") == [None, None, ann]


def test_platforms_find_their_people(roster):
    assert on(roster(CANVAS), "leeann_567_8901_x.ipynb", "müllerjosé_568_8901_x.ipynb") == ["Lee, Ann", "Müller, José"]
    assert on(roster(MOODLE), "Participant_13_assignsubmission_file_/x.ipynb") == ["José Müller"]
    assert on(roster(BLACKBOARD), "Ex_alee_attempt_2026-11-30-10-05-09_x.ipynb") == ["Ann Lee"]
    assert on(roster(BRIGHTSPACE), "55-9 - José Müller - Nov 30, 2026 1005 AM/x.ipynb") == ["José Müller"]
    assert on(roster(PARTICIPANTS), "alee@u.edu/x.ipynb", "jm/x.ipynb") == ["Ann Lee", "José Müller"]


def test_a_number_tells_more_than_a_name(roster):
    people = roster('Student,ID\n"Lee, Ann",567\n"Lee, Ann",568\n"Roe, Bo",569\n')
    assert len(people) == 3
    found = matched(people, [Learner("leeann", canvas="567"), Learner("leeann", canvas="568"), Learner("leeann")])
    assert [len(found[who].keys & {"#567", "#568"}) for who in found] == [1, 1]
    assert len(set(found.values())) == 2  # and she who has no number is nobody


def test_names_of_many_words(roster):
    people = roster("Anna Maria van der Berg\nLi\n")
    files = ["van der Berg, Anna Maria/x.ipynb", "vanderbergannamaria_567_8901_x.ipynb", "Maria Berg/x.ipynb"]
    assert on(people, *files) == ["Anna Maria van der Berg"] * 2 + [None]


def test_the_wrong_one_is_worse_than_none(roster):
    people = roster("Student,ID,Login\nAnn Lee,567,blee\nBo Lee,568,alee\n")
    assert on(people, "Lee/x.ipynb", "leeann_568_9_x.ipynb") == [None, "Bo Lee"]


def test_other_scripts(roster):
    people = roster("नेहा शर्मा\n李明\nעלי דן\nعلی‌رضا\nניר\n")
    files = ["शर्मा नेहा/x.ipynb", "李 明/x.ipynb", "דן עלי/x.ipynb", "علی‌رضا/x.ipynb", "नहा शर्मा/x.ipynb"]
    assert on(people, *files) == ["नेहा शर्मा", "李明", "עלי דן", "علی‌رضا", None]


@pytest.mark.parametrize("coding", ["utf-8-sig", "utf-16", "cp1252"])
def test_whatever_a_spreadsheet_saves(roster, coding):
    assert on(roster(BLACKBOARD.encode(coding)), "José Müller/x.ipynb") == ["José Müller"]
    assert on(roster(NAMES.replace("\n", "\r\n").encode(coding)), "José Müller/x.ipynb") == ["Müller, José"]


@pytest.mark.parametrize("content", ["", "\n \n", "Student,ID\n", "Student,ID\n    Points Possible,\n"])
def test_a_roster_without_people_is_refused(roster, content):
    with pytest.raises(ValueError, match=r"roster = .*: expected a name on each line, or a table"):
        roster(content)

"""Whose file it is, from the path."""

import pytest

from moe_lessons.grading.learners import Learner, learner


@pytest.mark.parametrize(
    ("file", "who"),
    [
        ("ann/04_top_k_gating.ipynb", Learner("ann")),
        ("ann/deep/er/04.ipynb", Learner("ann")),
        ("ann.ipynb", Learner("ann")),
        ("ann_04_top_k_gating.ipynb", Learner("ann")),
        ("Ann Lee - 04_top_k_gating (2).ipynb", Learner("Ann Lee")),
        ("04_top_k_gating.ipynb", Learner("04_top_k_gating")),
        ("Ann Lee_1234_assignsubmission_file_/x.ipynb", Learner("Ann Lee", moodle="1234")),
        ("Ann Lee_1234_assignsubmission_file_04_top_k_gating.ipynb", Learner("Ann Lee", moodle="1234")),
        ("leeann_567_8901_04_top_k_gating-1.ipynb", Learner("leeann", canvas="567")),
        ("leeann_LATE_567_8901_homework.ipynb", Learner("leeann", canvas="567")),
        ("李_567_8901_x.ipynb", Learner("李", canvas="567")),
        ("=HYPERLINK(1)/x.ipynb", Learner("=HYPERLINK(1)")),
        (".ipynb", Learner(".ipynb")),
    ],
)
def test_the_path_names_the_learner(file, who):
    assert learner(file) == who


def test_two_learners_of_one_name_stay_two():
    assert learner("lee_1_9_x.ipynb") != learner("lee_2_9_x.ipynb")


def test_two_files_of_one_learner_are_hers():
    assert learner("ann_04_top_k_gating.ipynb") == learner("ann_05_sparse_layer.ipynb") == learner("ann/x.ipynb")

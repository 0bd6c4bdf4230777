"""Whose file it is, from the path."""

import pytest

from moe_lessons.grading.learners import Learner, classes_in, labels, learner, learners


@pytest.mark.parametrize(
    ("file", "who"),
    [
        ("ann/04_top_k_gating.ipynb", Learner("ann")),
        ("ann/deep/er/04.ipynb", Learner("ann")),
        ("ann.ipynb", Learner("ann")),
        ("ann_04_top_k_gating.ipynb", Learner("ann")),
        ("ann_04r_review.ipynb", Learner("ann")),
        ("ann_11p_closing_project.ipynb", Learner("ann")),
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


def names(files):
    return [who.name for who in learners(files).values()]


@pytest.mark.parametrize("above", ["", "archive/", "Course 7/archive/", "a/b/archive/", "Exercises 04-1234/"])
@pytest.mark.parametrize(
    ("files", "who"),
    [
        (["anna/04.ipynb", "ben/04.ipynb"], ["anna", "ben"]),
        (["anna/04.ipynb", "ben/deep/er/04.ipynb", "anna/05.ipynb"], ["anna", "ben", "anna"]),
        (["ann_04_top_k_gating.ipynb", "ben_04_top_k_gating (1).ipynb"], ["ann", "ben"]),
        (["anna/x.ipynb", "ben_04_top_k_gating.ipynb", "cy/x.ipynb"], ["anna", "ben", "cy"]),
        (
            ["ann/exercises/x.ipynb", "ann/solutions/x.ipynb", "ben/moe-lessons-main/exercises/x.ipynb"],
            ["ann", "ann", "ben"],
        ),
        (
            ["ann/week 1/x.ipynb", "ann/week 2/x.ipynb", "ben/first try/x.ipynb", "ben/final/x.ipynb"],
            ["ann"] * 2 + ["ben"] * 2,
        ),
        (["ann/03/x.ipynb", "ann/04/x.ipynb", "ben/03/x.ipynb"], ["ann", "ann", "ben"]),
        (["anna/04r.ipynb", "anna/04r_review.ipynb", "ben_04r_review.ipynb"], ["anna", "anna", "ben"]),
        (["ann/good.ipynb", "ann/bad.ipynb", "ben/x.ipynb"], ["ann", "ann", "ben"]),
        (["ann/draft_04_top_k_gating.ipynb", "ann/final_04_top_k_gating.ipynb", "ben/x.ipynb"], ["ann", "ann", "ben"]),
        (["A/ann/x.ipynb", "A/ben/x.ipynb", "B/cy/x.ipynb", "B/dee/x.ipynb"], ["ann", "ben", "cy", "dee"]),
        (["set 03/ann/x.ipynb", "set 04/ann/x.ipynb", "set 04/ben/x.ipynb"], ["ann", "ann", "ben"]),
        (
            [f"{who}/x.ipynb" for who in ("ann", "ben", "cy", "dee")] + ["late/eve/x.ipynb"],
            ["ann", "ben", "cy", "dee", "eve"],
        ),
        (["leeann_567_8901_04.ipynb", "bobroe_LATE_568_9_x.ipynb"], ["leeann", "bobroe"]),
        (["Ann Lee_12_assignsubmission_file_/a/x.ipynb", "Bo_13_assignsubmission_file_x.ipynb"], ["Ann Lee", "Bo"]),
    ],
)
def test_a_class_is_found_however_deep_it_lies(above, files, who):
    assert names([above + file for file in files]) == who


@pytest.mark.parametrize("above", ["archive/", "a/archive/"])
def test_beside_an_archive_others_may_lie_as_ever(above):
    files = [f"{above}anna/x.ipynb", f"{above}ben/x.ipynb", "cara/04.ipynb", "dee_04_top_k_gating.ipynb"]
    assert names(files) == ["anna", "ben", "cara", "dee"]
    assert classes_in(files)[-1] == above.rstrip("/")


def test_a_folder_that_cannot_be_a_person_holds_files_of_people():
    assert names(["week1/ann.ipynb", "week1/ben.ipynb", "week2/ben.ipynb"]) == ["ann", "ben", "ben"]


def test_a_class_that_has_numbers_for_names():
    assert names(["archive/01/x.ipynb", "archive/02/x.ipynb"]) == ["01", "02"]
    assert names(["01/x.ipynb", "02/x.ipynb"]) == ["01", "02"]


@pytest.mark.parametrize(
    "files",
    [
        ["ann/04.ipynb", "ann/05.ipynb", "ann/extra/x.ipynb", "ann/again/x.ipynb"],
        ["ann/notebooks/x.ipynb", "ann/exercises/y.ipynb", "ann/mine/z.ipynb"],
        ["ann/ann_04_top_k_gating.ipynb", "ann/my_05_sparse_layer.ipynb"],
        ["ann/only/one/04.ipynb"],
        ["ann/x.ipynb", "ann/y.ipynb"],
    ],
)
def test_folders_of_one_learner_are_no_class(files):
    assert classes_in(files) == []
    assert set(names(files)) == {"ann"}


def test_canvas_and_moodle_keep_their_numbers_below_an_archive():
    assert learners(["a/leeann_567_8_x.ipynb", "a/boroe_568_8_x.ipynb"])["a/leeann_567_8_x.ipynb"].canvas == "567"
    assert learner("a/b/Ann Lee_12_assignsubmission_file_/x.ipynb") == Learner("Ann Lee", moodle="12")


def test_folders_without_end_and_odd_names_are_gone_through():
    deep = "/".join(["v"] * 3000) + "/x.ipynb"
    assert names([deep, "ann/x.ipynb"]) == ["v", "ann"]
    assert names(["v_" * 100 + "!/x.ipynb", "ann/.ipynb", "=1+1/\udcff.ipynb"]) == ["x", "ann", "=1+1"]


def test_the_exercise_itself_in_an_archive_makes_it_no_learners_folder_where_the_class_is_large():
    exercise = "archive/04_top_k_gating.ipynb"
    assert names([*(f"archive/{who}/x.ipynb" for who in "abcd"), exercise])[:4] == list("abcd")
    assert set(names([*(f"archive/{who}/x.ipynb" for who in "ab"), exercise])) == {"archive"}


@pytest.mark.parametrize(
    "copy",
    [
        *(
            "ann_04_top_k_gating-Copy1",
            "ann_04_top_k_gating-Copy2-Copy1",
            "ann_04_top_k_gating - Copy (2)",
            "ann-Copy1",
        ),
        *(
            "Copy of ann_04_top_k_gating",
            "ann_04_top_k_gating (1)",
            "ann_04_top_k_gating-Copy1 (1)",
            "ann copy 2",
            "ann",
        ),
        *("ann - Kopie", "Kopie von ann"),
    ],
)
def test_a_copy_is_the_same_persons(copy):
    assert learner(f"{copy}.ipynb") == Learner("ann")


@pytest.mark.parametrize(
    ("stem", "who"),
    [
        ("04_top_k_gating_AnnLee", "AnnLee"),
        ("04_top_k_gating_ann", "ann"),
        ("04_top_k_gating - Ann Lee", "Ann Lee"),
        ("04r_review-ann-Copy1", "ann"),
        ("04_top_k_gating_final", "04_top_k_gating_final"),
        ("04_top_k_gating_v2", "04_top_k_gating_v2"),
        ("04_top_k_gating2", "04_top_k_gating2"),
        ("_ann", "_ann"),
        ("ann_04_top_k_gating_final", "ann"),
    ],
)
def test_a_name_behind_the_course_s_own(stem, who):
    assert learner(f"{stem}.ipynb") == Learner(who)


def test_names_behind_the_course_s_own_make_a_class():
    files = [f"archive/04_top_k_gating_{who}.ipynb" for who in ("ann", "ben")]
    assert names(files) == ["ann", "ben"]
    assert names([file.replace("_ann", "_final").replace("_ben", "_draft") for file in files]) == ["archive"] * 2


def test_a_copy_of_the_exercise_under_its_own_name():
    assert learner("04_top_k_gating-Copy1.ipynb") == learner("04_top_k_gating.ipynb")
    assert learner("-Copy1.ipynb") == Learner("-Copy1")


def test_a_download_that_a_browser_counted_is_the_same_persons():
    assert names(["ann.ipynb", "ann (1).ipynb"]) == ["ann", "ann"]
    assert names(["ann/x.ipynb", "ann (1)/x.ipynb", "ann (2)/x.ipynb"]) == ["ann", "ann", "ann"]
    assert names(["ben (1).ipynb", "ann.ipynb"]) == ["ben", "ann"]


def blackboard(*people, title="Ex 4"):
    return [f"{title}_{who}_attempt_2026-11-30-10-05-{i:02d}_04.ipynb" for i, who in enumerate(people)]


@pytest.mark.parametrize("title", ["Ex 4", "Ex_4", "Ex_4_top_k"])
@pytest.mark.parametrize(
    "people",
    [("zoe",), ("zoe", "yan"), ("zoe", "ann_lee", "bob_lee"), ("ann_lee", "bob_lee", "cy_roe"), ("ann_lee", "bob_lee")],
)
def test_user_names_of_blackboard_may_have_a_line_in_them(title, people):
    assert names(blackboard(*people, title=title)) == list(people)


def test_two_exercises_from_blackboard_are_the_same_peoples():
    people = ["zoe", "yan", "xu"]
    assert names([*blackboard(*people, title="Ex 4"), *blackboard(*people, title="Ex 5")]) == people * 2
    assert names([*blackboard(*people, title="Ex_4"), *blackboard(*people, title="Ex_5")]) == people * 2


def test_people_who_are_only_counted_stay_apart():
    assert names(["Student (1).ipynb", "Student (2).ipynb"]) == ["Student (1)", "Student (2)"]


def test_letters_that_a_mac_takes_apart_are_the_same_persons():
    files = ["Jose\u0301/04.ipynb", "José/05.ipynb", "Jose\u0301_04r_review.ipynb"]
    assert names(files) == ["José"] * 3


def test_namesakes_are_called_by_their_numbers():
    files = ["Ann Lee_1_assignsubmission_file_/x.ipynb", "Ann Lee_2_assignsubmission_file_/x.ipynb", "Bo/x.ipynb"]
    called = labels(learners(files).values())
    assert sorted(called.values()) == ["Ann Lee (1)", "Ann Lee (2)", "Bo"]


def test_a_class_that_hands_in_under_numbers():
    assert names(["archive/s1234567.ipynb", "archive/s1234568.ipynb"]) == ["s1234567", "s1234568"]


def test_namesakes_in_an_archive_are_two_people():
    files = [f"archive/Ann Lee_{i}_assignsubmission_file_/x.ipynb" for i in (1, 2)]
    assert classes_in(files) == ["archive"]

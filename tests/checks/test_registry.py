"""All questions of the course in one place, read in a moment: what takes long to import waits until it is used."""

import subprocess
import sys

SLOW = ("torch", "matplotlib", "scipy.linalg", "scipy.optimize", "scipy.special", "scipy.stats")


def test_the_questions_are_read_without_what_takes_long_to_import():
    counted = f"print(len(questions()), *sys.modules.keys() & {set(SLOW)})"
    code = f"import sys; from moe_lessons.checks import questions; {counted}"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    number, *loaded = run.stdout.split()
    assert int(number) > 50
    assert loaded == []

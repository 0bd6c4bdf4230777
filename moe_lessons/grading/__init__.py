"""The batch grader: marks a folder of notebooks from strangers (`python -m moe_lessons.grading`)."""

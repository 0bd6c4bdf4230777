"""What lessons and exercises call: `check` an answer, see `progress`, `compare` a prediction, `reveal` an answer.

And `explain` words: as many as a reader wants.
"""

from moe_lessons.checks.engine import check
from moe_lessons.checks.predictions import compare
from moe_lessons.checks.reading import explain
from moe_lessons.checks.records import progress
from moe_lessons.checks.registry import questions
from moe_lessons.checks.withheld import reveal

__all__ = ["check", "compare", "explain", "progress", "questions", "reveal"]

"""What lessons and exercises call: `check` an answer, see your `progress`, `compare` a prediction."""

from moe_lessons.checks.engine import check
from moe_lessons.checks.predictions import compare
from moe_lessons.checks.records import progress
from moe_lessons.checks.registry import questions

__all__ = ["check", "compare", "progress", "questions"]

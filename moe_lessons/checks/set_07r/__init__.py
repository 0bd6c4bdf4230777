"""Questions of the mixed review 07r, behind lesson 07."""

from moe_lessons.checks.set_07r.q1_touched import STEP_LOG, TOUCHED
from moe_lessons.checks.set_07r.q2_key import KEY, two_runs
from moe_lessons.checks.set_07r.q3_column import COLUMN, gradient_column
from moe_lessons.checks.set_07r.q4_padding import PADDING
from moe_lessons.checks.set_07r.q5_size import SIZE
from moe_lessons.checks.set_07r.q6_bill import BILL

QUESTIONS = (TOUCHED, KEY, COLUMN, PADDING, SIZE, BILL)

__all__ = ["QUESTIONS", "STEP_LOG", "gradient_column", "two_runs"]

"""Questions of exercise set 06: counting the cost."""

from moe_lessons.checks.set_06.q1_counts import COUNTS
from moe_lessons.checks.set_06.q2_touched import TOUCHED
from moe_lessons.checks.set_06.q3_design import DESIGN
from moe_lessons.checks.set_06.q4_claims import CLAIMS

QUESTIONS = (COUNTS, TOUCHED, DESIGN, CLAIMS)

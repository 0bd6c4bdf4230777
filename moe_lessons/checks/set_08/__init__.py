"""Questions of exercise set 08: training a router."""

from moe_lessons.checks.set_08.q1_domains import DOMAINS
from moe_lessons.checks.set_08.q2_step import STEP
from moe_lessons.checks.set_08.q3_fresh import FRESH
from moe_lessons.checks.set_08.q4_bias import BIAS
from moe_lessons.checks.set_08.q5_entries import ENTRIES

QUESTIONS = (DOMAINS, STEP, FRESH, BIAS, ENTRIES)

__all__ = ["QUESTIONS"]

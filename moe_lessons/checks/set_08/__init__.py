"""Questions of exercise set 08: training a router."""

from moe_lessons.checks.set_08.q1_domains import DOMAINS
from moe_lessons.checks.set_08.q2_step import STEP
from moe_lessons.checks.set_08.q3_coefficient import COEFFICIENT, logged_runs
from moe_lessons.checks.set_08.q4_bias import BIAS
from moe_lessons.checks.set_08.q5_target import BUDGET, END_TO_END, TARGET, error_left

QUESTIONS = (DOMAINS, STEP, COEFFICIENT, BIAS, END_TO_END)

__all__ = ["BUDGET", "QUESTIONS", "TARGET", "error_left", "logged_runs"]

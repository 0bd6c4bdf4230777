"""Questions of exercise set 10: capacity and dropless dispatch, and balancing without a loss."""

from moe_lessons.checks.set_10.q1_capacity import KEPT
from moe_lessons.checks.set_10.q2_cost import COST
from moe_lessons.checks.set_10.q3_bias import UPDATE
from moe_lessons.checks.set_10.q4_pooled import POOLED
from moe_lessons.checks.set_10.q5_logs import LOGS, right_measures, training_log

QUESTIONS = (KEPT, COST, UPDATE, POOLED, LOGS)

__all__ = ["QUESTIONS", "right_measures", "training_log"]

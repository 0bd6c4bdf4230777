"""Questions of exercise set 01: the worked example."""

from moe_lessons.checks.set_01.q1_trace import LOGITS, TRACE
from moe_lessons.checks.set_01.q3_combine import COMBINE
from moe_lessons.checks.set_01.q4_length import DOUBLING, GIVEN_PROTOTYPES, GIVEN_TOKEN, PROTOTYPE

QUESTIONS = (LOGITS, TRACE, COMBINE, PROTOTYPE, DOUBLING)

__all__ = ["GIVEN_PROTOTYPES", "GIVEN_TOKEN", "QUESTIONS"]

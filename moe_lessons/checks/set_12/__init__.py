"""Questions of exercise set 12: the gates of published models, their configurations, and who looks ahead."""

from moe_lessons.checks.set_12.q1_gate import GATE
from moe_lessons.checks.set_12.q2_groups import GROUPS
from moe_lessons.checks.set_12.q3_gradient import GRADIENT
from moe_lessons.checks.set_12.q4_leak import LEAK
from moe_lessons.checks.set_12.q5_config import CONFIG, GIVEN_BIAS, GIVEN_LOGITS, configuration
from moe_lessons.checks.set_12.q6_shift import SHIFT, SHIFT_BIAS, SHIFTED_LOGITS

QUESTIONS = (GATE, GROUPS, GRADIENT, LEAK, CONFIG, SHIFT)

__all__ = [
    "GIVEN_BIAS", "GIVEN_LOGITS", "QUESTIONS", "SHIFTED_LOGITS", "SHIFT_BIAS", "configuration",
]  # fmt: skip

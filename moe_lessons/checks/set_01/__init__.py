"""Questions of exercise set 01: the worked example."""

from moe_lessons.checks.set_01.q1_checkpoint import LOGITS
from moe_lessons.checks.set_01.q2_back import BACK
from moe_lessons.checks.set_01.q3_share import SHARE
from moe_lessons.checks.set_01.q4_length import GIVEN_PROTOTYPES, GIVEN_TOKEN, PROTOTYPE, SCALED

QUESTIONS = (LOGITS, BACK, SHARE, PROTOTYPE, SCALED)

__all__ = ["GIVEN_PROTOTYPES", "GIVEN_TOKEN", "QUESTIONS"]

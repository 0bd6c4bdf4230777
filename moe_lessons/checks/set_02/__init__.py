"""Questions of exercise set 02: softmax gating."""

from moe_lessons.checks.set_02.q1_softmax import REPAIR, STABLE
from moe_lessons.checks.set_02.q2_gaps import GAPS
from moe_lessons.checks.set_02.q3_mixture import MIXTURE
from moe_lessons.checks.set_02.q5_entropy import ENTROPY, ROUTER

QUESTIONS = (STABLE, GAPS, MIXTURE, REPAIR, ENTROPY, ROUTER)

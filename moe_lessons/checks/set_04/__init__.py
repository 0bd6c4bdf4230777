"""Questions of exercise set 04: top-k gating and renormalisation."""

from moe_lessons.checks.set_04.q1_keep import KEEP
from moe_lessons.checks.set_04.q2_forms import FORMS
from moe_lessons.checks.set_04.q3_apart import APART
from moe_lessons.checks.set_04.q4_leak import GIVEN_LOGITS, LEAK, given_layers
from moe_lessons.checks.set_04.q5_live import LIVE, stuck_gate

QUESTIONS = (KEEP, FORMS, APART, LEAK, LIVE)

__all__ = ["GIVEN_LOGITS", "QUESTIONS", "given_layers", "stuck_gate"]

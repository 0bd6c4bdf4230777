"""Questions of exercise set 02: softmax gating."""

from moe_lessons.checks.set_02.q1_merged import MERGED
from moe_lessons.checks.set_02.q2_gaps import GAPS
from moe_lessons.checks.set_02.q3_mixture import MIXTURE
from moe_lessons.checks.set_02.q4_test import TEST
from moe_lessons.checks.set_02.q5_entropy import ENTROPY, ROUTER

QUESTIONS = (MERGED, GAPS, MIXTURE, TEST, ENTROPY, ROUTER)

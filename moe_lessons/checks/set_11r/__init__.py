"""Questions of the mixed review 11r, behind lesson 11."""

from moe_lessons.checks.set_11r.q1_full import FULL, LOAD_LINE
from moe_lessons.checks.set_11r.q2_neighbours import NEIGHBOURS, PAIR_LOG
from moe_lessons.checks.set_11r.q3_parts import PARTS
from moe_lessons.checks.set_11r.q4_controls import CONTROLS
from moe_lessons.checks.set_11r.q5_pushes import PUSHES, two_tokens
from moe_lessons.checks.set_11r.q6_bits import BITS

QUESTIONS = (FULL, NEIGHBOURS, PARTS, CONTROLS, PUSHES, BITS)

__all__ = ["LOAD_LINE", "PAIR_LOG", "QUESTIONS", "two_tokens"]

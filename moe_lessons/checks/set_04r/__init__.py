"""Questions of the mixed review 04r, behind lesson 04."""

from moe_lessons.checks.set_04r.q1_drawn import DRAWN, drawn_log
from moe_lessons.checks.set_04r.q2_programs import PROGRAMS, rows_of_programs
from moe_lessons.checks.set_04r.q3_length import LENGTH
from moe_lessons.checks.set_04r.q4_beliefs import BELIEFS, three_routers
from moe_lessons.checks.set_04r.q5_bits import BITS
from moe_lessons.checks.set_04r.q6_changes import CHANGES

QUESTIONS = (DRAWN, PROGRAMS, LENGTH, BELIEFS, BITS, CHANGES)

__all__ = ["QUESTIONS", "drawn_log", "rows_of_programs", "three_routers"]

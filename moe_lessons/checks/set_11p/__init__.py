"""Questions of the closing project 11p: an unlabelled run to be diagnosed."""

from moe_lessons.checks.set_11p.q1_loads import LOADS
from moe_lessons.checks.set_11p.q2_rest import REST
from moe_lessons.checks.set_11p.q3_apart import APART
from moe_lessons.checks.set_11p.q4_fault import FAULT
from moe_lessons.checks.set_11p.q5_proof import PROOF
from moe_lessons.checks.set_11p.q6_repair import REPAIR

QUESTIONS = (LOADS, REST, APART, FAULT, PROOF, REPAIR)

__all__ = ["QUESTIONS"]

"""Questions of exercise set 05: the sparse layer."""

from moe_lessons.checks.set_05.q1_expert import EXPERT
from moe_lessons.checks.set_05.q2_selected import SELECTED
from moe_lessons.checks.set_05.q3_sparse import SPARSE
from moe_lessons.checks.set_05.q4_trap import TRAP, full_size_gradients, report
from moe_lessons.checks.set_05.q5_backwards import BACKWARDS
from moe_lessons.checks.set_05.q6_router import ROUTER

QUESTIONS = (EXPERT, SELECTED, SPARSE, TRAP, BACKWARDS, ROUTER)

__all__ = ["QUESTIONS", "full_size_gradients", "report"]

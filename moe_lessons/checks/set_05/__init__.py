"""Questions of exercise set 05: the sparse layer."""

from moe_lessons.checks.set_05.q1_expert import EXPERT
from moe_lessons.checks.set_05.q2_dispatch import DISPATCH
from moe_lessons.checks.set_05.q3_sparse import SPARSE
from moe_lessons.checks.set_05.q4_trap import TRAP, full_size_gradients
from moe_lessons.checks.set_05.q5_combine import COMBINE

QUESTIONS = (EXPERT, DISPATCH, SPARSE, TRAP, COMBINE)

__all__ = ["QUESTIONS", "full_size_gradients"]

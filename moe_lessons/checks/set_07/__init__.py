"""Questions of exercise set 07: gradients through a router."""

from moe_lessons.checks.set_07.q1_jacobian import JACOBIAN
from moe_lessons.checks.set_07.q2_chain import CHAIN
from moe_lessons.checks.set_07.q3_inversion import INVERSION
from moe_lessons.checks.set_07.q4_diagnosis import DIAGNOSIS, GIVEN_A, GIVEN_LOGITS, delivered_gradients
from moe_lessons.checks.set_07.q5_z_loss import Z_LOSS
from moe_lessons.checks.set_07.q6_estimator import ESTIMATOR

QUESTIONS = (JACOBIAN, CHAIN, INVERSION, DIAGNOSIS, Z_LOSS, ESTIMATOR)

__all__ = ["GIVEN_A", "GIVEN_LOGITS", "QUESTIONS", "delivered_gradients"]

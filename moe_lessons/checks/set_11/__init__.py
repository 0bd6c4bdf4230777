"""Questions of exercise set 11: trained specialisation. All data are drawn here, with a structure that is planted."""

from moe_lessons.checks.set_11.q1_table import TABLE
from moe_lessons.checks.set_11.q2_null import NULL
from moe_lessons.checks.set_11.q3_conditional import CONDITIONAL
from moe_lessons.checks.set_11.q4_saturation import SATURATION
from moe_lessons.checks.set_11.q5_ablation import ABLATION, DOMAINS, ablation
from moe_lessons.checks.set_11.q6_claims import CLAIMS, ROUTERS, results

QUESTIONS = (TABLE, NULL, CONDITIONAL, SATURATION, ABLATION, CLAIMS)

__all__ = ["DOMAINS", "QUESTIONS", "ROUTERS", "ablation", "results"]

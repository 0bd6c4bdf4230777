"""Questions of exercise set 03: temperature."""

from moe_lessons.checks.set_03.q1_logarithms import LOGARITHMS
from moe_lessons.checks.set_03.q2_wanted import WANTED_ENTROPY
from moe_lessons.checks.set_03.q3_sampler import SAMPLER
from moe_lessons.checks.set_03.q4_restart import RESTART
from moe_lessons.checks.set_03.q5_selection import SELECTION

QUESTIONS = (LOGARITHMS, WANTED_ENTROPY, SAMPLER, RESTART, SELECTION)

"""Questions of exercise set 09: keeping experts alive."""

from moe_lessons.checks.set_09.q1_statistics import STATISTICS
from moe_lessons.checks.set_09.q2_noisy import NOISY
from moe_lessons.checks.set_09.q3_smooth import SMOOTH
from moe_lessons.checks.set_09.q4_devices import DEVICES
from moe_lessons.checks.set_09.q5_below_one import BELOW_ONE

QUESTIONS = (STATISTICS, NOISY, SMOOTH, DEVICES, BELOW_ONE)

"""Question 11r.1: what one number of a log says of room and drops."""

from moe_lessons.checks.question import ValuesQuestion, about
from moe_lessons.checks.verdicts import by_value

N, K, TOKENS, VIOLATION = 32, 2, 4096, 0.625
LOAD_LINE = {"experts": N, "k": K, "tokens": TOKENS, "violation": VIOLATION}
ASSIGNMENTS = K * TOKENS
MEAN = ASSIGNMENTS / N
FULLEST = (1 + VIOLATION) * MEAN
LEAST_DROPPED = (FULLEST - MEAN) / ASSIGNMENTS  # at factor 1, where only the fullest expert is too full


FULL = ValuesQuestion(
    **about("11r.1", "One number, and the room it takes", "predict a number", "medium", points=1, minutes=5),
    hints=(
        "How many assignments are there in all, and how many has an expert on average? Both other numbers are counted from that mean.",
        "The mean is k·T/N, and MaxVio says by what part of it the fullest expert is above. A capacity factor is also a multiple of that mean. At factor 1 the fullest loses what it has above the mean, and perhaps nobody else loses anything.",
    ),
    idea="MaxVio and the capacity factor count in the same unit, the mean load: with factor 1 + MaxVio nothing is dropped.",
    takeaway="1 + MaxVio is the capacity factor that drops nothing: so a logged MaxVio tells what a layer with closed doors would need.",
    answer="my_room",
    expected=lambda: {"fullest": FULLEST, "factor": 1 + VIOLATION, "dropped at least": 100 * LEAST_DROPPED},
    tolerance={"fullest": 0.5, "factor": 0.0051, "dropped at least": 0.051},
    advice={
        "fullest": "First the mean load, k·T/N. The fullest expert is above it by MaxVio times the mean.",
        "factor": "Which multiple of the mean load has the fullest expert? It must have room.",
        "dropped at least": "At factor 1 an expert has room for the mean. How many of the fullest one's assignments are above that, and what share of *all* assignments is this?",
    },
    parts={
        "fullest": by_value(
            "tokens counted once: You shared out the tokens. Each makes k assignments.",
            lambda: (1 + VIOLATION) * TOKENS / N,
            "excess alone: This is how far it is above the mean. Asked is all that it has.",
            lambda: VIOLATION * MEAN,
            "mean: This is the mean load. The fullest is above it.",
            lambda: MEAN,
            "times MaxVio of all: You took MaxVio for a share of all assignments. It is measured in mean loads.",
            (lambda: VIOLATION * ASSIGNMENTS, lambda: VIOLATION * TOKENS),
            "k twice: k is in the mean load already: k·T/N.",
            lambda: K * FULLEST,
            "added to the mean: MaxVio is no number of assignments: it counts in mean loads.",
            lambda: MEAN + VIOLATION,
            "of the fullest: You took MaxVio for a share of the fullest load. It is measured in mean loads.",
            lambda: MEAN / (1 - VIOLATION),
            "by the others: You divided by N − 1. The mean load is that of all N experts.",
            lambda: (1 + VIOLATION) * ASSIGNMENTS / (N - 1),
            "below the mean: The fullest expert is *above* the mean by MaxVio mean loads.",
            lambda: (1 - VIOLATION) * MEAN,
            "a share of all: This is a share of all assignments. Asked is how many there are.",
            lambda: FULLEST / ASSIGNMENTS,
            "in mean loads: This is how many mean loads the fullest has. Times the mean load, k·T/N, it is a number of assignments.",
            lambda: 1 + VIOLATION,
            "not divided by N: That is as if one expert had everything to itself. The mean load is k·T/N.",
            (lambda: (1 + VIOLATION) * ASSIGNMENTS, lambda: (1 + VIOLATION) * TOKENS),
        ),
        "factor": by_value(
            "MaxVio itself: A factor below 1 has no room even for perfect balance. MaxVio is what the fullest has *above* the mean.",
            lambda: VIOLATION,
            "places: This is a number of places. Asked is the factor: places divided by the mean load.",
            lambda: FULLEST,
            "with k: k is in the mean load already: capacity is the factor times k·T/N.",
            (lambda: K * (1 + VIOLATION), lambda: (1 + VIOLATION) / K),
            "rounded down: Rounded down it is too little: the fullest expert has more than 1.6 mean loads. What has no room is dropped.",
            lambda: 1.6,
            "too much: This has room for all, but so has less. Asked is the smallest factor.",
            (lambda: 2.0, lambda: 1.7, lambda: float(N)),
            "upside down: This is the mean load divided by the fullest. The factor is how many mean loads there must be room for.",
            lambda: 1 / (1 + VIOLATION),
            "of the fullest: You took MaxVio for a share of the fullest load. It is measured in mean loads.",
            lambda: 1 / (1 - VIOLATION),
            "too small: The fullest expert has 1 + MaxVio mean loads. This factor, however usual, has room for fewer: the rest of them is dropped.",
            (lambda: 1.1, lambda: 1.2, lambda: 1.25, lambda: 1.5),
            "factor 1: A factor of 1 has room for the mean load. The fullest expert has more.",
            lambda: 1.0,
        ),
        "dropped at least": by_value(
            "share of the expert: This is the share of the *fullest expert's* assignments that find no place (and of all, if as many experts as can be were as full). Asked is the share of all assignments, at the least.",
            lambda: 100 * VIOLATION / (1 + VIOLATION),
            "MaxVio in percent: This is what the fullest has above the mean, in mean loads. All experts together have N mean loads.",
            lambda: 100 * VIOLATION,
            "every expert as full: If every expert were above the mean by so much, the mean would be higher. Only one is known to be.",
            lambda: 100 * (1 - 1 / (1 + VIOLATION)) * N,
            "a count: So many assignments find no place. Asked is how many per cent of all these are.",
            lambda: FULLEST - MEAN,
            "of the tokens: You divided by the tokens. There are k times as many assignments.",
            lambda: 100 * (FULLEST - MEAN) / TOKENS,
            "nearly nothing: The fullest expert loses what it has above the mean, which is more. Or is this a share? Asked is percent.",
            (lambda: 0.0, lambda: LEAST_DROPPED),
            "the most: That would be if many experts, a half of them or as many as can be, were as full as the fullest. At the *least* only the fullest is above the mean.",
            (
                lambda: 100 * VIOLATION / 2,
                lambda: 100 * LEAST_DROPPED * (ASSIGNMENTS // FULLEST),
            ),
            "k twice: All assignments are k·T: k is in the number of the fullest one's, too.",
            lambda: 100 * LEAST_DROPPED / K,
            "by the others: You divided by N − 1. Of all N experts one loses what it has above the mean.",
            lambda: 100 * VIOLATION / (N - 1),
            "a mean load: This is the share that an expert has at perfect balance. Asked is what the fullest one has above that.",
            lambda: 100 / N,
            "all of the fullest: Only what is above the capacity is dropped, not all that the fullest expert has.",
            lambda: 100 * FULLEST / ASSIGNMENTS,
        ),
    },
)

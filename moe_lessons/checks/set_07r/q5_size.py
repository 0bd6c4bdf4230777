"""Question 7r.5: how large an expert's gradient is."""

from moe_lessons.checks.question import ValuesQuestion, about
from moe_lessons.checks.verdicts import by_value

N, K, MORE = 32, 4, 8


def tokens(k: int) -> float:
    """Return what share of the tokens an expert gets when all get equally many."""
    return k / N


def gradient(k: int) -> float:
    """Return the size of an expert's gradient beside a dense FFN's: its share of the tokens, each at weight 1/k."""
    return tokens(k) / k


SIZE = ValuesQuestion(
    **about("7r.5", "How large is an expert's gradient?", "predict a number", "medium", points=1, minutes=3),
    hints=(
        "Two things make an expert's gradient smaller than the FFN's: it sees fewer tokens, and each of them at a weight below 1. What is each factor?",
        "An expert gets k/N of the tokens, each with weight 1/k. Multiply. And Adam divides a gradient by its own usual size: a constant factor cancels.",
    ),
    idea="Fewer tokens, k/N, times a smaller weight, 1/k: the k cancels and 1/N is left, which SGD feels and Adam does not.",
    takeaway="Turning up k does not turn up an expert's gradient: more tokens arrive, each at less weight, and 1/N of a dense layer's is left.",
    answer="my_sizes",
    expected=lambda: {
        "tokens": tokens(K),
        "gradient": gradient(K),
        "gradient, k = 8": gradient(MORE),
        "way of Adam": 1.0,
    },
    tolerance={"tokens": 0.002, "gradient": 0.0006, "gradient, k = 8": 0.0006, "way of Adam": 0.0051},
    advice={
        "tokens": "A batch of T tokens makes T·k assignments, shared by N experts.",
        "gradient": "Multiply the share of tokens by the weight that each of them gives the expert.",
        "gradient, k = 8": "Do both factors again, with k = 8.",
        "way of Adam": "What does Adam divide each gradient by? What does that do to a factor that is the same at every step?",
    },
    parts={
        "tokens": by_value(
            "one choice: You took one expert for each token. Each token goes to four.",
            lambda: 1 / N,
            "rounded up: Near, but rounded too far: three decimals are asked, or write 4 / 32.",
            lambda: 0.13,
            "the weight: This is the weight 1/k of a token, not the number of tokens.",
            lambda: 1 / K,
            "all tokens: Every token goes to four experts of 32, so an expert gets a part of them.",
            lambda: 1.0,
            "upside down: An expert gets fewer tokens than the FFN, not more.",
            lambda: N / K,
            "k itself: This is how many experts a token goes to. Of 32, an expert is one: what part of the tokens is that?",
            lambda: float(K),
        ),
        "gradient": by_value(
            "only the tokens: An expert gets an eighth of the tokens, *and* each of them counts a quarter.",
            lambda: tokens(K),
            "only the weight: Each token counts a quarter, *and* only an eighth of them arrives.",
            lambda: 1 / K,
            "nothing lost: Fewer tokens reach an expert, and each at a weight below 1.",
            lambda: 1.0,
            "weight left at 1/N: You took 1/N for the weight. The four kept experts share 1 between them.",
            lambda: tokens(K) / N,
            "upside down: An expert's gradient is smaller than the FFN's.",
            lambda: N,
            "weight twice: You counted the weight twice. A token's gradient passes it once, on the way back.",
            lambda: gradient(K) / K,
            "weight squared: You counted the weight twice, and not the share of tokens. Each counts once.",
            lambda: 1 / K**2,
            "tokens twice: You counted the share of tokens twice. The second factor is the weight that each token has.",
            lambda: tokens(K) ** 2,
            "times k: You multiplied by k. A kept weight is 1/k.",
            lambda: tokens(K) * K,
            "added: You added up the two factors. Both make the gradient smaller: multiply.",
            lambda: tokens(K) + 1 / K,
        ),
        "gradient, k = 8": by_value(
            "twice as large: Twice as many tokens, yes. But each now counts an eighth in place of a quarter.",
            lambda: 2 * gradient(K),
            "half as large: Each token counts half as much, yes. But twice as many arrive.",
            lambda: gradient(K) / 2,
            "only the tokens, k = 8: This is the share of tokens with k = 8. Each of them counts an eighth.",
            lambda: tokens(MORE),
            "only the weight, k = 8: This is the weight of a token with k = 8. Only a quarter of the tokens arrives.",
            lambda: 1 / MORE,
            "nothing lost, k = 8: Fewer tokens reach an expert, and each at a weight below 1.",
            lambda: 1.0,
            "weight left at 1/N, k = 8: You took 1/N for the weight. The eight kept experts share 1 between them.",
            lambda: tokens(MORE) / N,
            "weight twice, k = 8: You counted the weight twice. A token's gradient passes it once, on the way back.",
            lambda: gradient(MORE) / MORE,
            "upside down, k = 8: An expert's gradient is smaller than the FFN's.",
            lambda: N,
        ),
        "way of Adam": by_value(
            "as SGD: So it is under SGD. Adam divides each gradient by that gradient's own usual size, and a constant factor cancels.",
            lambda: gradient(K),
            "root of it: Adam divides by the root of the mean *square*. That is as large as the gradient itself, so the factor cancels.",
            lambda: gradient(K) ** 0.5,
            "every eighth step: So it would be if the expert heard in one *step* of eight, as Adam divides by the root of the mean square. Here it hears at every step, only less.",
            lambda: tokens(K) ** 0.5,
            "farther: Adam makes up for a small gradient, no more: the factor cancels.",
            (lambda: float(N), lambda: N / K),
            "steps added up: You counted the steps. The FFN makes 100 as well: compared with it, their number falls out.",
            (lambda: 100 * gradient(K), lambda: 100.0),
            "no way at all: Next to nothing? Adam divides each gradient by that gradient's own usual size, however small it is.",
            lambda: 0.0,
            "as the weight: The weight is a part of the gradient's size, and Adam divides by that.",
            lambda: 1 / K,
            "as the tokens: The number of tokens is a part of the gradient's size, and Adam divides by that.",
            lambda: tokens(K),
        ),
    },
)

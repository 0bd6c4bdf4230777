"""Question 11r.6: the most that a choice can tell."""

import numpy as np

from moe_lessons.checks.question import ValuesQuestion, about
from moe_lessons.checks.verdicts import by_value

EXPERTS, DOMAINS, MANY = 16, 4, 20
LEANING = np.array([0.75, 0.25])  # (N,): three whole domains, and one


def bits(p: np.ndarray) -> float:
    """Return the entropy of p (N,) in bits."""
    return float(-(p * np.log2(p)).sum())


COMMON, RARE = 0.9, 0.1  # shares of the text that two domains have: 18 and 2 of 20 experts
UNEVEN = bits(np.array([COMMON, RARE]))
MOST = bits(LEANING)


BITS = ValuesQuestion(
    **about("11r.6", "The most that a choice can tell", "predict a number", "medium", points=1, minutes=5),
    hints=(
        "Information about a class cannot be more than there is to know of the class, nor more than there is to know of the choice. Which of the two is smaller?",
        "Both are entropies in bits: of the domains, and of the loads. For even ones that is log₂ of how many; for uneven ones −Σ p log₂ p. Take the smaller one of the two: it is reached where whole domains can go to whole experts, and here they can. And what is left to tell about the domain when the token is known and the token alone decides?",
    ),
    idea="I(domain; expert) is at most the entropy of the domains and at most that of the loads: who always chooses the same tells nothing. The smaller one is reached where whole domains fit whole experts, as here; where they do not fit, even the best is below it.",
    takeaway="A collapsed router cannot be specialised, and of a class that hardly varies there is little to tell: compare bits with the smaller entropy, which not every router can reach.",
    answer="my_most_bits",
    expected=lambda: {"even": np.log2(DOMAINS), "leaning": MOST, "rare domain": UNEVEN, "hash, given the token": 0.0},
    tolerance=0.0051,
    advice={
        "even": "How much is there to know of four equally frequent domains, and how much of an even choice among 16? The smaller one limits.",
        "leaning": "How uncertain is the choice itself? Its entropy in bits: −Σ load log₂ load.",
        "rare domain": "How uncertain is a domain that is 90 to 10? Its entropy in bits.",
        "hash, given the token": "Given the token, a hash router's choice is fixed. What can something fixed tell?",
    },
    parts={
        "even": by_value(
            "of the choice: A choice among 16 has so many bits, and there are so many domains. But to know which of four it is takes less.",
            lambda: np.log2(EXPERTS),
            "nats: This is in nats. A bit is log₂.",
            lambda: np.log(DOMAINS),
            "both together: That is what both hold together. What they can have in common is at most the smaller one.",
            lambda: np.log2(EXPERTS) + np.log2(DOMAINS),
            "base 10: This is a logarithm to base 10. A bit is log₂.",
            lambda: np.log10(DOMAINS),
            "number of experts: This is a number of experts. It takes log₂ of that in bits to name one; and how many has the domain?",
            lambda: float(EXPERTS),
            "share of the domains: This is a share: all that there is to know of the domains. Asked is how many bits that is.",
            lambda: 1.0,
            "share: This is the share of the choice's bits. Asked is how many bits.",
            lambda: np.log2(DOMAINS) / np.log2(EXPERTS),
            "nothing: Each domain may have experts of its own. Then the choice tells it.",
            lambda: 0.0,
        ),
        "leaning": by_value(
            "of the domains: There is so much to know of the domains, and so much a token with E2 tells by its choice. But the choice is mostly the same: take the mean over all tokens.",
            lambda: np.log2(DOMAINS),
            "one bit: An even choice between two experts has a bit. This one is 75 to 25: less.",
            lambda: 1.0,
            "nats: This is in nats. A bit is log₂.",
            lambda: MOST * np.log(2),
            "nothing: The choice does differ in one token of four. Something can be told.",
            lambda: 0.0,
            "the favourite alone: This is E1's part of the sum. The other expert has one, too.",
            lambda: -0.75 * np.log2(0.75),
            "minus forgotten: An entropy is not below 0. The logarithms of shares are: −Σ p log₂ p.",
            lambda: -MOST,
            "base 10: This is with logarithms to base 10. A bit is log₂.",
            lambda: MOST * np.log10(2),
            "what is missing: So much an even choice between two has more. Asked is what this one has.",
            lambda: 1 - MOST,
            "share of the domains: This is a share of what there is to know of the domains. Asked are bits.",
            lambda: MOST / np.log2(DOMAINS),
            "difference: This is the difference of the two entropies. The smaller one limits.",
            lambda: np.log2(DOMAINS) - MOST,
            "a load: This is a load, no information: −Σ p log₂ p, over both.",
            lambda: LEANING[0],
            "surprise of the favourite: This is what a token with E1 tells by its choice. One with E2 tells more: take the mean over all tokens.",
            lambda: -np.log2(LEANING[0]),
            "both together: That is what both hold together. What they can have in common is at most the smaller one.",
            lambda: MOST + np.log2(DOMAINS),
            "the other alone: This is E2's part of the sum. E1 has one, too.",
            lambda: -0.25 * np.log2(0.25),
        ),
        "rare domain": by_value(
            "one bit: That would be two equally frequent domains, or it is a share: all that there is to know. Of 90 to 10 less than a bit is unknown.",
            lambda: 1.0,
            "of the choice: A choice among 20 has so many bits. But there is less than that to know of the domain.",
            lambda: np.log2(MANY),
            "nats: This is in nats. A bit is log₂.",
            lambda: UNEVEN * np.log(2),
            "a share of the text: This is how much of the text a domain has, no information: −Σ p log₂ p, over both.",
            (lambda: COMMON, lambda: RARE),
            "the rare part alone: This is the rare domain's part of the sum. The common one has a part, too.",
            lambda: -RARE * np.log2(RARE),
            "the common part alone: This is the common domain's part of the sum. The rare one has a part, too.",
            lambda: -COMMON * np.log2(COMMON),
            "minus forgotten: An entropy is not below 0. The logarithms of shares are: −Σ p log₂ p.",
            lambda: -UNEVEN,
            "difference: This is the difference of the two entropies. The smaller one limits.",
            lambda: np.log2(MANY) - UNEVEN,
            "surprise of the common one: This is what one token of the common domain tells. One of the rare one tells more: take the mean over all tokens.",
            lambda: -np.log2(COMMON),
            "what is missing: So much two equally frequent domains have more. Asked is what there is to know here.",
            lambda: 1 - UNEVEN,
            "both together: That is what both hold together. What they can have in common is at most the smaller one.",
            lambda: UNEVEN + np.log2(MANY),
            "nothing: The domain does differ in one token of ten. Something can be told.",
            lambda: 0.0,
            "surprise of the rare one: This is what one token of the rare domain tells. On average over all tokens it is less.",
            lambda: -np.log2(RARE),
        ),
        "hash, given the token": by_value(
            "as without the token: That may be so without the token. Within one and the same token its choice never differs.",
            lambda: np.log2(DOMAINS),
            "of the choice: So many bits has the choice itself. Given the token it never differs: what can it tell?",
            lambda: np.log2(EXPERTS),
            "one bit: Which bit? Within one and the same token the choice of a hash never differs.",
            lambda: 1.0,
        ),
    },
)

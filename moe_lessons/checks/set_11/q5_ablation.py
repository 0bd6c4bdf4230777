"""Question 11.5: an expert is switched off."""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from moe_lessons.checks.forms import Fields, Name
from moe_lessons.checks.question import Data, EntriesQuestion, Reply, about
from moe_lessons.checks.verdicts import Facts, Fault, Mistake, Verdict, always, by_test, by_value, filled

DOMAINS = ("prose", "code", "JSON")
ENTRIES = (*DOMAINS, "used but not needed", "needed by all alike")
OFF = 8  # experts
EXPERTS = tuple(f"E{i + 1}" for i in range(OFF))
CLEAR = 3  # standard errors
USE = (  # share of a domain's tokens that have the expert among their 2
    (0.60, 0.20, 0.10, 0.15, 0.50, 0.05, 0.30, 0.10),
    (0.35, 0.15, 0.15, 0.70, 0.15, 0.05, 0.15, 0.30),
    (0.20, 0.10, 0.75, 0.30, 0.25, 0.05, 0.20, 0.15),
)
RISE = (  # nats; E6 is drawn apart. In sum prose needs E1 most, and all three need E8 alike; not per served token
    (0.30, 0.22, 0.00, 0.05, 0.20, 0.00, 0.04, 0.06),
    (0.30, 0.03, 0.00, 0.07, 0.06, 0.00, 0.02, 0.06),
    (0.04, 0.02, 0.00, 0.18, 0.10, 0.00, 0.05, 0.06),
)


@cache
def ablation() -> tuple[np.ndarray, np.ndarray]:
    """Return the use (3, 8), and the loss in nats of each text (9, 3, 40): all experts on, then one off at a time."""
    rng = np.random.default_rng(11)
    whole = np.array([2.6, 1.7, 1.1])[:, None] + 0.45 * rng.normal(size=(3, 40))  # (3, 40), texts differ
    strength = np.abs(1 + 0.3 * rng.normal(size=(OFF, 3, 40)))  # some texts need an expert more
    rise = np.array(RISE).T[:, :, None] * strength + 0.02 * rng.normal(size=(OFF, 3, 40))  # (8, 3, 40)
    rise[5] = 0.004 * rng.normal(size=(3, 40))  # E6 serves few tokens
    rise[5, 2, 17] = 9.6  # and one JSON text breaks down without it
    use, losses = np.array(USE), np.concatenate([whole[None], whole + rise])  # (9, 3, 40)
    for array in (use, losses):
        array.flags.writeable = False
    return use, losses


@cache
def rises() -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard error over texts of what each expert's absence adds to the loss, (8, 3) each."""
    losses = ablation()[1]
    paired = losses[1:] - losses[0]  # (8, 3, 40)
    return paired.mean(axis=-1), paired.std(axis=-1, ddof=1) / np.sqrt(paired.shape[-1])


@cache
def effects() -> tuple[np.ndarray, np.ndarray]:
    """Return the same per served token, (8, 3) each."""
    served = ablation()[0].T  # (8, 3)
    mean, error = rises()
    return mean / served, error / served


def errors_above() -> np.ndarray:
    """Return by how many standard errors each rise is above 0, (8, 3)."""
    mean, error = rises()
    return mean / error


def is_clear() -> np.ndarray:
    """Return which rises are more than CLEAR standard errors above 0, (8, 3)."""
    return errors_above() > CLEAR


def found_by(size: np.ndarray) -> dict[str, int]:
    """Return the expert, from 0, that each entry of 11.5 asks for, with what its absence does (8, 3) so measured."""
    clear, most_used = is_clear(), ablation()[0].argmax(axis=1)
    needed = np.where(clear, size, -np.inf).argmax(axis=0)  # (3,)
    (idle,) = (i for i in most_used if not clear[i].any())
    (alike,) = (i for i in range(OFF) if clear[i].all() and size[i].max() < 1.5 * size[i].min())
    return dict(zip(ENTRIES, map(int, (*needed, idle, alike)), strict=True))


@cache
def findings() -> dict[str, int]:
    """Return what is right: by the effects per served token."""
    return found_by(effects()[0])


@cache
def in_sum() -> dict[str, int]:
    """Return what the rises say, which are not divided."""
    return found_by(rises()[0])


def written(i: int, c: int | None = None, of: tuple[np.ndarray, np.ndarray] | None = None) -> str:
    """Write the effects of expert i, or its rises: "prose 0.06 ± 0.01, …", or that of one domain."""
    mean, error = of or effects()
    which = range(len(DOMAINS)) if c is None else (c,)
    return ", ".join(f"{DOMAINS[d]} {round(mean[i, d], 3) + 0:.3f} ± {error[i, d]:.3f}" for d in which)


def found_without(i: int) -> dict[str, Any]:
    """Return what the table of use, the rises and the effects say of expert i."""
    use, mean = ablation()[0][:, i], effects()[0][i]  # (3,) each
    even = " Its use may be similar, its effect is not." if np.ptp(use) <= 0.1 else ""
    favourite, needed = i in ablation()[0].argmax(axis=1), i in map(findings().get, DOMAINS)
    known = {"expert": EXPERTS[i], "clear": is_clear()[i], "largest": mean.max(), "even": even}
    words = {"effects": written(i), "rises": written(i, of=rises())}
    return {**known, **words, "favourite": favourite, "needed": needed, "alike_in_sum": i == in_sum()[ENTRIES[-1]]}


def found_in_domain(i: int, c: int) -> dict[str, Any]:
    """Return what they say of expert i in domain c."""
    (use, losses), (mean, _), clear = ablation(), effects(), is_clear()[i, c]
    rise = losses[i + 1, c] - losses[0, c]  # (40,)
    other = next((domain for domain in DOMAINS if domain != DOMAINS[c] and findings()[domain] == i), None)
    without = f"The effect of {EXPERTS[i]} per served token is: {written(i, c)}."
    texts = {"texts": rise.size, "most": rise.max(), "median": np.median(rise), "rise": written(i, c, rises())}
    led = {"unclear": not clear, "leads": mean[i, c] == mean[:, c].max(), "most_used": i == use[c].argmax()}
    led |= {"surest": i == errors_above()[:, c].argmax(), "errors": errors_above()[i, c]}
    led["also"] = f" It is the one that {DOMAINS[c]} uses most, too; but use is not effect." if led["most_used"] else ""
    served = {"use": use[c, i], "in_sum": i == in_sum()[DOMAINS[c]]}
    return {"domain": DOMAINS[c], "without": without, "other": other, **texts, **led, **served}


AGAINST_DOMAIN = by_test(
    "one text: The mean is the largest, but is it evidence? {without} One text of {texts} rises by {most:.1f}; the median of them all is {median:.3f}.",
    lambda found: found.unclear and found.leads,
    "not divided: Without {expert} the loss rises most in sum ({rise}), because it serves many tokens: a share of {use:.2f}. {without} Divide each mean by the `use` of its expert in its domain, and another is larger.{also}",
    lambda found: found.in_sum,
    "most used: {expert} is the one that {domain} *uses* most. Use is not effect: other experts may do the same. {without} For another expert it is more.",
    lambda found: found.most_used,
    "another domain: It is {other} that needs {expert} most. {without} Take the largest clear effect among the experts, within the column of {domain}.",
    lambda found: found.other,
    "not clear: That effect is not clear of 0. {without}",
    lambda found: found.unclear,
    "surest: It is the surest effect, {errors:.0f} standard errors above 0, not the largest. {without} Being clear is a condition; of the clear effects the largest is asked.",
    lambda found: found.surest,
    ": {without} For another expert it is more, and clear.",
    always,
)
AGAINST_IDLE = by_test(
    "another domain needs it: {expert} is the most used of a domain, but its absence does raise losses; per served token: {effects}.",
    lambda found: found.favourite,
    ": {expert} is not the most used expert of any domain, and its absence does raise losses; per served token: {effects}.",
    lambda found: found.clear.any(),
    "little used: Nothing is clear here, true; per served token: {effects}. But no domain uses {expert} most; look at the table of use.",
    always,
)
AGAINST_ALIKE = by_test(
    "one text: Not every domain clearly needs {expert}. Per served token: {effects}.",
    lambda found: not found.clear.all() and found.largest > 0.1,
    "not needed: Not every domain clearly needs {expert}. Per served token: {effects}.",
    lambda found: not found.clear.all(),
    "not divided: Without {expert} the losses rise alike in sum ({rises}), but it does not serve the domains alike. Divided by its `use` in each domain, per served token: {effects}.",
    lambda found: found.alike_in_sum,
    "needed most by one: All three effects are clear, but not alike. Per served token: {effects}.{even}",
    lambda found: found.needed,
    ": All three effects are clear, but not alike. Per served token: {effects}.{even}",
    always,
)
AGAINST = dict(zip(ENTRIES, (*[AGAINST_DOMAIN] * 3, AGAINST_IDLE, AGAINST_ALIKE), strict=True))


def against(part: str, expert: str) -> Fault:
    """Refute an expert as the one that an entry asks for, with its numbers."""
    i = EXPERTS.index(expert)
    found = Facts(**found_without(i), **(found_in_domain(i, DOMAINS.index(part)) if part in DOMAINS else {}))
    mistake = next(mistake for mistake in AGAINST[part] if mistake.seen(found))
    name = mistake.name and f"{part}: {mistake.name}"
    return Fault(name, f"{part!r} is not {expert!r}.", filled(mistake.why, found))


# Wrong rules, by the expert, from 0, that each gives each domain, (3,).
OF_DOMAINS = by_value(
    "most used: Of each domain you named the expert that it *uses* most. Use is not effect: look at what its absence costs, in `losses`, per served token.",
    lambda: ablation()[0].argmax(axis=1),
    "smallest: Of each domain you named the expert whose absence costs least. Is it the loss with the expert off *less* the loss with all on? Then the largest is asked.",
    (lambda: effects()[0].argmin(axis=0), lambda: np.where(is_clear(), effects()[0], np.inf).argmin(axis=0)),
    "least used: Of each domain you named the expert that it uses least. Dividing by `use` makes small things large; the effect must be clear, too.",
    lambda: ablation()[0].argmin(axis=1),
    "one row up: Your experts of the domains are one number too high: row 0 of `losses` is with all on, so row i is with E*i* off.",
    lambda: right_of_domains() + 1,
)


# What the experts that are given say, where they cannot be read.
UNREAD = by_test(
    "numbered from 0: Experts are numbered from 1: index 0 is E1.",
    lambda names: "E0" in names.values(),
    "no clear effect: In every domain some expert's effect is clear, if you subtract text by text, `losses[1:] - losses[0]`, *before* you take mean and spread. Texts differ much more from each other than an expert changes them.",
    lambda names: any(not any(map(str.isdigit, names.get(domain, "0"))) for domain in DOMAINS),
)


def unread(value: Any) -> Mistake | None:
    """Return what is behind names that are no experts, if it shows."""
    names = {part: str(name).strip().upper() for part, name in value.items()} if isinstance(value, dict) else {}
    return next((mistake for mistake in UNREAD if names and mistake.seen(names)), None)


def right_of_domains() -> np.ndarray:
    """Return the expert, from 0, that each domain needs most, (3,)."""
    return np.array([findings()[domain] for domain in DOMAINS])


def of_domains(named: dict[str, str]) -> Mistake | None:
    """Return the wrong rule by which all experts of the three domains would be right, if more than one is wrong."""
    came = np.array([EXPERTS.index(named[domain]) for domain in DOMAINS])  # (3,)
    if (came != right_of_domains()).sum() < 2:
        return None
    return next((rule for rule in OF_DOMAINS if (came == rule.wrong()).all()), None)


@dataclass(frozen=True, kw_only=True)
class AblationQuestion(EntriesQuestion):
    """Experts of the domains that all follow from one wrong rule are told so, and so are names of no experts."""

    def judge(self, data: Data, reply: Reply) -> Verdict:
        """Judge the entries; where the domains, or names that are none, follow a wrong rule, say which it is."""
        verdict, named = super().judge(data, reply), FORM.read(reply["value"])
        rule = unread(reply["value"]) if isinstance(named, Fault) else of_domains(named)
        return replace(verdict, why=f"{rule.why}\n{verdict.why}", mistake=rule.name) if rule else verdict


FORM = Fields(dict.fromkeys(ENTRIES, Name(EXPERTS)))
ABLATION = AblationQuestion(
    **about("11.5", "An expert is switched off", "predict a number", "medium", points=2, minutes=10),
    hints=(
        "The same 40 texts were read each time, so subtract first: `losses[1:] - losses[0]`, (8, 3, 40). Texts differ much more from each other than an expert's absence changes them, and in the difference that cancels.",
        "Mean and standard error over the last axis: `d.mean(-1)` and `d.std(-1, ddof=1) / np.sqrt(40)`, (8, 3) each. Where the mean is more than three standard errors above 0, the effect is clear. Divide the mean by `use.T`, (8, 3): that is the effect per served token. Look for the largest *clear* one in each column, and compare the three of each row.",
    ),
    idea="How much an expert is used says where tokens go; only its absence says what is lost, per token that it served, and only beside its spread. An expert can be popular and replaceable, or rare and decisive for one text.",
    takeaway="Being used and being needed are two measurements: an ablation divides by the tokens that were served, and shows its spread.",
    answer="my_findings",
    form=FORM,
    expected=lambda: {part: EXPERTS[i] for part, i in findings().items()},
    against=against,
)

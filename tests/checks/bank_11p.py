"""Answers to the project 11p: plausible wrong ones by the mistake that must be named, others, and right ones."""

import copy

import numpy as np
import torch

from moe_lessons.checks.set_11p.measures import SIGNS, apart, healthy, of_case, places
from moe_lessons.checks.set_11p.q6_repair import repairs
from moe_lessons.checks.set_11p.wrong_rules import rules_of
from moe_lessons.experiments.case_files import CASES, FAULTS, RECIPES, kind_of
from moe_lessons.losses import load_balancing_loss
from moe_lessons.metrics import max_violation

OF = {
    (kind_of(case).fault, kind_of(case).balanced_by): case for case in range(CASES, 0, -1)
}  # the first case of each kind
RENORMALISED = OF["renormalised k = 1", "loss"]
POOLED, NOISE = OF["pooled loss", "loss"], OF["noise left on", "loss"]
FROZEN, MASK = OF["frozen bias", "bias"], OF["mask lost", "bias"]

# --- 11p.3, 11p.4 and 11p.6 ---------------------------------------------------------------------------------------


def signs(case, **changed):
    return {"case": case, **apart(case), **{name.replace("_", " "): value for name, value in changed.items()}}


def beside_the_other_recipe(case):
    """Return where the measures of a case lie beside the healthy runs that are not its own."""
    other = next(recipe for recipe in RECIPES if recipe != kind_of(case).balanced_by)
    return {"case": case, **places(of_case(case), other)}


def in_short(case, places):
    """Return signs in the order of the measures: "00+-0-0"."""
    words = {"0": "as healthy", "+": "higher", "-": "lower"}
    return {"case": case, **dict(zip(of_case(case), map(words.get, places), strict=True))}


def beyond_by_chance():
    """Return the signs of a case, but with a measure a little outside of the range called higher or lower."""
    for case in range(1, CASES + 1):
        for measure, place in apart(case).items():
            low, high = healthy(kind_of(case).balanced_by)[measure]
            if place == "as healthy" and not low <= of_case(case)[measure] <= high:
                wrong = signs(case, **{measure: "lower" if of_case(case)[measure] < low else "higher"})
                if not rules_of({name: wrong[name] for name in of_case(case)}, case):
                    return wrong
    raise AssertionError("no measure of any case lies a little outside of the range, by no known rule")


def diagnosis(case, fault=None, clue=None):
    return {"case": case, "fault": fault or kind_of(case).fault, "clue": clue or SIGNS[kind_of(case).fault][0]}


def repair(case, **changed):
    return {"case": case, **repairs(case), **{name.replace("_", " "): value for name, value in changed.items()}}


# --- 11p.5 --------------------------------------------------------------------------------------------------------


def gradient_of_y(run):
    y = run.model(run.x, run.mask).y
    return sum(float(g.abs().max()) for g in torch.autograd.grad(y.square().sum(), list(run.model.W_g)))


def loss_beside_layers(run, mask, counted=None):
    found = run.model(run.x, mask)
    pairs = zip(found.logits, found.selected, strict=True)
    own = torch.stack([load_balancing_loss(h, 1, s[..., None], mask if counted is None else counted) for h, s in pairs])
    return float((own.mean() - found.balance).detach().abs())


def passes_differ(run, what="y"):
    first, again = (getattr(run.model(run.x, run.mask), what) for _ in range(2))
    return bool((first != again).any())


def passes_count_differently(run):
    """Where routers are sure, noise moves few tokens, and counts may be the same."""
    return passes_differ(run, "counts")


def same_noise_twice(run):
    """The same seed before both passes: the noise is the same."""
    found = []
    for _ in range(2):
        torch.manual_seed(0)
        found.append(run.model(run.x, run.mask).y)
    return not torch.equal(*found)


def pass_in_training_beside_evaluation(run):
    """One of the two passes has noise in every run."""
    first, again = run.model(run.x, run.mask).logits, run.model.train()(run.x, run.mask).logits
    return torch.allclose(first, again, atol=1e-2)


def chosen_by_the_logits(run):
    """The layers' own losses without what was selected: under a bias that is another expert."""
    found = run.model(run.x, torch.ones_like(run.mask))
    own = torch.stack([load_balancing_loss(h, 1) for h in found.logits])
    return not torch.isclose(own.mean(), found.balance, atol=1e-3)


def real_tokens_chosen_by_the_logits(run):
    """The real tokens, and the largest logit in the place of what was selected."""
    found = run.model(run.x, run.mask)
    own = torch.stack([load_balancing_loss(h[run.mask], 1) for h in found.logits]).mean()
    return bool((found.balance - own).abs() > 1e-4)


def passes_differ_where_sure(run):
    """As with a limit that is too wide for some weights: nothing is seen where the router is unsure."""
    return passes_differ(run) and not is_unsure(run)


def beside_the_pooled_loss(run):
    """True where the logged loss is not the pooled one: turned round."""
    found = run.model(run.x, torch.ones_like(run.mask))
    pooled = load_balancing_loss(found.logits, 1, found.selected[..., None])
    return not torch.isclose(pooled, found.balance, atol=1e-3)


def mean_violation(run):
    return max_violation(run.model(run.x, run.mask).counts.numpy()).mean()


def is_unsure(run):
    return mean_entropy(run) > 1


def counts_padding_without_any(run):
    mask = torch.ones_like(run.mask)
    return bool((run.model(run.x, mask).counts.sum(-1) != mask.sum()).any())


def sum_of_layers_beside_loss(run):
    """The layers' own losses added up; logged is their mean."""
    found = run.model(run.x, torch.ones_like(run.mask))
    own = [load_balancing_loss(h, 1, s[..., None]) for h, s in zip(found.logits, found.selected, strict=True)]
    return not torch.isclose(sum(own), found.balance, atol=1e-3)


def bias_stays(run):
    before = run.model.bias.clone()
    run.model.train()
    run.model(run.x, run.mask)
    return torch.equal(before, run.model.bias)


def bias_beside_itself(run):
    """No copy: what was before moves along."""
    before = run.model.bias
    run.model.train()(run.x, run.mask)
    return run.model.balanced_by == "bias" and torch.equal(before, run.model.bias)


def bias_stays_in_evaluation(run):
    before = run.model.bias.clone()
    run.model(run.x, run.mask)
    return run.model.balanced_by == "bias" and torch.equal(before, run.model.bias)


def gradient_of_the_loss_is_0(run):
    found = torch.autograd.grad(run.model(run.x, run.mask).balance, list(run.model.W_g))
    return max(float(g.abs().max()) for g in found) < 1e-4


def weights_beside_probabilities(run):
    """Another proof of a renormalised k = 1: the weight is not the probability of the selected expert."""
    found = run.model(run.x, run.mask)
    p = found.logits.softmax(-1).gather(-1, found.selected[..., None])[..., 0]
    return not torch.allclose(found.weights, p, atol=1e-3)


def passes_differ_clearly(run):
    """Another proof of noise: y beyond a limit."""
    return not torch.allclose(run.model(run.x, run.mask).y, run.model(run.x, run.mask).y, atol=1e-3)


def tokens_alike(run):
    """Another proof of noise: equal tokens have equal logits."""
    x = run.x[:1, :1].expand(4, 6, -1)
    return bool(run.model(x, torch.ones(x.shape[:2], dtype=torch.bool)).logits[0].std(dim=(0, 1)).max() > 0.05)


def bias_of_a_copy_stays(run):
    """Another proof of a frozen bias: it stays at 0, where a copy begins with 0."""
    model = copy.deepcopy(run.model).train()
    model.bias.zero_()
    model(run.x, run.mask)
    return model.balanced_by == "bias" and not model.bias.any()


def one_real_token(run):
    """Another proof of a lost mask: one real token, counted in two layers."""
    mask = torch.zeros_like(run.mask)
    mask[0, 0] = True
    return run.model(run.x, mask).counts.sum() != 2


def loss_by_hand(run):
    """Another proof of a pooled loss: from counts and probabilities of a batch without padding."""
    found = run.model(run.x, torch.ones_like(run.mask))
    f, P = found.counts / found.counts.sum(-1, keepdim=True), found.logits.softmax(-1).mean((1, 2))
    return not torch.isclose((f.shape[-1] * (f * P).sum(-1)).mean(), found.balance, atol=1e-3)


def counts_padding(run):
    return int(run.model(run.x, run.mask).counts.sum()) > 2 * int(run.mask.sum())


def padding_moves(run):
    """Another look at the mask: the same tokens with more padding behind them."""
    more = torch.cat([run.x, run.x[:, -3:]], dim=1)
    mask = torch.cat([run.mask, torch.zeros_like(run.mask[:, -3:])], dim=1)
    return not torch.equal(run.model(run.x, run.mask).counts.sum(-1), run.model(more, mask).counts.sum(-1))


def mean_entropy(run):
    p = run.model(run.x, run.mask).logits.detach().softmax(-1)[:, run.mask]
    return float(torch.special.entr(p).sum(-1).mean())


def balance_is_high(run):
    """A symptom of trained weights: under a bias, only the frozen one leaves the balance loss high."""
    return run.model.balanced_by == "bias" and run.model(run.x, run.mask).balance.item() > 1.2


TESTS = {
    "renormalised k = 1": lambda run: gradient_of_y(run) < 1e-4,
    "pooled loss": lambda run: loss_beside_layers(run, torch.ones_like(run.mask)) > 1e-3,
    "noise left on": passes_differ,
    "frozen bias": lambda run: run.model.balanced_by == "bias" and bias_stays(run),
    "mask lost": counts_padding,
}


def says(case, test):
    return lambda run: {"case": case, "found": test(run)}


def uneven(run):
    """Tell whether some expert has more than its share, in a run that is balanced by a loss: a level, and no proof."""
    return run.model.balanced_by == "loss" and bool(max_violation(run.model(run.x, run.mask).counts.numpy()).max() > 0)


WRONG = {
    "11p.3": {
        "sign overlooked": signs(MASK, counted="as healthy"),
        "sign overlooked (2)": signs(NOISE, gain="as healthy"),
        "inside the range": signs(RENORMALISED, counted="higher"),
        "inside the range (2)": signs(FROZEN, counted="lower"),
        "chance for a sign": beyond_by_chance(),
        "other recipe": beside_the_other_recipe(POOLED),
        "other recipe (2)": beside_the_other_recipe(FROZEN),
        "all turned": in_short(1, "00-+0+0"),
        "both recipes": in_short(16, "++00000"),
        "both recipes (2)": in_short(5, "00000-0"),  # or the last frame alone
        "one healthy run": in_short(4, "+00-+-0"),
        "one healthy run (2)": in_short(13, "-00-0+0"),  # or no room, or 0.02 for every measure
        "half the room": in_short(14, "000--+0"),
        "no room": in_short(9, "0-+00-0"),
        "small room": in_short(3, "++0+-00"),
        "double room": in_short(11, "+000-00"),
        "last frame": in_short(12, "000000+"),
        "first frames": in_short(1, "00+00-0"),
        "first frames (2)": in_short(3, "0000-00"),  # or what follows from the fault left out
        "beside the mean": in_short(7, "0-0-0-0"),
        "nothing hidden": in_short(8, "+00+000"),
        "both recipes (3)": in_short(3, "++00000"),  # or the last frame alone, or a distance in the place of the path
        "exchanged": in_short(8, "0+0+00+"),
        "signs overlooked": in_short(1, "00+0000"),
        "another case": in_short(1, "000-0+0"),
        "turned round": signs(MASK, counted="lower"),
        "turned round (2)": signs(FROZEN, bias_path="higher"),
    },
    "11p.4": {
        "pooled loss": diagnosis(RENORMALISED, "pooled loss"),
        "pooled loss (2)": diagnosis(FROZEN, "pooled loss"),
        "frozen bias": diagnosis(POOLED, "frozen bias"),
        "frozen bias (2)": diagnosis(MASK, "frozen bias"),
        "noise left on": diagnosis(MASK, "noise left on"),
        "noise left on (2)": diagnosis(FROZEN, "noise left on"),
        "mask lost": diagnosis(NOISE, "mask lost"),
        "renormalised k = 1": diagnosis(FROZEN, "renormalised k = 1"),
        "clue": diagnosis(POOLED, clue="MaxVio"),
        "clue (2)": diagnosis(NOISE, clue="counted"),
    },
    "11p.5": {
        "another fault": says(POOLED, TESTS["noise left on"]),
        "another fault (2)": says(NOISE, TESTS["mask lost"]),
        "another fault (3)": says(FROZEN, TESTS["renormalised k = 1"]),
        "another fault (4)": says(MASK, TESTS["frozen bias"]),
        "turned round": says(NOISE, lambda run: not passes_differ(run)),
        "always": says(MASK, lambda run: True),
        "noise in training": says(NOISE, lambda run: passes_differ(run._replace(model=run.model.train()))),
        "no gradient of 0": says(RENORMALISED, lambda run: gradient_of_y(run) == 0),
        "no gradient of 0 (2)": says(RENORMALISED, gradient_of_the_loss_is_0),
        "nothing moved": says(FROZEN, bias_beside_itself),
        "nothing moved (2)": says(FROZEN, bias_stays_in_evaluation),
        "nothing moved (3)": says(FROZEN, lambda run: True),
        "trace in the weights": says(RENORMALISED, lambda run: mean_entropy(run) > 1.0),
        "trace in the weights (2)": says(FROZEN, balance_is_high),
        "nothing found": says(MASK, lambda run: int(run.model(run.x, run.mask).counts.sum()) < int(run.mask.sum())),
        "a bias of 0": says(FROZEN, lambda run: not run.model.bias.any()),
        "a number that may agree": says(NOISE, passes_differ_where_sure),
        "chosen by the logits, and padding": says(POOLED, real_tokens_chosen_by_the_logits),
        "no bias to move": says(FROZEN, bias_stays),
        "padding in the batch": says(POOLED, lambda run: loss_beside_layers(run, run.mask) > 1e-3),
        "padding left in": says(
            POOLED, lambda run: loss_beside_layers(run, run.mask, torch.ones_like(run.mask)) > 1e-3
        ),
        "healthy suspected": says(POOLED, uneven),
        "healthy suspected (2)": says(NOISE, lambda run: mean_entropy(run) < 0.57),
        "several faults": says(NOISE, lambda run: passes_differ(run) or counts_padding(run)),
        "hangs on the recipe": says(NOISE, lambda run: run.model.balanced_by == "loss" and passes_differ(run)),
        "hangs on the recipe (2)": says(
            RENORMALISED, lambda run: run.model.balanced_by == "bias" and gradient_of_y(run) < 1e-4
        ),
        "hangs on the weights (3)": says(RENORMALISED, lambda run: gradient_of_y(run) < 1e-6),
        "hangs on the weights": says(RENORMALISED, lambda run: gradient_of_y(run) < 1e-4 and mean_entropy(run) < 0.3),
        "hangs on the weights (2)": says(POOLED, lambda run: loss_beside_layers(run, torch.ones_like(run.mask)) > 0.6),
        "hangs on the weights (4)": says(
            RENORMALISED,
            lambda run: gradient_of_y(run) < 1e-4 and (run.model.balanced_by, is_unsure(run)) != ("bias", True),
        ),
        "by chance": says(NOISE, passes_count_differently),
        "by chance (2)": says(NOISE, lambda run: passes_differ(run, "selected")),
        "always (2)": says(MASK, lambda run: int(run.model(run.x, run.mask).counts.sum()) != int(run.mask.sum())),
        "always (3)": says(POOLED, sum_of_layers_beside_loss),
        "nothing found (2)": says(MASK, counts_padding_without_any),
        "nothing found (3)": says(NOISE, same_noise_twice),
        "nothing found (4)": says(FROZEN, lambda run: run.model.balanced_by == "bias" and not run.model.bias.any()),
        "nothing found (5)": says(NOISE, pass_in_training_beside_evaluation),
        "chosen by the logits": says(POOLED, chosen_by_the_logits),
        "turned round (2)": says(POOLED, beside_the_pooled_loss),
        "healthy suspected (4)": says(MASK, lambda run: mean_violation(run) > 0.5),
        "healthy suspected (3)": says(FROZEN, lambda run: mean_violation(run) > 0.6),
    },
    "11p.6": {
        "repair: a larger coefficient": repair(POOLED, repair="a larger coefficient"),
        "repair: larger capacity": repair(FROZEN, repair="larger capacity"),
        "repair: no noise in evaluation": repair(MASK, repair="no noise in evaluation"),
        "repair: probability as weight": repair(NOISE, repair="probability as weight"),
        "trained for nothing": repair(NOISE, train_on=True),
        "mended too early": repair(MASK, train_on=False),
        "mended too early (2)": repair(RENORMALISED, train_on=False),
    },
}

UNRECOGNISED = {
    "11p.3": [{}, {"case": 1}, signs(1) | {"case": 0}, signs(1) | {"MaxVio": 0.3}, signs(2) | {"case": "two"}],
    "11p.4": [{}, diagnosis(1, "broken"), diagnosis(1) | {"case": 21}, "pooled loss"],
    "11p.5": [
        lambda run: True,
        lambda run: {"case": POOLED, "found": 0.3},
        lambda run: {"found": True},
        lambda run: {"case": 1 + (run.model.balanced_by == "loss"), "found": True},
    ],
    "11p.6": [{}, repair(1, repair="pray"), repair(1, train_on="perhaps"), repair(1) | {"case": None}],
}

RIGHT = {
    "11p.3": [signs(case) for case in range(1, CASES + 1)],
    "11p.4": [diagnosis(case) for case in range(1, CASES + 1)],
    "11p.5": [
        *(says(case, TESTS[fault]) for fault in FAULTS for case in range(1, CASES + 1) if kind_of(case).fault == fault),
        says(RENORMALISED, lambda run: bool((run.model(run.x, run.mask).weights > 1 - 1e-6).all())),
        says(RENORMALISED, weights_beside_probabilities),
        says(NOISE, tokens_alike),
        says(NOISE, lambda run: passes_differ(run, "balance")),
        says(NOISE, passes_differ_clearly),
        says(NOISE, lambda run: not torch.allclose(*(run.model(run.x, run.mask).logits for _ in range(2)))),
        says(FROZEN, bias_of_a_copy_stays),
        says(POOLED, loss_by_hand),
        says(MASK, one_real_token),
        says(MASK, padding_moves),
        lambda run: {"case": np.int64(NOISE), "found": np.bool_(passes_differ(run))},
    ],
    "11p.6": [repair(case) for case in range(1, CASES + 1)],
}

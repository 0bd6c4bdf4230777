"""The evidence of lesson 11b: what experts know of made-up languages in which every class is known.

`python -m moe_lessons.experiments.claims` trains the model of lesson 11 on `corpus.languages` with five seeds at two
lengths and writes the file of results, results/claims.json, that the lesson shows: half an hour of computing, shared
out among the cores. The lesson trains one model for a short while with the same functions.

Letters: S sequences, L tokens each, k active experts, N experts, G groups (values of what is given).
"""

import sys
from collections.abc import Iterable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from moe_lessons import metrics
from moe_lessons.corpus import ideal_reader, languages, text
from moe_lessons.experiments import specialisation as sp
from moe_lessons.experiments import studies
from moe_lessons.experiments.core import to_the_end
from moe_lessons.experiments.experts_per_token import BANDS as BANDS
from moe_lessons.experiments.experts_per_token import COUNT, SOME, counted, per_token
from moe_lessons.model import LanguageModel
from moe_lessons.support.validation import one_of, refuse, whole_number

SEEDS, LENGTHS = (0, 1, 2, 3, 4), (500, 1500)
FEWER = SEEDS[:3]  # of the text with strong topics
TEXTS = {"usual": languages.FAVOUR, "strong topics": 40.0}  # how many times as often a topic uses words of its own
KINDS = (
    *(f"{steps} steps" for steps in LENGTHS), "untrained", "hash", "hash of the token before",
    "hash of the token two before", f"{LENGTHS[0]} steps, strong topics",
)  # fmt: skip
HASHED = {"hash": "token", "hash of the token before": "previous", "hash of the token two before": "two_before"}
ABOUT = tuple(languages.CLASS_NAMES)
GIVEN = ("nothing", "token", "token and the one before")
WHO = ("one expert", "both experts", "one of a random gate", "both of a random gate", "linear reader")
GATES, FITTING = 3, 40  # random gates a layer; steps of L-BFGS for the linear reader
FUNCTION = languages.PARTS.index("determiner")  # parts of speech from here on are function words
LEAST, DRAWS = 30, 6  # a group counts from so many sequences on; shuffles for the bias
RESULTS = studies.RESULTS / "claims.json"

# --- information within groups ------------------------------------------------------------------------------------


class Sample(NamedTuple):
    """Tokens within which to ask what an expert tells: rows (R,) of the S · L tokens; group (R,) from 0 on; weight (G,)
    of each group, in sum 1; shuffles (draws, R): whose label each gets in a null; coverage: the share of all tokens
    whose group counts."""

    rows: np.ndarray
    group: np.ndarray
    weight: np.ndarray
    shuffles: np.ndarray
    coverage: float


def sample(given: np.ndarray, rng: int = 0, draws: int = DRAWS, least: int = LEAST) -> Sample:
    """Return one occurrence of each value of `given` (S, L) from each sequence that holds it.

    So no two tokens of a group are of one sequence, and dealing labels out anew within a group makes a fair null for
    labels of every kind. Values that fewer than `least` sequences hold are left out. A group weighs as many tokens as
    hold its value. Raises ValueError for `given` of another shape, draws below 1, or where no value is left.
    """
    whole_number("draws", draws, least=1, most=10**4)
    if np.ndim(given) != 2 or not np.size(given):
        raise refuse("given.shape", np.shape(given), "(S, L)")
    chance = np.random.default_rng(rng)
    rows = _one_a_sequence(given, chance)
    values, group, held = np.unique(given.ravel()[rows], return_inverse=True, return_counts=True)
    often = held >= least  # (values,)
    if not often.any():
        raise refuse("least", least, f"at most {held.max()}, the sequences that hold the commonest value")
    rows, group = rows[often[group]], (often.cumsum() - 1)[group[often[group]]]
    weight = np.bincount(np.searchsorted(values, given.ravel()))[often] / given.size  # (G,)
    shuffles = [np.argsort(group + chance.random(len(group))) for _ in range(draws)]
    return Sample(rows, group, weight / weight.sum(), np.stack(shuffles), float(weight.sum()))


def _one_a_sequence(given: np.ndarray, chance: np.random.Generator) -> np.ndarray:
    """Return one place of the S · L, drawn at random, for each sequence and value that it holds; value after value."""
    order = chance.permutation(given.size)  # (T,)
    keys = given.ravel()[order] * len(given) + order // given.shape[1]
    return order[np.unique(keys, return_index=True)[1]]


def everything(shape: tuple[int, int], rng: int = 0, draws: int = DRAWS) -> Sample:
    """Return all tokens (S, L) as one group; its null deals out whole sequences, place by place."""
    rows = np.arange(shape[0] * shape[1]).reshape(shape)
    chance = np.random.default_rng(rng)
    shuffles = np.stack([rows[chance.permutation(shape[0])].ravel() for _ in range(draws)])
    return Sample(rows.ravel(), np.zeros(rows.size, dtype=np.int64), np.ones(1), shuffles, 1.0)


def told(chosen: np.ndarray, label: np.ndarray, within: Sample) -> dict[str, float]:
    """Return what one of a token's experts tells of its label: bits, I(label; expert | group) with its bias; and
    excess, what is above the mean of the shuffles. chosen: (S, L, k). label: (S, L)."""
    expert = chosen.reshape(-1, chosen.shape[-1])[within.rows]  # (R, k)
    label = label.ravel()[within.rows]  # (R,)
    bits = _weighed(label, expert, within)
    null = np.mean([_weighed(label[shuffle], expert, within) for shuffle in within.shuffles])
    return {"bits": round(bits, 5), "excess": round(bits - float(null), 5)}


def both(chosen: np.ndarray) -> np.ndarray:
    """Return the set of a token's experts as one symbol, (S, L, 1), for `told`. chosen: (S, L, k), in any order."""
    ordered = np.sort(chosen, axis=-1).astype(np.int64)
    code = (ordered * (ordered.max() + 1) ** np.arange(chosen.shape[-1])).sum(axis=-1)  # (S, L)
    return np.unique(code, return_inverse=True)[1].reshape(code.shape)[..., None]


def room(chosen: np.ndarray, within: Sample) -> float:
    """Return how many bits one of a token's k experts can tell at most, of all classes together: I(expert; everything |
    group) = H(expert | group) − log2 k, as which of the k it is tells nothing. chosen: (S, L, k)."""
    k = chosen.shape[-1]
    expert = chosen.reshape(-1, k)[within.rows]  # (R, k)
    counts = counted(np.repeat(within.group, k), expert.ravel(), len(within.weight)).astype(float)  # (G, N)
    return float(within.weight @ _plogp(counts, counts.sum(axis=1)) - np.log2(k))


def linear_reader(states: Tensor, fitted_on: Tensor, label: np.ndarray, tokens: tuple[np.ndarray, ...]) -> np.ndarray:
    """Return the probabilities (S, L, classes) that a linear reader of states (S, L, d) gives to each class.

    She knows the token: her scores are a product of the state with a matrix, plus numbers of the token's own. Both are
    fitted on other text: its states fitted_on (..., d) and label (...). tokens: of the text, and of the other.
    """
    mean, spread = fitted_on.flatten(0, -2).mean(dim=0), fitted_on.flatten(0, -2).std(dim=0)  # (d,) each
    x, y = ((seen.flatten(0, -2) - mean) / spread for seen in (fitted_on, states))  # (T, d) each
    kinds, here, there = int(max(map(np.max, tokens))) + 1, tokens[1].ravel().astype(np.int64), tokens[0].ravel()
    labels = label.ravel().astype(np.int64)  # (T,)
    counts = counted(here, labels, kinds) + 0.5  # (V, classes)
    own = torch.tensor(np.log(counts / counts.sum(axis=1, keepdims=True)), dtype=torch.float32, requires_grad=True)
    matrix = torch.zeros(x.shape[1], counts.shape[1], requires_grad=True)
    fit = torch.optim.LBFGS([matrix, own], max_iter=FITTING, line_search_fn="strong_wolfe")
    of_token, wanted = torch.from_numpy(here), torch.from_numpy(labels)

    def loss() -> Tensor:
        fit.zero_grad()
        doubt = torch.nn.functional.cross_entropy(x @ matrix + own[of_token], wanted) + 1e-5 * matrix.square().sum()
        doubt.backward()
        return doubt

    fit.step(loss)
    with torch.no_grad():
        guess = (y @ matrix + own[torch.from_numpy(there.astype(np.int64))]).softmax(dim=1)
    return guess.view(*states.shape[:-1], -1).numpy()


def _weighed(label: np.ndarray, expert: np.ndarray, within: Sample) -> float:
    """Return the weighted mean over groups of I(label; expert) in bits. label: (R,). expert: (R, k)."""
    A, N, G = int(label.max()) + 1, int(expert.max()) + 1, len(within.weight)
    cells = (within.group * A + label)[:, None] * N + expert  # (R, k)
    n = np.bincount(cells.ravel(), minlength=G * A * N).reshape(G, A, N).astype(float)  # (G, A, N)
    total = n.sum(axis=(1, 2))  # (G,)
    parts = [_plogp(n.sum(axis=axes), total) for axes in (2, 1)] + [_plogp(n.reshape(G, -1), total)]
    return float(within.weight @ (parts[0] + parts[1] - parts[2]))


def _plogp(n: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Return the entropy in bits of counts n (G, cells), (G,)."""
    p = n / total[:, None]
    return -(p * np.log2(p, where=p > 0, out=np.zeros_like(p))).sum(axis=1)


# --- the text -----------------------------------------------------------------------------------------------------


@cache
def corpus(name: str = "usual") -> text.TextTask:
    """Return a text, a key of TEXTS, written once."""
    return languages.prepare(favour=TEXTS[one_of("name", name, TEXTS)])


def text_of(kind: str) -> str:
    """Return the name of the text that a kind of router is trained and measured on."""
    return kind.partition(", ")[2] or "usual"


def labels_of(part: text.Part) -> dict[str, np.ndarray]:
    """Return the labels of routed tokens, (S, L) each: as `specialisation.labels_of`, the token two before or −1, and
    if it is a function word."""
    labels = sp.labels_of(part)
    two_before = np.pad(labels["previous"][:, :-1], ((0, 0), (1, 0)), constant_values=-1)  # (S, L)
    return labels | {"two_before": two_before, "function": (labels["part"] >= FUNCTION).astype(np.int64)}


@cache
def samples(part: text.Part) -> dict[str, Sample]:
    """Return the sample of each of GIVEN."""
    labels = labels_of(part)
    found = (everything(labels["token"].shape), sample(labels["token"]), sample(labels["pair"]))
    return dict(zip(GIVEN, found, strict=True))


def knowable(part: text.Part, reader: ideal_reader.Reading) -> dict[str, dict[str, dict[str, float]]]:
    """Return for each class and each of GIVEN, in bits: how much of it is open, and how much of that an ideal reader of
    all tokens up to here knows. reader: what she makes of the part's routed tokens."""
    labels, found = labels_of(part), {}
    for about in ABOUT:
        doubt = metrics.entropy(reader.classes[about].clip(0, 1), base=2).ravel()  # (T,)
        found[about] = {given: _open(labels[about], doubt, within) for given, within in samples(part).items()}
    return found


def _open(label: np.ndarray, doubt: np.ndarray, within: Sample) -> dict[str, float]:
    """Return what is open of a label within a sample, and what a reader with `doubt` (T,) left knows of that."""
    held = np.bincount(within.group)  # (G,)
    left = within.weight @ (np.bincount(within.group, doubt[within.rows]) / held)
    opened = left_open(label, within)
    return {"open": round(opened, 5), "known": round(float(opened - left), 5)}


def left_open(label: np.ndarray, within: Sample) -> float:
    """Return how many bits of a label (S, L) are open where the group is known: H(label | group)."""
    kept = label.ravel()[within.rows]  # (R,)
    counts = counted(within.group, kept, len(within.weight)).astype(float)  # (G, labels)
    return float(within.weight @ _plogp(counts, counts.sum(axis=1)))


def saves(part: text.Part) -> dict[str, float]:
    """Return what it saves on the next token, in nats, to know a class beside the token: I(next token; class | token),
    less what chance alone gives (the number of cells over twice that of the tokens)."""
    ids = part.ids.astype(np.int64)
    token, following, found = ids[:, :-1].ravel(), ids[:, 1:].ravel(), {}

    def doubt(known: np.ndarray) -> float:
        """Return H(next token | known)."""
        held, cells = (np.unique(x, return_counts=True)[1] for x in (known, known * (ids.max() + 1) + following))
        entropies = [-(n / len(token)) @ np.log(n / len(token)) for n in (held, cells)]
        return float(entropies[1] - entropies[0]) + (len(cells) - len(held)) / (2 * len(token))

    for about in ABOUT:
        label = part.classes[about][:, :-1].ravel()
        found[about] = round(float(doubt(token) - doubt(token * (label.max() + 1) + label)), 4)
    return found


# --- all seeds ----------------------------------------------------------------------------------------------------


def trained(task: text.TextTask, seed: int, steps: int, **options: Any) -> LanguageModel:
    """Return lesson 11's model after so many steps on a text; 0: as it begins."""
    model = sp.build(len(task.token_bytes), seed=seed)
    to_the_end(sp.train_language_model(model, task, steps, **options))
    return model


def hashed(part: text.Part, seed: int, of: str) -> np.ndarray:
    """Return what a hash router of the token, or of one before, selects: (1, S, L, k), as one layer. of: a label."""
    return sp.by_table(labels_of(part)[of] + 1, languages.FORMS + 1, seed)[None]


def measure(selected: np.ndarray, part: text.Part) -> dict[str, Any]:
    """Return what is reported of the selection (layers, S, L, k) of any router, layer by layer: layers, what one of its
    experts tells of each class given each of GIVEN, and `per_token`; beside, the same of both experts; `room`."""
    labels, token = labels_of(part), samples(part)["token"]
    return {
        "room": _rounded(room(chosen, token) for chosen in selected),
        "layers": [tells(chosen, part, GIVEN) | {"experts": per_token(chosen, labels)} for chosen in selected],
        "beside": {WHO[1]: [tells(both(chosen), part) for chosen in selected]},
    }


def tells(chosen: np.ndarray, part: text.Part, givens: tuple[str, ...] = GIVEN[1:]) -> dict[str, dict[str, Any]]:
    """Return what `chosen` (S, L, k) tells of each class, given each of `givens`."""
    labels, within = labels_of(part), samples(part)
    return {about: {given: told(chosen, labels[about], within[given]) for given in givens} for about in ABOUT}


def beside(model: LanguageModel, part: text.Part, fitted_on: text.Part) -> dict[str, Any]:
    """Return what else can be told from what the routers see, layer by layer: by random gates (a mean of GATES), and by
    a linear reader, fitted on another part, of classes given the token; and how uneven the loads of the gates are."""
    other, N = sp.router_inputs(model, fitted_on.ids), model.config.num_experts
    labels, there, within = labels_of(part), labels_of(fitted_on), samples(part)[GIVEN[1]]
    tokens = labels["token"], there["token"]
    found: dict[str, list[Any]] = {who: [] for who in WHO[2:]}
    uneven = []
    for layer, states in enumerate(sp.router_inputs(model, part.ids)):
        gates = [sp.random_gate(states, N, model.config.top_k, _gate(model, layer, i)) for i in range(GATES)]
        uneven.append(np.mean([metrics.max_violation(metrics.expert_load(gate, N)) for gate in gates]))
        found[WHO[2]].append(_mean_told([tells(gate, part) for gate in gates]))
        found[WHO[3]].append(_mean_told([tells(both(gate), part) for gate in gates]))
        known = {}
        for about in ABOUT:
            guess = linear_reader(states, other[layer], there[about], tokens)  # (S, L, classes)
            right = np.take_along_axis(guess, labels[about][..., None].astype(np.int64), axis=-1)  # (S, L, 1)
            known[about] = {
                GIVEN[1]: {"excess": _open(labels[about], -np.log2(right.clip(1e-6)).ravel(), within)["known"]}
            }
        found[WHO[4]].append(known)
    return {"beside": found, "gate_max_violation": _rounded(uneven)}


def _gate(model: LanguageModel, layer: int, i: int) -> int:
    """Return the seed of a random gate: another one for each model, layer and draw."""
    return 1000 + 100 * model.config.seed + 10 * layer + i


def _mean_told(found: list[dict[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Return the mean of what several routers tell."""
    return {
        about: {given: {key: round(float(np.mean([one[about][given][key] for one in found])), 5) for key in cell}
                for given, cell in row.items()}
        for about, row in found[0].items()
    }  # fmt: skip


def study(kind: str, seed: int, task: text.TextTask | None = None) -> dict[str, Any]:
    """Return what is reported of a router. kind: one of KINDS. task: the text, if it is not that of the kind."""
    task = task or corpus(text_of(kind))
    found: dict[str, Any] = {"kind": kind, "seed": seed}
    if kind.startswith("hash"):
        return found | measure(hashed(task.report, seed, HASHED[kind]), task.report)
    model = trained(task, seed, 0 if kind == "untrained" else int(kind.split()[0]), progress=False)
    return found | reported(model, task.report, task.selection)


def reported(model: LanguageModel, part: text.Part, fitted_on: text.Part) -> dict[str, Any]:
    """Return all that is reported of a model on a part of the text. fitted_on: the part for the linear reader."""
    own, others = measure((routes := sp.record(model, part.ids)).selected, part), beside(model, part, fitted_on)
    N = model.config.num_experts
    sequence = labels_of(part)["sequence"].ravel()
    repeated = [metrics.consecutive_repetition(chosen[..., 0].ravel(), sequence, N) for chosen in routes.selected]
    return {
        "loss": round(float(routes.loss.mean()), 4),
        "entropy": _rounded(routes.entropy.mean(axis=(1, 2))),
        "max_violation": _rounded(metrics.max_violation(metrics.expert_load(c, N)) for c in routes.selected),
        "repeated": _rounded(found.share for found in repeated),
        "repeated_by_load": _rounded(found.independent for found in repeated),
        "layers_off": _rounded(sp.layer_ablation(model, sp.some_of(part, SOME)).mean(axis=1)),
        **own,
        **others,
        "beside": own["beside"] | others["beside"],
    }


def _rounded(values: Iterable[Any]) -> list[float]:
    """Return numbers with four decimals, for JSON."""
    return [round(float(value), 4) for value in values]


def load_results() -> dict[str, Any]:
    """Return the results that ship with the course: settings, what can be known, one study for each kind and seed."""
    return studies.read(RESULTS)


def runs(results: dict[str, Any], kind: str, about: str, given: str, who: str = WHO[0]) -> np.ndarray:
    """Return an excess from the results, (seeds, layers). kind, about, given, who: as in KINDS, ABOUT, GIVEN, WHO;
    others than one expert only for what GIVEN has after the first, the linear reader for the second."""
    studied = [s["layers"] if who == WHO[0] else s["beside"][who] for s in results["studies"] if s["kind"] == kind]
    return np.array([[layer[about][given]["excess"] for layer in layers] for layers in studied]) + 0.0  # no −0


def shares(results: dict[str, Any], kind: str, about: str, given: str, who: str = WHO[0]) -> np.ndarray:
    """Return the excess of a kind of router as a share of what the tokens up to here give away, (seeds, layers)."""
    return runs(results, kind, about, given, who) / results["texts"][text_of(kind)]["knowable"][about][given]["known"]


def told_of(name: str) -> dict[str, Any]:
    """Return what an ideal reader makes of the report part of a text, a key of TEXTS: her loss in nats, what
    knowing of topics saves her of it, and what is `knowable`."""
    part, drawn = corpus(name).report, languages.world(favour=TEXTS[name])
    reader = ideal_reader.read(drawn, part.ids)
    routed = reader._replace(classes={about: p[:, :-1] for about, p in reader.classes.items()})
    blind = ideal_reader.read(languages.without_topics(drawn), part.ids[:SOME])
    return {
        "best_loss": round(float(reader.loss.mean()), 4),
        "topics_save": round(float((blind.loss - reader.loss[:SOME]).mean()), 4),
        "coverage": {given: round(within.coverage, 3) for given, within in samples(part).items()},
        "knowable": knowable(part, routed),
        "saves": saves(corpus(name).train),
    }


def save(found: list[dict[str, Any]]) -> None:
    """Write the results file, one line a study."""
    settings = {
        "seeds": SEEDS,
        "lengths": LENGTHS,
        "fewer": FEWER,
        "kinds": KINDS,
        "least": LEAST,
        "count": COUNT,
        "some": SOME,
        "gates": GATES,
    }
    studies.write(RESULTS, settings, "studies", found, texts={name: told_of(name) for name in TEXTS})


def routers() -> list[tuple[str, int]]:
    """Return the kind and seed of every router, those that take longest first."""
    every = [(kind, seed) for kind in KINDS for seed in (SEEDS if text_of(kind) == "usual" else FEWER)]
    return sorted(every, key=lambda router: router[0] != f"{LENGTHS[-1]} steps")


def main() -> None:
    """Run everything and write the results file."""
    with studies.workers() as pool:
        waiting = [pool.submit(study, *which) for which in routers()]
        found = [one.result() for one in waiting]
        print(f"{len(found)} routers", file=sys.stderr)
    save(found)


if __name__ == "__main__":
    main()

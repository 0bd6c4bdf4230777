# %% [markdown]
# # 11b · The claims, challenged
#
# **Do experts have subjects, languages, grammar?** Lesson 11 measured on real text. But there `def` gives away the
# domain, and nobody knows what could have been known. Here we do.
#
# You will be able to
#
# 1. say how much of a class a text gives away at all, and measure experts against that;
# 2. tell what a router's choice adds from what the token, a blind rule about its neighbour, or a random gate gives
#    away;
# 3. compare how many experts frequent and rare tokens meet;
# 4. say of six popular claims what this model, and published ones, support.
#
# **Before:** [](lesson:11). **Time:** {{minutes}}.
#
# Which of these do you believe? (1) Experts have subjects. (2) Experts have languages. (3) The first and the last token
# of a sentence go to experts of their own. (4) Pieces of words go elsewhere than whole words. (5) Early layers know
# grammar, late layers topics. (6) Function words go to few experts, rare words are spread over many.

# %% name="setup" tags=["setup"]
import numpy as np

from moe_lessons.checks import compare, reveal
from moe_lessons.corpus import languages
from moe_lessons.experiments import claims
from moe_lessons.experiments import specialisation as sp
from moe_lessons.experiments import specialisation_study as study
from moe_lessons.figures import specialisation as figures
from moe_lessons.widgets.live import Live, choice

# %% [markdown]
# ## A text in which everything is known
#
# Two made-up languages, north and south. Each has nouns, verbs, adjectives, and three kinds of **function word**:
# determiners ("the"), adpositions ("of"), and endings, which close a sentence like a full stop. The order of words
# differs. A word is one token or two, and no space tells which.

# %% name="two-sentences"
task = claims.corpus()
part = sp.some_of(task.report, 1000)  # 1,000 documents
labels = claims.labels_of(part)  # name -> (sequences, L)
for row in (2, 7):
    print(f"{task.domains[part.domain[row]]}: {languages.first_sentence(task, part, row)}\n")
uses = np.zeros((languages.FORMS, 2))  # (tokens, languages): how often
np.add.at(uses, (labels["token"], labels["language"]), 1)
right = uses.max(axis=1).sum() / uses.sum()
print(f"guessing the language in which a token is the commoner one is right {right:.0%} of the time")
assert (uses > 0).all()

# %% [markdown]
# There are 144 tokens in all. Each document is in one language and has one of four topics. A topic has no words of its
# own: it uses some words six times as often.
#
# **Predict.** The language is one bit. From a single token, the best guess is right as often as the last line says. (In
# lesson 11, right 80 % of the time were .28 bits.) How many bits of the language does a token give away?

# %% name="predict-token" tags=["predict"]
my_bits = ...  # from 0 to 1

# %%
within = claims.samples(part)["token"]  # of every token one occurrence in each document
compare(my_bits, 1 - claims.left_open(labels["language"], within), "bits", within=0.05)
endings = labels["token"][labels["part"] == languages.PARTS.index("ending")]
token = np.bincount(endings).argmax()
for i, language in enumerate(languages.LANGUAGES):
    here = (labels["token"] == token) & (labels["language"] == i)
    uses = {name: int((labels["part"][here] == p).sum()) for p, name in enumerate(languages.PARTS)}
    print(f"{task.pieces([token])[0]} in the {language}:", {name: count for name, count in uses.items() if count})
assert claims.left_open(labels["language"], within) > 0.95

# %% [markdown]
# Both languages use all of them. A token says next to nothing of its language, and can be several parts of speech.
#
# **How much can be known?** An **ideal reader** knows both grammars and every word, and applies Bayes' rule from token
# to token. She knows all that the tokens up to here give away; no model knows more. (`part` is the part
# of speech; `position` the first token of a sentence, the last, or inside; `piece` a whole word, the first piece of one
# or the second. Occurrences of a token are from different documents, so independent.)

# %%
results = claims.load_results()
usual, strong = (results["texts"][name] for name in claims.TEXTS)
print("bits      in all    left open by: the token    it and the one before    all before it")
for about, known in usual["knowable"].items():
    nothing, token, both = (known[given] for given in claims.GIVEN)
    left = nothing["open"] - nothing["known"]
    print(f"{about:<10}{nothing['open']:>6.2f}{token['open']:>27.2f}{both['open']:>24.2f}{left:>17.2f}")
print(f"{usual['coverage'][claims.GIVEN[2]]:.0%} of the tokens stand in pairs frequent enough for the third column")
opened = {about: [known[given]["open"] for given in claims.GIVEN] for about, known in usual["knowable"].items()}
left_at_last = {
    about: known["nothing"]["open"] - known["nothing"]["known"] for about, known in usual["knowable"].items()
}
right_before = {about: (token - pair) / (token - left_at_last[about]) for about, (_, token, pair) in opened.items()}
assert 0.14 < right_before["topic"] < 1 / 6
assert sorted(right_before.values())[1] > 0.5

# %% [markdown]
# So of every class there is much to know beyond the token: of four more than half of it stands right before, of the topic
# less than a sixth.
#
# ## Train
#
# The model of lesson 11 on this text: a short training runs here, about 15 seconds. Before, we trained five seeds for 500
# and for 1,500 steps: [claims.json](../moe_lessons/experiments/results/claims.json), made by
# `python -m moe_lessons.experiments.claims`.

# %% name="train" tags=["15 s"]
STEPS = 200
model = sp.build(languages.FORMS)
history = sp.train_language_model(model, task, STEPS, checkpoint=f"lesson 11b, {STEPS} steps")
studies = results["studies"]
first, *_, last = history.losses["task"]
print(f"yours: {first:.2f} nats at first, {last:.2f} after {history.steps_done} steps")
for kind in claims.KINDS[:3]:
    losses = [s["loss"] for s in studies if s["kind"] == kind]
    print(f"{kind}: {np.mean(losses):.2f} nats on the report part (seeds {min(losses):.2f} to {max(losses):.2f})")
unaware = usual["best_loss"] + usual["topics_save"]
print(f"ideal reader: {usual['best_loss']:.2f}; one who knows of no topics {unaware:.2f}")

# %% [markdown]
# ## Languages and subjects
#
# As in lesson 11: within each token, how many bits does one of its two experts tell of a class, in **excess** of shuffled
# labels? New is the yardstick: we divide by what the ideal reader knows beyond the token. (One of two experts has room for
# log₂ 8 − log₂ 2 = 2 bits at most, for all classes together.)
#
# Three rows of the table know nothing. `hash` deals out experts by the token alone: within a token it never differs and
# tells 0. `hash of the token before`, our **blind hash**, deals them out by the token before, at random; the last by
# the token two before.
#
# **Predict.** After 1,500 steps, in the layer where it is most: which share of the *language* do the experts tell, and
# which of the *topic*?

# %% name="predict-shares" tags=["predict"]
my_shares = ...  # two numbers from 0 to 1: [language, topic]

# %%
SHORT, LONG, *_, BLIND, TWO, STRONG = claims.KINDS


def share(about, kind=LONG, given="token", who="one expert"):
    """(seeds, layers), or (seeds, 1) for a hash"""
    return claims.shares(results, kind, about, given, who)


def show(about, kinds=claims.KINDS[:6], given="token"):
    """Print a line for each kind of router: the mean over seeds, and the lowest and highest, layer by layer"""
    for kind in kinds:
        cells = (f"{v.mean():>7.3f} ({v.min():.3f} to {v.max():.3f})" for v in share(about, kind, given).T)
        print(f"{about:<9} {kind:<29}", *cells)


compare(my_shares, [share(about).mean(axis=0).max() for about in ("language", "topic")], within=0.1)
show("language")
show("topic")
chosen = sp.record(model, part.ids).selected  # (layers, sequences, L, k)
for about in ("language", "topic"):
    bits = [claims.told(c, labels[about], within)["excess"] for c in chosen]
    print(about, "yours:", np.round(np.array(bits) / usual["knowable"][about]["token"]["known"], 3))
room = np.mean([s["room"] for s in studies if s["kind"] == LONG], axis=0)  # (layers,)
print(f"one expert has room for {room.round(2)} bits, for all classes together; known of the topic:",
      f"{usual['knowable']['topic']['token']['known']:.2f}")  # fmt: skip
assert room.max() < 1.3 < usual["knowable"]["topic"]["token"]["known"]
assert all((share("language", kind).max(axis=1) > 0.5).all() for kind in (SHORT, LONG))
assert 0.09 < share("topic").mean(axis=0).max() < 0.11
assert share("topic", SHORT).mean(axis=0).max() < share("topic").mean(axis=0).max()
for kind in (SHORT, LONG):
    for about in ("language", "topic"):
        other = max(share(about, "untrained").max(), share(about, BLIND).max())
        assert share(about, kind).max(axis=1).min() > other
    assert (share("language", kind).max(axis=1) > 4 * share("topic", kind).max(axis=1)).all()

# %% [markdown]
# Of what can be known of the *language*, one expert tells more than half; of the *topic*, about a tenth, and after 500
# steps less. In every seed, at both lengths, the first is more than four times the second. In their best layer
# both are above the untrained router and the blind hash.
#
# But given the token the room is on average below 1.3 bits (last line), and of the topic alone more can be known. So
# its share cannot reach 1, and classes compete. More room (more experts; not tried) or more of topics in the text
# (below) would change it.
#
# ## Chosen, or there anyway?
#
# Does the router sort by language? Or does the stream that it reads hold so much of it that *any* choice gives it away?
# An untrained model cannot tell: its stream holds little.
#
# So keep the trained model, and put a **random gate** beside each router. It scores the same states with a random
# matrix, never trained. Each expert's scores are standardised, so that loads come out nearly even. We take the mean of
# three gates a layer.
#
# Beside that: *both experts*, which two of the eight, as one symbol; and a *linear reader*, a matrix, fitted on other text,
# that reads the class off the same state and the token.
#
# **Predict.** After 1,500 steps, in layer 4: which share of the language, and of the topic, does one expert of a random
# gate tell?

# %% name="predict-gate" tags=["predict"]
my_gate = ...  # two numbers from 0 to 1: [language, topic]

# %%
GATE = claims.WHO[2]
compare(my_gate, [share(about, who=GATE).mean(axis=0)[3] for about in ("language", "topic")], within=0.07)
for about in ("language", "topic"):
    for who in claims.WHO:
        print(f"{about:<9} {who:<21}", *(f"{v:>7.3f}" for v in share(about, who=who).mean(axis=0)))
for kind in (SHORT, LONG):
    print(f"{kind}: one expert of the random gate tells so many times what the trained router's tells, layers 1 to 4")
    for about in claims.ABOUT:
        trained, gate = share(about, kind), share(about, kind, who=GATE)  # (seeds, layers) each
        times = (gate.mean(axis=0) / trained.mean(axis=0)).round(2)
        print(f"   {about:<9} {times}; trained router ahead in {(trained > gate).sum(axis=0)} of 5 seeds")
gates = [sp.random_gate(states) for states in sp.router_inputs(model, part.ids)]  # (sequences, L, k) each
for about in ("language", "topic"):
    bits = np.array([claims.told(gate, labels[about], within)["excess"] for gate in gates])
    print(about, "yours, a random gate:", np.round(bits / usual["knowable"][about]["token"]["known"], 3))
rooms = {who: [claims.room(c, within) for c in made] for who, made in (("router", chosen), ("random gate", gates))}
print("room for bits in yours:", {who: np.round(bits, 2).tolist() for who, bits in rooms.items()})
assert rooms["random gate"][0] > 1.2 * rooms["router"][0]
others = [about for about in claims.ABOUT if about != "topic"]
by_kind = {kind: {about: share(about, kind, who=GATE).mean(axis=0) / share(about, kind).mean(axis=0)
                for about in claims.ABOUT} for kind in (SHORT, LONG)}  # fmt: skip
assert all((share(about)[:, 1:] > share(about, who=GATE)[:, 1:]).all() for about in others)
assert max(max(s["gate_max_violation"]) for s in studies if s["kind"] in (SHORT, LONG)) < 0.6
assert min(by_kind[LONG][about][1:].min() for about in others) > 0.48
assert max(by_kind[LONG][about][1:].max() for about in others) < 0.76
assert min(by_kind[SHORT][about][1:].min() for about in others) > 0.64
assert max(by_kind[SHORT][about][1:].max() for about in others) < 0.93
assert all(share("topic", kind, who=GATE).mean(axis=0)[layer] > share("topic", kind).mean(axis=0)[layer]
           for kind in (SHORT, LONG) for layer in range(4))  # fmt: skip
assert 1.3 < by_kind[LONG]["topic"][1:].min() < by_kind[LONG]["topic"][1:].max() < 1.9
assert share("language", who="both experts").mean(axis=0)[3] > 0.9
assert 0.24 < share("topic", who="both experts").mean(axis=0)[3] < 0.26
assert 0.8 < share("topic", who="linear reader").mean(axis=0)[3] < 0.85
assert share("language", who="linear reader").mean(axis=0)[3] > 0.95
assert np.mean([s["loss"] for s in studies if s["kind"] == LONG]) > 2.9
assert f"{unaware:.2f}" == "2.74"

# %% [markdown]
# Much of it is there anyway. In layers 2 to 4, after 500 steps, a random gate tells two thirds to nine tenths of what
# the trained router tells of language, part, position and piece. After 1,500 it is half to three quarters, and the
# trained router is ahead in every seed: so much its training added; longer, it may add more. In layer 1 nothing
# shows; but there a gate has more room (yours: last line).
#
# Of the *topic* the trained router tells *less* than the random gate, on average in every layer and at both lengths.
# And the topic is there: after 1,500 steps, in layer 4, a linear reader finds more than four fifths of it; both experts
# tell a quarter, one a tenth. So "experts tell little of topics" speaks of the choice, not of what the model holds.
# (Yet the model, at 2.94 nats, does worse than a reader who knows nothing of topics, at 2.74.)
#
# **More of topics in the text.** Nothing else changed: a topic now uses its words 40 times as often, and knowing it
# saves the ideal reader about three times as much. (Three seeds, 500 steps.) If experts tell what pays, that is the
# factor; if topics are beyond them, it is 1.
#
# **Predict.** How many times the share of the usual topics, after as many steps, do the experts tell of the strong
# ones?

# %% name="predict-strong" tags=["predict"]
my_factor = ...  # a number; 1: the same share

# %%
best = {kind: share("topic", kind).mean(axis=0).max() for kind in (SHORT, STRONG)}
compare(my_factor, best[STRONG] / best[SHORT], "times", within="30 %")
print(f"knowing topics saves the reader {usual['topics_save']:.2f} and {strong['topics_save']:.2f} nats")
show("topic", (SHORT, STRONG))
show("language", (SHORT, STRONG))
by_gate = [share("topic", kind, who=GATE).mean(axis=0) for kind in (SHORT, STRONG)]  # (layers,) each
print("a random gate, topic:", by_gate[0].round(3), "and with strong topics", by_gate[1].round(3))
assert 2.6 < (by_gate[1] / by_gate[0]).min() < (by_gate[1] / by_gate[0]).max() < 3.7
by_layer = share("topic", STRONG).mean(axis=0) / share("topic", SHORT).mean(axis=0)  # (layers,)
assert 2.5 < by_layer.min() < by_layer.max() < 5.5
assert (share("language", STRONG).mean(axis=0) < share("language", SHORT).mean(axis=0)).all()
assert 2.5 < strong["topics_save"] / usual["topics_save"] < 3.2

# %% [markdown]
# Three to five times the share, in every layer; of the *language* less. So no law keeps experts from telling of
# subjects. But a random gate tells about three times as much, too: the stream holds more. Longer
# training may change this.
#
# ## Ends of sentences, pieces of words
#
# The first token of a sentence follows an ending, the second piece of a word its first. So the blind hash, which
# understands nothing, tells something of both: nearly a fifth of what can be known.
#
# **Predict.** How many times as much as the blind hash do the trained experts tell, after 1,500 steps in their best
# layer: of positions, and of pieces?

# %% name="predict-blind" tags=["predict"]
my_times_the_hash = ...  # two numbers, 1: as much as the hash: [position, piece]

# %%
ratio = {about: share(about).mean(axis=0).max() / share(about, BLIND).mean() for about in claims.ABOUT}
compare(my_times_the_hash, [ratio["position"], ratio["piece"]], "times", within="30 %")
for about in claims.ABOUT:
    print(f"{about:<10} trained experts tell {ratio[about]:.1f} times what the blind hash tells")
space = {kind: np.mean([s["room"] for s in studies if s["kind"] == kind], axis=0) for kind in (SHORT, LONG, BLIND)}
print("room, bits, layer by layer:", {kind: bits.round(2).tolist() for kind, bits in space.items()})  # a hash: one
for kind in (SHORT, LONG):
    times = share("piece", kind).mean(axis=0) / space[kind] / (share("piece", BLIND).mean() / space[BLIND])  # (layers,)
    print(f"per bit of room, {kind}: of pieces so many times what the blind hash tells", times.round(2))
    assert f"{times.max():.2f}" == {SHORT: "0.78", LONG: "0.86"}[kind]
for about in ("position", "piece"):
    show(about, (SHORT, LONG, BLIND))
print("beyond the token and the one before: trained, random gate, hash of the token two before")
print("   in layer 4, on average | lowest of seeds and layers 2 to 4, of the hash the highest")
PAIR = claims.GIVEN[2]
for kind in (SHORT, LONG):
    for about in claims.ABOUT:
        ours, gate, two = share(about, kind, PAIR), share(about, kind, PAIR, GATE), share(about, TWO, PAIR)
        means = (ours[:, 3].mean(), gate[:, 3].mean(), two.mean())
        ends = (ours[:, 1:].min(), gate[:, 1:].min(), two.max())
        print(f"   {kind:<11} {about:<9}", np.round(means, 3), "|", np.round(ends, 3))
        assert min(ends[:2]) > ends[2]
print("who knows one token, and is told a class, saves, nats:", {a: round(x, 2) for a, x in usual["saves"].items()})
assert all(0.18 < share(about, BLIND).mean() < 0.2 for about in ("position", "piece"))
assert usual["saves"]["piece"] > usual["saves"]["topic"] > usual["saves"]["position"]
assert all((share("piece", kind).mean(axis=0) < share("position", kind).mean(axis=0)).all() for kind in (SHORT, LONG))
for kind in (SHORT, LONG):
    assert share("piece", kind).max() < share("piece", BLIND).min()
    assert share("position", kind).max(axis=1).mean() > share("position", BLIND).mean()
assert ratio["part"] > 3
assert all(share(about).mean(axis=0).argmax() == 3 for about in claims.ABOUT)

# %% [markdown]
# Pieces do go elsewhere. But the blind hash tells more of them than the trained experts, in every seed and at both
# lengths. (It has more room, 1.9 bits against 1.3. Per bit of room, in the best layer: .86 times as much after 1,500 steps,
# .78 after 500; longer training may turn it.) Positions they tell better than it, parts of speech three times as well
# after 1,500 steps.
#
# Given the token before as well, the blind hash tells nothing, by construction. From layer 2 on the experts tell more than
# a hash of the token *two* before, of all five classes, in every seed and at both lengths. But so does a random gate: the
# stream holds it. Only what the trained router tells beyond the gate is its own.
#
# What *pays* does not decide alone: beside one token, pieces save more on the next than positions (last line), and are
# told less.
#
# ## Layer by layer
#
# "Early layers know grammar, late layers topics." Take for each seed the layer that tells most of parts of speech, and
# the one that tells most of topics. Call it an order if one is the later in at least four of five seeds.
#
# **Predict.** After 1,500 steps: `topics later`, `parts later` or `no order`?

# %% name="predict-layers" tags=["predict"]
my_order = ...  # "topics later", "parts later" or "no order"

# %%
gaps = share("topic").argmax(axis=1) - share("part").argmax(axis=1)  # (seeds,)
compare(my_order, "topics later" if (gaps > 0).sum() > 3 else "parts later" if (gaps < 0).sum() > 3 else "no order")
for kind in (SHORT, LONG):
    layers = {about: share(about, kind).argmax(axis=1) + 1 for about in claims.ABOUT}  # (seeds,) each
    print(f"{kind}, most in layer, seed by seed:", {about: found.tolist() for about, found in layers.items()})
    later = layers["topic"] - layers["part"]  # (seeds,)
    print(f"   topic later than part in {(later > 0).sum()} seeds, earlier in {(later < 0).sum()}")
    assert (later > 0).sum() == (later < 0).sum() == (2 if kind == SHORT else 1)
    assert kind == SHORT or [(layers[about] == 4).sum() for about in ("topic", "part")] == [4, 4]
    off = np.array([s["layers_off"] for s in studies if s["kind"] == kind])  # (seeds, layers)
    print("   loss rises without all experts of a layer, nats:", off.mean(axis=0).round(2))
    assert (off[:, 0] > 5 * off[:, 1:].max(axis=1)).all()
    assert off[:, 0].min() > 1.7
    assert off[:, 1:].max() < {SHORT: 0.12, LONG: 0.24}[kind]
assert all((share(about, kind).argmin(axis=1) == 0).all() for about in claims.ABOUT for kind in (SHORT, LONG))

# %% [markdown]
# **Question for the picture:** go through the classes: which layer tells least? Given the token before as well, what is
# left of the blind hash?

# %% name="picture-layers"
GIVENS = {f"the {given}": given for given in claims.GIVEN[1:]}


def picture(about, given):
    """Share of what can be known that the experts tell, layer by layer"""
    lines = {kind: share(about, kind, given) for kind in (LONG, SHORT)}
    lines[f"{LONG}, random gate"] = share(about, LONG, given, GATE)
    lines[BLIND] = np.repeat(share(about, BLIND, given), 4, axis=1)
    return figures.layers_svg(lines, f"{about}, beyond the {given}", "share of what can be known")


Live(picture, about=choice("class", list(claims.ABOUT), "part"), given=choice("beyond", GIVENS, "token"))

# %% [markdown]
# You should see that in every class the first layer tells least, at both lengths, and that the hash falls to 0 with the
# token before. Parts of speech and topics are both told most in layer 4 in four of five seeds after 1,500 steps; after
# 500 the layer changes with the seed. No order of the two shows here; in deeper models one may. And telling is not being
# needed: without the first layer the loss rises by 1.7 nats or more, at both lengths, without one of the others by less
# than a quarter.
#
# ## Frequent and rare tokens
#
# > **Myth: "function words go to few experts, rare words are spread over many."** Count for each token how many different
# > experts are its first choice. We ask by frequency, and by use, for tokens that are often a function word and often
# > another word.
#
# **Predict.** In layer 2: divide the mean number of the 10 most frequent tokens by that of the 64 rarest. First over
# all occurrences in 200 documents, then over ten occurrences of each token.

# %% name="predict-experts" tags=["predict"]
my_ratios = ...  # two numbers, above 1 where frequent tokens meet more experts: [all, ten of each]


# %%
def experts(name, count, kind=LONG):
    """Different first choices of a token: mean over tokens, (seeds, layers)"""
    return np.array([[layer["experts"][name][count] for layer in s["layers"]] for s in studies if s["kind"] == kind])


frequent, *_, rare = bands = list(claims.BANDS)
ratios = [(experts(frequent, count)[:, 1] / experts(rare, count)[:, 1]).mean() for count in ("all", "equal")]
compare(my_ratios, ratios, within="15 %")
for count, words in (("all", "all occurrences"), ("equal", "ten of each")):
    print(words)
    for name in bands:
        print(f"   {name:<22}", *(f"{v.mean():>6.2f} ({v.min():.2f} to {v.max():.2f})" for v in experts(name, count).T))
dealt = np.mean([experts(name, "null") for name in bands], axis=(0, 1))  # (layers,)
print("ten experts dealt out anew, mean of the four bands:", dealt.round(2))
USES = [f"the same token as {use} word" for use in ("content", "function")]
for where in ("", " in one role"):
    uses = [experts(use + where, "equal") for use in USES]  # (seeds, layers) each
    for use, values in zip(USES, uses, strict=True):
        print(f"ten of {use + where:<43}", values.mean(axis=0).round(2))
    print("   as a function word fewer: seeds, layer by layer", (uses[1] < uses[0]).sum(axis=0))
    tokens = experts(USES[0] + where, "tokens")  # (seeds, layers)
    assert (tokens == 9).all()
    fewer = [
        experts(USES[0] + where, "equal", kind) - experts(USES[1] + where, "equal", kind) for kind in (SHORT, LONG)
    ]
    assert not where or (np.abs(fewer[0].mean(axis=0)) < 0.1).all()
    assert not where or 0.09 < fewer[1].mean(axis=0)[1:].min() < fewer[1].mean(axis=0)[1:].max() < 0.2
assert np.abs((experts(frequent, "equal") / experts(rare, "equal")).mean(axis=0)[1:] - 1).max() < 0.1
assert all((experts(name, "equal") < 0.6 * experts(name, "null")).all() for name in bands)
assert all((experts(USES[1], "equal", kind) < experts(USES[0], "equal", kind))[:, 1:].all() for kind in (SHORT, LONG))
assert experts(rare, "equal")[:, 0].mean().round(2) == 1.15
assert experts(frequent, "equal")[:, 0].mean().round(2) == 1.57
assert all((experts(rare, "equal", kind) < experts(frequent, "equal", kind))[:, 0].all() for kind in (SHORT, LONG))
assert ratios[0] > 1.2

# %% [markdown]
# The more often a token occurs, the more experts it meets: that is counting. In ten occurrences of each, from layer 2
# on, rare tokens meet as many as frequent ones on average over five seeds (single models differ), half of what chance
# would give or less. In the first layer the rare ones meet fewer: 1.15 against 1.57. So rare words are not spread.
#
# The other half is hardly so. From layer 2 on, in our five seeds and at both lengths, the *same token* meets fewer
# experts where it is a function word. But only nine tokens are often both, and a **role** (language, part, piece) may
# explain it. Within one role there is less than a tenth of an expert between them after 500 steps, a tenth or two after
# 1,500; with longer training, or more such tokens, there may be more.
#
# ## The claims, and what supports them
#
# | claim | here and in lesson 11 | published |
# |---|---|---|
# | experts have subjects | of topics the choice tells little, less than a random gate's; the stream holds much more. Of real domains beyond the token a quarter (11, no gate beside it) | no obvious pattern in Mixtral (Jiang et al. 2024, arXiv:2401.04088); near uniform in OpenMoE (Xue et al. 2024, arXiv:2402.01739); some in OLMoE for arXiv and GitHub (Muennighoff et al. 2024, arXiv:2409.02060); more without a balance loss in DeepSeek-V3 (2024, arXiv:2412.19437, Fig. 9), or with one over the global batch (Qiu et al. 2025, arXiv:2501.11873) |
# | experts have languages | more than half of what can be known, about half of that or more by a random gate as well | none in ST-MoE's multilingual model (Zoph et al. 2022, arXiv:2202.08906: they suspect balancing within small groups); some in OpenMoE, explained by tokens; in early and late layers (Bandarkar et al. 2025, arXiv:2510.04694) |
# | experts follow tokens and syntax | tokens, most of all in the first layer; parts of speech beyond the token, later | Mixtral; OpenMoE, tokens very strongly; ST-MoE's encoder, not its decoder |
# | first and last tokens, pieces go elsewhere | positions yes, in part there anyway; pieces less than a blind hash, which has more room | for some positions in OpenMoE; of pieces we know of none |
# | syntax early, subjects late | no order in five seeds: all that takes context is told after the first layer | no support: Mixtral aligns with syntax in its *first and last* layers; OpenMoE sees no difference by layer; Bandarkar et al.: languages apart in early and late layers, domains in the middle |
# | function words to few, rare words to many experts | rare words no; function words hardly, within one role | no source found |
#
# ## Recap
#
# 1. A yardstick: what an ideal reader knows of a class. Bits say little while nobody knows how many there were to tell.
# 2. Beyond the token is not yet understanding, and being told is not being chosen. Put a blind hash beside your
#    experts, and a random gate on the same states: much of what a choice tells, the stream holds.
# 3. A frequent token meets more experts because it occurs more often. Draw equally many occurrences of each.
# 4. After 1,500 steps, in layers 2 to 4, the trained router tells more than a random gate of language, parts, positions
#    and pieces, and less of topics. Of the beliefs, in this model: (1) a little, less than a random gate; (2) largely, half
#    to two thirds of it there anyway; (3) yes, in part there anyway; (4) yes, but less than a blind hash; (5) no order; (6)
#    no. Published models disagree.
#
# Nothing was tuned on these seeds: the learning rate is lesson 11's.
#
# **What this lesson cannot tell you:** what large models do with real languages. Ours has four layers; its two
# languages share all their tokens, which real ones do not; and its topics differ in word counts alone.
# Nor how a model would do whose gate stays random.
#
# ## Quiz
#
# {{quiz}}
#
# ## Next
#
# - Exercises: [](exercises:11), shared with lesson 11.
# - The code: [](module:experiments/claims), [](module:corpus/languages) and [](module:corpus/ideal_reader).

# %% [markdown] name="deeper-claims" tags=["deeper"]
# ## Deeper: three more claims
#
# How sure is the router (entropy, at most log₂ 8 = 3 bits)? In what share of the pairs have neighbours the same first
# choice, and what would the loads alone give?

# %% name="entropy-and-neighbours" tags=["deeper"]
NAMES = {
    "entropy": "entropy, bits of 3",
    "repeated": "neighbours agree",
    "repeated_by_load": "by the loads alone",  # what independent draws from the loads would give
}
for steps in study.LENGTHS:
    values = study.by_layer(study.load_results(), "moe", steps, lambda r: r["entropy_bits"])  # (seeds, layers)
    print(f"{steps} steps, lesson 11, entropy", values.mean(axis=0).round(2))
    assert (values.argmin(axis=1) == 0).all()
for kind in (SHORT, LONG, "untrained"):
    for key, name in NAMES.items():
        values = np.array([s[key] for s in studies if s["kind"] == kind])  # (seeds, layers)
        print(f"{kind:<11} {name:<19}", *(f"{v.mean():>7.2f} ({v.min():.2f} to {v.max():.2f})" for v in values.T))
        assert kind != SHORT or key != "entropy" or (values.argmin(axis=1) == 0).all()

# %% [markdown] name="deeper-claims-table" tags=["deeper"]
# | claim | here and in lesson 11 | published |
# |---|---|---|
# | later layers are decisive | on real text the first is the sharpest at both lengths; here after 500 steps, after 1,500 there is no order | one kind of token in ST-MoE's encoder; not its decoder |
# | neighbours share experts | no more than uneven loads explain, in the first layer less; on real text yes, untrained routers a part of it (11) | Mixtral: in middle and last layers, hardly in the first |
# | routing is fixed early | half after a tenth of a training, of 500 steps or of 1,500 (11, *deeper*) | OpenMoE; OLMoE, about 60 % after 1 % |

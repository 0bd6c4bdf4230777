/**
 * What the Gating Network Visualizer shows, as numbers and words: pure functions, which tests load without a browser.
 * Runs as one module with the files joined before and after it (visualizer.py).
 * state: {token, x, k, noise, noise_sample, temperature, form}, the traits of the Python object. W is (d, N).
 */

const STATE = ["token", "x", "k", "noise", "noise_sample", "temperature", "form"];
const DROPPED = { topk_softmax: "h → −∞", softmax_topk: "w → 0", softmax_topk_renorm: "w → 0" };

/** Everything the picture shows; `quiet` is the selection without noise, `plain` the weights at τ = 1. */
export function reading({ x, k, noise, noise_sample, temperature, form }, W) {
  const scores = logits(x, W); // (N)
  const added = noise_sample.map((sample) => noise * sample); // (N)
  const h = scores.map((score, i) => score + added[i]); // (N)
  return {
    scores,
    added,
    logits: h,
    probs: softmax(h, temperature),
    selected: topK(h, k),
    weights: gateWeights(h, k, form, temperature),
    quiet: topK(scores, k),
    plain: gateWeights(h, k, form, 1),
  };
}

/** The dot product of x with column i, written out. */
export function product(x, W, i) {
  const factor = (value) => (value < 0 ? `(${written(value)})` : written(value));
  const terms = x.map((value, row) => `${factor(value)}·${factor(W[row][i])}`);
  return `${terms.join(" + ")} =\u00a0${signed(logits(x, W)[i])}`;
}

/** The term of expert i in the output formula, "" for one that sleeps; the first term has no plus. */
export function term(i, { selected, weights }) {
  if (!selected.includes(i)) return "";
  const plus = i === Math.min(...selected) ? "" : " + ";
  return `${plus}${awake(weights[i])}·${name(i)}(x)`;
}

/** The weight of an expert that runs: it may be tiny, but it is not that of one that sleeps. */
function awake(weight) {
  return weight < 0.0005 ? "<0.001" : weight.toFixed(3);
}

/** What stands below an expert's name: its place among the kept, or what is done to one that is cut. */
export function place(i, form, { selected }) {
  const rank = selected.indexOf(i);
  return rank < 0 ? DROPPED[form] : `✓ ${ordinal(rank + 1)}`;
}

/** Where the middle of each weight lies, from 0 to 1, when the weights are stacked one behind another. */
export function middles(weights) {
  return weights.map((weight, i) => sumOf(weights.slice(0, i)) + weight / 2);
}

/** One expert from its column to its weight, in a sentence. */
export function followed(i, { x, noise }, { added, logits: h, selected, weights }, W, experts) {
  const noisy = noise === 0 ? "" : `, with noise ${signed(added[i])}: h =\u00a0${signed(h[i])}`;
  const rank = selected.indexOf(i);
  const runs = () => `It runs, ${ordinal(rank + 1)} of ${selected.length}, weight ${awake(weights[i])}.`;
  const fate = rank < 0 ? "It is asleep." : runs();
  return `${name(i)} ${experts[i]}: x·w = ${product(x, W, i)}${noisy}. ${fate}`;
}

/** The picture in words: who runs with which weight, and who sleeps. */
export function described({ selected, weights }, experts) {
  const run = selected.map((i) => `${name(i)} ${experts[i]} ${awake(weights[i])}`).join(", ");
  const rest = experts.map((_, i) => i).filter((i) => !selected.includes(i));
  const sleep = rest.length === 0 ? "" : ` Asleep: ${rest.map(name).join(", ")}.`;
  return `Active: ${run}.${sleep} Sum of the weights: ${sumOf(weights).toFixed(3)}.`;
}

/** Four pairs [control, what it does now]. experts: the experts' names. */
export function story(state, now, experts) {
  return [
    ["k", storyOfCount(now, experts)],
    ["noise", storyOfNoise(state, now, experts)],
    ["τ", storyOfTemperature(state, now)],
    ["form", storyOfForm(state, now)],
  ];
}

/** The longest that the four sentences, that about an expert, and the formula can become: for the room they need. */
export function longest(W, experts) {
  const widest = experts.map((_, i) => i).sort((a, b) => experts[b].length - experts[a].length);
  const [four, some] = [widest.slice(0, 4), experts.map(() => 0.123)];
  const state = { x: W.map(() => -2.345), k: 4, noise: 1, temperature: 0.1234, form: "softmax_topk" };
  const low = experts.map(() => -99.99);
  const now = { logits: low, added: low, selected: four, quiet: widest.slice(1), weights: some, plain: low };
  const told = story(state, now, experts).map(([, text]) => text);
  told[1] = storyOfNoise(state, { ...now, selected: widest.slice(1), quiet: four }, experts);
  told[2] = storyOfTemperature({ ...state, k: 5 }, { ...now, selected: widest });
  const faint = { selected: widest, weights: experts.map(() => 0) };
  const pointed = followed(widest[0], state, { ...now, weights: faint.weights }, W.map((row) => row.map(() => -0.5)), experts);
  return { told, pointed, formula: `y = ${experts.map((_, i) => term(i, faint)).join("")}` };
}

function storyOfCount({ logits: h, selected }, experts) {
  const [k, n] = [selected.length, experts.length];
  if (k === n) return `All ${n} experts run: the dense mixture. Nothing is saved.`;
  const run = `${k} of ${n} experts ${k === 1 ? "runs" : "run"}: ${listed(selected, experts)}.`;
  const sleep = n - k === 1 ? "The other is asleep" : "The others are asleep";
  const next = topK(h, k + 1)[k];
  const tie = h[next] === h[selected[k - 1]] ? " Equal logits: lower number first." : "";
  return `${run} ${sleep}: not computed, weight 0.${tie}`;
}

function storyOfNoise({ noise, k }, { selected, quiet }, experts) {
  if (noise === 0) return "None: x and W_g alone decide who runs.";
  if (k === experts.length) return "It moves the logits; with this k every expert runs anyway.";
  const same = quiet.every((i) => selected.includes(i));
  if (same) return "It moves the logits; the same experts run without it.";
  return `It changes who runs: without it ${listed(quiet, experts)}.`;
}

function storyOfTemperature({ temperature, k, form }, { selected, weights, plain }) {
  if (temperature === 1) return "τ = 1 leaves the logits as they are.";
  const now = `τ = ${written(temperature)}`;
  const moved = weights.some((weight, i) => Math.abs(weight - plain[i]) >= 0.0005);
  if (moved) {
    const before = inOrder(selected).map((i) => `${name(i)} ${awake(plain[i])}`);
    return `${now} changes the weights, not who runs. At τ = 1: ${before.join(", ")}.`;
  }
  if (k === 1 && form !== "softmax_topk") return `${now} changes nothing: a single expert always gets weight 1.`;
  return `${now} changes neither who runs nor, here, their weights.`;
}

function storyOfForm({ form, k }, { weights, selected }) {
  const total = sumOf(weights);
  if (k === weights.length) return "With every expert kept, the three forms agree.";
  if (form === "softmax_topk") {
    if (1 - total < 0.0005) return "The sleepers would get next to nothing, so the weights sum to nearly 1.";
    const kept = total.toFixed(3);
    return `The weights sum to ${kept}, the kept mass: y has the direction it has in A and B′, times ${kept}.`;
  }
  if (k === 1) return `The only expert that runs, ${name(selected[0])}, gets weight 1 whatever its logit.`;
  return "The weights of those that run are shared out anew: they sum to 1.";
}

function sumOf(values) {
  return values.reduce((sum, value) => sum + value, 0);
}

function inOrder(indices) {
  return [...indices].sort((a, b) => a - b);
}

/** One kind of token, by its name. */
function kindOf({ kinds }, name) {
  return kinds.find((kind) => kind.name === name);
}

function listed(indices, experts) {
  return indices.map((i) => `${name(i)} ${experts[i]}`).join(", ");
}

/** A number as short as four digits allow. */
function written(value) {
  return String(Number(value.toPrecision(4))).replace("-", "−");
}

function ordinal(place) {
  return `${place}${["st", "nd", "rd"][place - 1] ?? "th"}`;
}

/** The sample after `current` in the list of samples, the first after the last or after one of the learner's own. */
export function nextSample(samples, current) {
  const at = samples.findIndex((sample) => equal(sample, current));
  return samples[(at + 1) % samples.length];
}

function equal(a, b) {
  return a.length === b.length && a.every((value, i) => value === b[i]);
}

/** The temperature at a place of its slider, which holds log10 τ; three digits, inside [low, high]. */
export function temperatureAt(place, [low, high]) {
  return clamp(Number((10 ** place).toPrecision(3)), low, high);
}

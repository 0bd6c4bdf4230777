/**
 * The Gating Network Visualizer: one token's way through a router, from its vector to the output formula.
 * Runs as one module with routing.js, dom.js and help.js, which are joined in front of it (visualizer.py). First the
 * pure functions, then the explanations, then the drawing: `build…` makes all nodes once, `draw…` rewrites them in place.
 * state: {token, x, k, noise, noise_sample, temperature, form}, the traits of the Python object. W is (d, N).
 */

const LONGEST_LOGIT = 4; // a bar ends at a logit of ±4
const THICKEST_WIRE = 8; // pixels, at a weight of 1
const STATE = ["token", "x", "k", "noise", "noise_sample", "temperature", "form"];
const FORMS = {
  topk_softmax: "A: top-k → softmax",
  softmax_topk: "B: softmax → top-k",
  softmax_topk_renorm: "B′: softmax → top-k → renormalise",
};
const DROPPED = { topk_softmax: "h → −∞", softmax_topk: "w → 0", softmax_topk_renorm: "w → 0" };

// ---------------------------------------------------------------- pure functions

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

/** Four pairs [control, what it does now]. experts: the experts' names. */
export function story(state, now, experts) {
  return [
    ["k", storyOfCount(now, experts)],
    ["noise", storyOfNoise(state, now, experts)],
    ["τ", storyOfTemperature(state, now)],
    ["form", storyOfForm(state, now)],
  ];
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

// ---------------------------------------------------------------- explanations

const HELP = {
  token:
    "One token of the text, the underlined one. The router decides for every token anew. The five tokens and their " +
    "vectors are planted by us.",
  input:
    "x stands for the token: its hidden state after attention. In a real model that is 768 numbers (the small GPT-2) " +
    "to 7,168 (DeepSeek-V3); here it is six. Press “Edit x” to change them. The gate sees nothing else.",
  gate:
    "The whole gate is this matrix, W_g: one column for each expert, its prototype. Multiply x with a column, number " +
    "by number, and add up: that is the expert's score. A model learns W_g; we planted this one.",
  score: "x·W_g: the dot product of x with each column. Point at an expert's name to see the sum written out.",
  sample:
    "ε: one Gaussian random number for each expert. It stays frozen while you move the noise control; “New noise” " +
    "takes the next one.",
  noise:
    "Noise times ε is added to the scores. It can change who runs. Routers that use noise do so in training only.",
  logit:
    "h = x·W_g + noise · ε. Only the differences between logits matter from here on. In the table, « or » beside a " +
    "number says that its bar would be longer than its box.",
  topk:
    "The k largest logits win; of equal ones the lower number comes first. The others are taken out: set to −∞ before " +
    "a softmax, to 0 after one. A logit of 0 before the softmax would still get a share.",
  weight: "The weights that the output uses. They come from the kept experts, in the way the gate form says.",
  experts:
    "All experts that run work at the same time, on the same x. One that is asleep is not computed for this token: no " +
    "work, weight exactly 0. It still takes memory, and the next token may wake it.",
  prob:
    "The softmax of all five logits, divided by τ first: what the weights would be if all five ran. It is not the " +
    "chance that an expert is the best one.",
  share:
    "What reaches the output: 0 for every expert that is asleep. It equals the probability only in form B, " +
    "or when all experts run.",
  output: "y is the sum of what the active experts return, each times its weight. E1(x) is a vector as wide as x.",
  k: "How many experts run for this token. Work grows with k, not with the number of experts.",
  temperature:
    "τ divides the logits before the softmax. Small τ: nearly everything for the best; large τ: equal shares. The " +
    "order of the logits stays, so τ never changes who runs.",
  form:
    "A (Shazeer et al. 2017): softmax over the kept logits. B (Switch, OLMoE): the kept probabilities as they are. " +
    "B′ (Mixtral in the library transformers): the kept probabilities divided by their sum, which equals A.",
};

// ---------------------------------------------------------------- controls

/** Everything that is set: token, edit mode, k, noise, τ, form. */
function buildControls(desk) {
  const controls = { fields: [], choices: [], state: null, typing: null };
  controls.edit = button("Edit x", () => desk.root.classList.toggle("editing"));
  controls.root = html(
    "div", { class: "controls" },
    tokenGroup(desk, controls),
    group(desk.help("k", HELP.k), countChoice(desk, controls)),
    noiseGroup(desk, controls),
    temperatureGroup(desk, controls),
    group(desk.help("Gate form", HELP.form), formChoice(desk, controls)),
    group(button("Reset", () => reset(desk, controls))),
  );
  return controls;
}

function reset({ root, model, change }, { edit }) {
  root.classList.remove("editing");
  write(edit, { "aria-pressed": false }); // nothing is drawn where the state is the initial one already
  change(model.get("initial"));
}

function tokenGroup(desk, controls) {
  const { setting, change, help } = desk;
  controls.back = button("Back to preset", () => change({ x: kindOf(setting, controls.state.token).x }));
  return group(help("Token", HELP.token), tokenChoice(desk, controls), controls.edit, controls.back);
}

function noiseGroup(desk, controls) {
  const { setting, model, change, help } = desk;
  const limits = { min: 0, max: setting.largestNoise, step: 0.05 };
  const redraw = () => change({ noise_sample: nextSample(readText(model, "samples"), controls.state.noise_sample) });
  const nodes = slider(desk, controls, { key: "noise", label: "noise", limits });
  return group(help("noise", HELP.noise), ...nodes, button("New noise", redraw));
}

function temperatureGroup(desk, controls) {
  const [low, high] = desk.setting.temperatures;
  const [range, typed] = slider(desk, controls, {
    key: "temperature",
    label: "temperature τ",
    limits: { min: low, max: high, step: "any" },
    scale: {
      limits: { min: Math.log10(low), max: Math.log10(high), step: 0.05 },
      to: Math.log10,
      from: (place) => temperatureAt(place, [low, high]),
    },
  });
  controls.temperature = range;
  return group(desk.help("τ", HELP.temperature), range, typed);
}

function group(...nodes) {
  return html("div", { class: "group" }, ...nodes.map((node) => node.button ?? node));
}

function tokenChoice({ setting, change }, controls) {
  const options = setting.kinds.map(({ name: kind, text, token }) => {
    const [before, after] = text.split(token);
    const example = html("span", { class: "text" }, before, html("u", {}, token), after);
    return [kind, html("span", { class: "kind" }, kind), example];
  });
  const pick = (token) => change({ token, x: kindOf(setting, token).x });
  return choice(controls, "token", "Token", options, pick);
}

function countChoice({ setting, change }, controls) {
  const options = setting.experts.map((_, i) => [String(i + 1), String(i + 1)]);
  return choice(controls, "k", "k, experts that run", options, (k) => change({ k: Number(k) }));
}

function formChoice({ change }, controls) {
  return choice(controls, "form", "Gate form", Object.entries(FORMS), (form) => change({ form }));
}

/** Radio buttons for one trait. options: [value, ...content]. The browser moves between them with the arrow keys. */
function choice(controls, key, label, options, pick) {
  const family = `${key}-${Math.random().toString(36).slice(2)}`; // two widgets on a page must not share a name
  const inputs = options.map(([value]) => {
    const attributes = { type: "radio", name: family, value, "data-field": `${key}-${value}`, ...OWN_KEYS };
    const input = html("input", attributes);
    input.addEventListener("change", () => pick(value));
    return input;
  });
  controls.choices.push({ key, inputs });
  const chips = options.map(([, ...content], i) => html("label", { class: "chip" }, inputs[i], ...content));
  return html("div", { class: `choice ${key}`, role: "radiogroup", "aria-label": label }, ...chips);
}

/** A slider and a number input for one trait; `scale` says what the slider holds when it is not the value itself. */
function slider(desk, controls, { key, label, limits, scale }) {
  const { limits: reach, to, from } = scale ?? { limits, to: (value) => value, from: (place) => place };
  const names = { "aria-label": label, "data-field": `${key}-slider` };
  const range = html("input", { type: "range", ...names, ...OWN_KEYS, ...reach });
  const typed = numberInput(label, key, limits);
  const place = (text) => ({ [key]: from(Number(text)) });
  const parse = (text, state) => ({ [key]: numberFrom(text, limits.min, limits.max, state[key]) });
  addField(desk, controls, { input: range, read: (state) => to(state[key]), parse: place });
  addField(desk, controls, { input: typed, read: (state) => state[key], parse });
  return [range, typed];
}

function addField({ change }, controls, field) {
  controls.fields.push(field);
  listen(field, controls, change);
  field.input.addEventListener("keydown", (event) => {
    if (event.key === "Enter") drawField(field, controls.state); // a number out of range gives way to the one in use
  });
}

function drawChoices({ root, setting }, controls, state) {
  for (const { key, inputs } of controls.choices) {
    for (const input of inputs) input.checked = input.value === String(state[key]);
  }
  write(controls.temperature, { "aria-valuetext": written(state.temperature) }); // not its logarithm
  controls.back.disabled = equal(state.x, kindOf(setting, state.token).x);
  write(controls.edit, { "aria-pressed": root.classList.contains("editing") });
}

// ---------------------------------------------------------------- input, gate, experts

/** One table: the rows of x and W_g side by side, below them the gate's steps, below them the experts. */
function buildGate(desk, controls) {
  const { setting, help } = desk;
  const columns = setting.experts.map((expert, i) => buildColumn(desk, expert, i));
  const entries = setting.W_g.map((_, row) => buildEntry(desk, controls, row));
  const ofToken = html("th", { scope: "col", class: "of-token" });
  const heads = html("tr", {}, ofToken, ...columns.map((column) => column.head));
  const weights = entries.map((entry, row) => html("tr", {}, entry.root, ...columns.map((column) => column.weights[row])));
  const steps = STEPS.map(({ key, title }) => buildStep(key, help(title, HELP[key]), columns));
  const experts = help("3 Experts", HELP.experts);
  const root = html(
    "table", { class: "gate" },
    html("colgroup", {}, html("col", { class: "labels" }), ...columns.map(() => html("col"))),
    html("thead", {}, buildTitles(desk, columns.length), heads),
    html("tbody", {}, ...weights),
    html("tbody", { class: "steps" }, ...steps.map((step) => step.root)),
    html("tfoot", {}, html("tr", {}, rowHead(experts.button), ...columns.map((column) => column.foot))),
  );
  return { root, columns, entries, steps, ofToken };
}

const STEPS = [
  { key: "score", title: "x·W_g" },
  { key: "sample", title: "ε, frozen" },
  { key: "noise", title: "+ noise·ε" },
  { key: "logit", title: "= logit h" },
  { key: "topk", title: "top-k" },
  { key: "weight", title: "weight w" },
];

function buildTitles({ help }, numExperts) {
  const [input, gate] = [help("1 Input x", HELP.input), help("2 Gate: h = x·W_g", HELP.gate)];
  const over = { scope: "colgroup", colspan: numExperts, class: "part" };
  return html("tr", {}, html("th", { scope: "col", class: "part" }, input.button), html("th", over, gate.button));
}

/** The nodes of one expert, from its name down to its card. */
function buildColumn({ setting, help }, expert, i) {
  const title = html("b", { class: "badge" }, name(i));
  const { button: node, tip } = help(title, "");
  const head = html("th", { scope: "col", style: expertStyle(i) }, node, html("div", { class: "expert" }, expert));
  const weights = setting.W_g.map((row) => html("td", { style: expertStyle(i) }, written(row[i])));
  const steps = STEPS.map(({ key }) => html("td", { class: key, style: expertStyle(i) }));
  const wire = html("div", { class: "wire", "aria-hidden": "true" });
  const [status, load] = [html("span", { class: "status" }), html("span", { class: "load" })];
  const names = [html("b", {}, name(i)), html("span", { class: "expert" }, expert)];
  const card = html("div", { class: "card" }, ...names, status, load);
  const foot = html("td", { class: "foot", style: expertStyle(i) }, wire, card);
  return { head, weights, steps, wire, card, status, load, foot, tip };
}

/** One entry of x: its name, a bar and its number, which is an input in edit mode. */
function buildEntry(desk, controls, row) {
  const { reach } = desk.setting;
  const { number, bar } = buildBar("from-middle");
  const label = `x${row + 1}`;
  const input = numberInput(label, label, { min: -reach, max: reach, step: 0.1 });
  const parse = (text, state) => ({ x: replaced(state.x, row, numberFrom(text, -reach, reach, state.x[row])) });
  addField(desk, controls, { input, read: (state) => state.x[row], parse });
  const axis = html("span", { class: "axis" }, "x", html("sub", {}, String(row + 1)));
  const root = html("th", { scope: "row", class: "entry" }, axis, bar.parentElement, number, input);
  return { root, number, bar };
}

function buildStep(key, { button: node }, columns) {
  const at = STEPS.findIndex((step) => step.key === key);
  const note = html("span", { class: "note" });
  const root = html("tr", { class: `step ${key}` }, rowHead(node, note), ...columns.map((column) => column.steps[at]));
  return { key, root, note };
}

function rowHead(...nodes) {
  return html("th", { scope: "row" }, ...nodes);
}

function drawGate(gate, { setting }, state, now) {
  const kind = kindOf(setting, state.token);
  say(gate.ofToken, `of “${kind.token}”${equal(state.x, kind.x) ? "" : ", edited"}`);
  gate.entries.forEach((entry, row) => drawSigned(entry, state.x[row], setting.reach));
  for (const step of gate.steps) {
    say(step.note, stepNote(step.key, state, now));
    step.root.classList.toggle("unused", step.key === "sample" && state.noise === 0);
  }
  gate.columns.forEach((column, i) => drawColumn(column, i, setting, state, now));
}

/** What stands beside the name of a step. */
function stepNote(key, { noise, k, form }, { probs, selected }) {
  if (key === "sample") return noise === 0 ? "not used" : "";
  if (key === "noise") return `noise = ${written(noise)}`;
  if (key === "topk") return `k = ${k}`;
  if (key !== "weight") return "";
  const kept = sumOf(selected.map((i) => probs[i])).toFixed(3);
  return form === "topk_softmax" ? "softmax of kept" : form === "softmax_topk" ? "prob if kept" : `prob / ${kept}`;
}

function drawColumn(column, i, setting, state, now) {
  const rank = now.selected.indexOf(i);
  const active = rank >= 0;
  const texts = [
    signed(now.scores[i]),
    signed(state.noise_sample[i]),
    signed(now.added[i]),
    signed(now.logits[i]),
    active ? `✓ ${ordinal(rank + 1)}` : DROPPED[state.form],
    active ? awake(now.weights[i]) : "0",
  ];
  column.steps.forEach((cell, step) => say(cell, texts[step]));
  const cells = [column.head, ...column.weights, ...column.steps, column.foot];
  for (const node of cells) node.classList.toggle("active", active);
  say(column.status, active ? "● active" : "○ asleep");
  say(column.load, active ? `× ${awake(now.weights[i])}` : "not run");
  column.wire.style.setProperty("--thick", `${active ? Math.max(1.5, THICKEST_WIRE * now.weights[i]) : 1}px`);
  say(column.tip, `${name(i)} ${setting.experts[i]}: x·w = ${product(state.x, setting.W_g, i)}`);
}

// ---------------------------------------------------------------- table and output

function buildReadout({ setting, help }) {
  const helps = [null, help("Logit", HELP.logit), help("Prob", HELP.prob), help("Weight", HELP.share)];
  const heads = helps.map((one) => html("th", { scope: "col" }, one ? one.button : "Expert"));
  const rows = setting.experts.map((expert, i) => buildRow(expert, i));
  const sums = [html("td"), html("td"), html("td")];
  const root = html(
    "table", { class: "readout" },
    html("caption", {}, html("b", {}, "4 Table")),
    html("thead", {}, html("tr", {}, ...heads)),
    html("tbody", {}, ...rows.map((row) => row.root)),
    html("tfoot", {}, html("tr", {}, html("th", { scope: "row" }, "sum"), ...sums)),
  );
  return { root, rows, sums };
}

function buildRow(expert, i) {
  const mark = html("span", { class: "mark" });
  const head = html("th", { scope: "row" }, html("span", { class: "badge" }, name(i)), ` ${expert}`, mark);
  const [logit, prob, weight] = [buildBar("from-middle"), buildBar(""), buildBar("")];
  const root = html("tr", { style: expertStyle(i) }, head, logit.root, prob.root, weight.root);
  return { root, mark, logit, prob, weight };
}

function drawReadout({ rows, sums }, now) {
  rows.forEach((row, i) => {
    const active = now.selected.includes(i);
    row.root.classList.toggle("active", active);
    say(row.mark, active ? "✓ active" : "asleep");
    drawSigned(row.logit, now.logits[i], LONGEST_LOGIT);
    drawShare(row.prob, now.probs[i]);
    drawShare(row.weight, now.weights[i], active ? awake(now.weights[i]) : "0"); // none at all, not merely a small one
  });
  ["", sumOf(now.probs).toFixed(3), sumOf(now.weights).toFixed(3)].forEach((text, i) => say(sums[i], text));
}

/** The formula, the list of active experts, the sum of the weights. */
function buildOutput({ setting, help }) {
  const terms = setting.experts.map((_, i) => html("span", { class: "term", style: expertStyle(i) }));
  const [active, total] = [html("p", { class: "active-experts" }), html("p", { class: "total" })];
  const root = html(
    "div", { class: "output" },
    html("p", { class: "part" }, help("5 Output", HELP.output).button),
    html("p", { class: "formula" }, "y = ", ...terms),
    active, total,
  );
  return { root, terms, active, total };
}

function drawOutput({ terms, active, total }, { setting }, state, now) {
  terms.forEach((node, i) => say(node, term(i, now)));
  say(active, `Active: ${listed(now.selected, setting.experts)} (${state.k} of ${setting.experts.length})`);
  say(total, `Sum of the weights: ${sumOf(now.weights).toFixed(3)}`);
}

/** What each control does now; a screen reader reads the lines that change. */
function buildStory() {
  const lines = repeat(4, () => ({ control: html("dt"), text: html("dd") }));
  const pairs = lines.map(({ control, text }) => html("div", {}, control, text));
  const attributes = { class: "story", "aria-live": "polite", "aria-label": "What each control does now" };
  return { root: html("dl", attributes, ...pairs), lines };
}

function drawStory({ lines }, { setting }, state, now) {
  story(state, now, setting.experts).forEach(([control, text], i) => {
    say(lines[i].control, control);
    say(lines[i].text, text);
  });
}

// ---------------------------------------------------------------- the widget

/** Build all parts; returns the function that draws the model's present state. */
function drawing({ root, model, change, signal }) {
  const desk = { root, model, change, setting: readText(model, "setting"), help: explanations(root, signal) };
  const controls = buildControls(desk);
  const gate = buildGate(desk, controls);
  const [readout, output, told] = [buildReadout(desk), buildOutput(desk), buildStory()];
  const side = html("div", { class: "side" }, readout.root, output.root);
  const flow = html("div", { class: "flow" }, html("div", { class: "scroll" }, gate.root), side);
  root.prepend(controls.root, flow, told.root);
  const draw = () => {
    const state = Object.fromEntries(STATE.map((key) => [key, model.get(key)]));
    const now = reading(state, desk.setting.W_g);
    drawControls(controls, state);
    drawChoices(desk, controls, state);
    drawGate(gate, desk, state, now);
    drawReadout(readout, now);
    drawOutput(output, desk, state, now);
    drawStory(told, desk, state, now);
    const { logits: h, probs, selected, weights } = now;
    write(root, { "data-state": JSON.stringify({ ...state, logits: h, probs, selected, weights }) });
  };
  controls.edit.addEventListener("click", draw);
  return draw;
}

export default { render: (context) => bound(context, "moe-visualizer", STATE, drawing) };

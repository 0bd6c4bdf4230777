/**
 * The text viewer: a text in the colours and numbers of the experts that its tokens were sent to, and one token's trace.
 * Runs as one module with routing.js and dom.js, which are joined in front of it (text_viewer.py). First the pure
 * functions, then the drawing: `build…` makes nodes, `draw…` rewrites them in place.
 * state: {passage, stage, layer, token, expert}, counted from 1; expert 0 lets none stand out. setting: {passages, stages,
 * layers, experts, k, form}; a passage: {name, pieces (T), next, logits (stages, layers, T, N), loss (stages, T)}.
 */

const STATE = ["passage", "stage", "layer", "token", "expert"];
const LONGEST_LOGIT = 6; // a bar ends at a logit of ±6
const LINE_END = "⏎";

// ---------------------------------------------------------------- pure functions

/** Everything the picture shows. selected: (T, k); load: tokens that have each expert among their k (N). */
export function reading(state, { passages, experts, k, form }) {
  const passage = passages[state.passage - 1];
  const place = Math.min(state.token, passage.pieces.length); // counted from 1
  const logitsOf = (layer) => passage.logits[state.stage - 1][layer]; // (T, N)
  const selected = logitsOf(state.layer - 1).map((h) => topK(h, k)); // (T, k)
  const h = logitsOf(state.layer - 1)[place - 1]; // (N)
  return {
    place,
    length: passage.pieces.length,
    piece: passage.pieces[place - 1],
    next: passage.pieces[place] ?? passage.next,
    loss: passage.loss[state.stage - 1][place - 1],
    selected,
    load: loadOf(selected, experts),
    repeated: repetition(selected),
    logits: h,
    probs: softmax(h),
    chosen: selected[place - 1],
    weights: gateWeights(h, k, form),
    layers: passage.logits[state.stage - 1].map((layer) => topK(layer[place - 1], k)), // (layers, k)
  };
}

/** How many tokens have each expert among their k. selected: (T, k). Returns (N). */
export function loadOf(selected, numExperts) {
  const load = repeat(numExperts, () => 0);
  for (const chosen of selected) for (const i of chosen) load[i] += 1;
  return load;
}

/** [neighbours with the same first choice, pairs of neighbours]. */
export function repetition(selected) {
  const same = selected.filter((chosen, at) => at > 0 && chosen[0] === selected[at - 1][0]);
  return [same.length, Math.max(0, selected.length - 1)];
}

/** Where a key leads from `place` (counted from 1) among T tokens; `place` itself for other keys. */
export function placeAfter(key, place, T) {
  const leads = { ArrowRight: place + 1, ArrowLeft: place - 1, ArrowDown: place + 10, ArrowUp: place - 10, Home: 1, End: T };
  return clamp(leads[key] ?? place, 1, T);
}

/** What the chosen token went through, as a sentence. */
export function story(state, now, { stages, experts }) {
  const shares = now.chosen.map((i) => `${name(i)} (weight ${now.weights[i].toFixed(2)})`);
  const where = `layer ${state.layer}, ${stages[state.stage - 1]}`;
  const run = now.chosen.length === 1 ? "runs" : "run";
  return `Token ${now.place} “${now.piece}”, ${where}: of ${experts} experts ${shares.join(" and ")} ${run}. ${lossOf(now)}`;
}

function lossOf({ loss, next }) {
  if (loss === null) return "No token follows, so there is no loss.";
  return `The next token is “${next}”: the model's loss there is ${loss.toFixed(2)} nats.`;
}

/** The layers' experts for the chosen token. */
export function wayOf({ layers }) {
  return layers.map((chosen, at) => `layer ${at + 1}: ${chosen.map(name).join(" + ")}`).join(", ");
}

/** What colours, numbers and lines of the text mean. */
export function keyOf({ expert }, { k }) {
  if (expert === 0) return "Colour and number of a token: its first choice.";
  const one = name(expert - 1);
  const first = `Filled: ${one} is the first choice.`;
  return k === 1 ? first : `${first} Dashed: ${one} runs too, but the number names the first choice. Grey: without ${one}.`;
}

/** How the passage's tokens are spread. */
export function spreadOf({ load, repeated: [same, pairs], length }) {
  const counts = load.map((tokens, i) => `${name(i)} ${tokens}`).join(", ");
  return `Tokens of these ${length} that have it among their experts: ${counts}. ` +
    `First choice the same as the token before: ${same} of ${pairs}.`;
}

// ---------------------------------------------------------------- controls

function buildSwitches(desk) {
  const { setting, change } = desk;
  const numbers = (count, word) => repeat(count, (i) => [i + 1, `${word}${i + 1}`]);
  const experts = [[0, "all"], ...numbers(setting.experts, "E")];
  const texts = setting.passages.map((passage, i) => [i + 1, passage.name]);
  const stages = setting.stages.map((stage, i) => [i + 1, stage]);
  const families = [
    ["passage", "Text", texts],
    ["stage", "Model", stages],
    ["layer", "Layer", numbers(setting.layers, "")],
    ["expert", "Stand out", experts],
  ];
  const choices = families.map(([key, label, options]) => buildChoice(key, label, options, change));
  const root = html("div", { class: "controls" }, ...choices.map((choice) => choice.root));
  return { root, choices };
}

/** Radio buttons for one trait. options: [number, text]. The browser moves between them with the arrow keys. */
function buildChoice(key, label, options, change) {
  const family = `${key}-${Math.random().toString(36).slice(2)}`; // two viewers on a page must not share a name
  const inputs = options.map(([value]) => {
    const attributes = { type: "radio", name: family, value, "data-field": `${key}-${value}`, ...OWN_KEYS };
    const input = html("input", attributes);
    input.addEventListener("change", () => change({ [key]: value }));
    return input;
  });
  const chips = options.map(([value, text], i) => {
    const own = key === "expert" && value > 0 ? ownedBy(value - 1) : {};
    return html("label", { class: "chip", ...own }, inputs[i], html("span", { class: "badge" }, text));
  });
  const attributes = { class: `choice ${key}`, role: "radiogroup", "aria-label": label };
  return { key, inputs, root: html("div", attributes, html("b", {}, label), ...chips) };
}

function drawSwitches({ choices }, state) {
  for (const { key, inputs } of choices) {
    for (const input of inputs) input.checked = Number(input.value) === state[key];
  }
}

/** A number input for the token, for those who do not click. */
function buildPlace(desk, controls) {
  const input = numberInput("Token, by number", "token", { min: 1, step: 1 });
  const length = html("span");
  const parse = (text, state) => ({ token: countFrom(text, controls.length, state.token) });
  const field = { input, read: (state) => Math.min(state.token, controls.length), parse };
  controls.fields.push(field);
  listen(field, controls, desk.change);
  return { root: html("label", { class: "place" }, html("b", {}, "Token"), input, length), length, input };
}

// ---------------------------------------------------------------- the text

/** A list of tokens to choose from: one stop of the tab key, arrow keys inside it. */
function buildText(desk) {
  const prefix = `token-${Math.random().toString(36).slice(2)}`;
  const label = "Text; arrow keys choose a token";
  const root = html("div", { class: "text", role: "listbox", tabindex: "0", "aria-label": label, ...OWN_KEYS });
  const text = { root, prefix, tokens: [], passage: 0 };
  root.addEventListener("click", (event) => {
    const at = text.tokens.findIndex((token) => token.root.contains(event.target));
    if (at >= 0) desk.change({ token: at + 1 });
  });
  root.addEventListener("keydown", (event) => {
    const place = placeAfter(event.key, text.place, text.tokens.length);
    if (place === text.place) return;
    event.preventDefault(); // the page would scroll
    desk.change({ token: place });
    keepInView(root, text.tokens[place - 1].root);
  });
  return text;
}

/** Scroll `box` alone, not the page, until `node` is inside it. */
function keepInView(box, node) {
  const [outer, inner] = [box.getBoundingClientRect(), node.getBoundingClientRect()];
  box.scrollTop += Math.min(0, inner.top - outer.top - 4) + Math.max(0, inner.bottom - outer.bottom + 4);
}

function fillText(text, passage, { pieces }) {
  text.passage = passage;
  text.tokens = pieces.map((piece, at) => {
    const number = html("sub"); // its name is drawn by its style: read aloud is the token's label, which has it too
    const root = html("span", { class: "token", role: "option", id: `${text.prefix}-${at + 1}` }, piece, number);
    return { root, number, piece };
  });
  const nodes = text.tokens.flatMap(({ root, piece }) => (piece.includes(LINE_END) ? [root, html("br")] : [root]));
  text.root.replaceChildren(...nodes);
}

function drawText(text, { setting }, state, now) {
  if (text.passage !== state.passage) fillText(text, state.passage, setting.passages[state.passage - 1]);
  text.place = now.place;
  text.tokens.forEach(({ root, number, piece }, at) => {
    const [first, ...others] = now.selected[at];
    write(number, { "data-name": name(first) });
    write(root, {
      ...ownedBy(first),
      title: `${at + 1}: ${now.selected[at].map(name).join(" + ")}`,
      "aria-label": `${piece}, ${name(first)}`,
      "aria-selected": String(at + 1 === now.place),
    });
    const stands = state.expert === first + 1 ? "first" : others.includes(state.expert - 1) ? "also" : "no";
    write(root, { "data-stands": state.expert === 0 ? "all" : stands });
  });
  write(text.root, { "aria-activedescendant": `${text.prefix}-${now.place}` });
}

// ---------------------------------------------------------------- the trace of a token

function buildTrace({ setting }) {
  const heads = ["Expert", "Logit", "Prob", "Weight"].map((head) => html("th", { scope: "col" }, head));
  const rows = repeat(setting.experts, buildRow);
  const title = html("caption");
  const body = html("tbody", {}, ...rows.map((row) => row.root));
  const table = html("table", {}, title, html("thead", {}, html("tr", {}, ...heads)), body);
  const [told, way, spread] = [html("p", { class: "told", "aria-live": "polite" }), html("p"), html("p")];
  return { root: html("div", { class: "trace" }, told, table, way, spread), rows, title, told, way, spread };
}

function buildRow(i) {
  const mark = html("span", { class: "mark" });
  const head = html("th", { scope: "row" }, html("span", { class: "badge" }, name(i)), mark);
  const [logit, prob, weight] = [buildBar("from-middle"), buildBar(""), buildBar("")];
  const root = html("tr", ownedBy(i), head, logit.root, prob.root, weight.root);
  return { root, mark, logit, prob, weight };
}

function drawTrace(trace, { setting }, state, now) {
  say(trace.title, `Trace of token ${now.place}, “${now.piece}”, layer ${state.layer}`);
  trace.rows.forEach((row, i) => {
    const rank = now.chosen.indexOf(i);
    row.root.classList.toggle("active", rank >= 0);
    say(row.mark, rank >= 0 ? ` ✓ choice ${rank + 1}` : "");
    drawSigned(row.logit, now.logits[i], LONGEST_LOGIT);
    drawShare(row.prob, now.probs[i]);
    drawShare(row.weight, now.weights[i], rank >= 0 ? now.weights[i].toFixed(3) : "0");
  });
  say(trace.told, story(state, now, setting));
  say(trace.way, `Its experts layer by layer: ${wayOf(now)}.`);
  say(trace.spread, spreadOf(now));
}

// ---------------------------------------------------------------- the widget

/** Build all parts; returns the function that draws the model's present state. */
function drawing({ root, model, change }) {
  const desk = { change, setting: readText(model, "setting") };
  const controls = { fields: [], state: null, typing: null, length: 1 };
  const switches = buildSwitches(desk);
  const place = buildPlace(desk, controls);
  const [text, trace, key] = [buildText(desk), buildTrace(desk), html("p", { class: "key" })];
  switches.root.append(place.root);
  root.append(switches.root, key, html("div", { class: "parts" }, text.root, trace.root));
  linkExperts(root);
  return () => {
    const state = Object.fromEntries(STATE.map((key) => [key, model.get(key)]));
    const now = reading(state, desk.setting);
    controls.length = now.length;
    write(place.input, { max: now.length });
    say(place.length, `of ${now.length}`);
    drawControls(controls, state);
    drawSwitches(switches, state);
    say(key, keyOf(state, desk.setting));
    drawText(text, desk, state, now);
    drawTrace(trace, desk, state, now);
    const { place: at, chosen, weights, load } = now;
    write(root, { "data-state": JSON.stringify({ ...state, at, chosen, weights, load }) });
  };
}

export default { render: (context) => bound(context, "moe-text-viewer", STATE, drawing) };

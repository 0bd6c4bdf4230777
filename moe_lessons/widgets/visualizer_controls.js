/**
 * What is set in the visualizer: token, k, gate form, temperature, noise. `build…` makes nodes once, `draw…` rewrites
 * them in place. desk: {root, model, change, signal, setting}.
 */

const FORMS = {
  topk_softmax: "A: top-k → softmax",
  softmax_topk: "B: softmax → top-k",
  softmax_topk_renorm: "B′: softmax → top-k → renormalise",
};

/** Everything above the picture. Its buttons are one tab stop. */
function buildControls(desk, controls) {
  const help = panelHelp(desk, "Controls", HELP.controls);
  const noise = buildNoise(desk, controls);
  const start = button("Reset", () => reset(desk, controls));
  roving([noise.next, start, help.button]);
  return html(
    "div", { class: "controls" },
    group("Token", tokenChoice(desk, controls)),
    group("k", countChoice(desk, controls)),
    group("Gate form", formChoice(desk, controls)),
    buildTemperature(desk, controls),
    noise.root,
    group("", start, help.button),
    help.tip,
  );
}

function group(title, ...nodes) {
  return html("div", { class: "group" }, ...(title ? [html("b", { class: "name" }, title)] : []), ...nodes);
}

function reset({ root, model, change }, { edit }) {
  root.classList.remove("editing");
  write(edit, { "aria-pressed": false }); // nothing is drawn where the state is the initial one already
  change(model.get("initial"));
}

function buildNoise(desk, controls) {
  const { setting, model, change } = desk;
  const limits = { min: 0, max: setting.largestNoise, step: 0.05 };
  const redraw = () => change({ noise_sample: nextSample(readText(model, "samples"), controls.state.noise_sample) });
  const next = button("New noise", redraw);
  return { root: group("noise", ...slider(desk, controls, { key: "noise", label: "noise", limits }), next), next };
}

function buildTemperature(desk, controls) {
  const [low, high] = desk.setting.temperatures;
  const parts = slider(desk, controls, {
    key: "temperature",
    label: "temperature τ",
    limits: { min: low, max: high, step: "any" },
    scale: {
      limits: { min: Math.log10(low), max: Math.log10(high), step: 0.05 },
      to: Math.log10,
      from: (at) => temperatureAt(at, [low, high]),
    },
  });
  return group("τ", ...parts);
}

// ---------------------------------------------------------------- choices

function tokenChoice({ setting, change }, controls) {
  const options = setting.kinds.map((kind) => [kind.name, html("span", { class: "kind" }, kind.name), exampleOf(kind)]);
  const pick = (token) => change({ token, x: kindOf(setting, token).x });
  return choice(controls, "token", "Token", options, pick);
}

/** The text that a token stands in, the token underlined. */
function exampleOf({ text, token }) {
  const [before, after] = text.split(token);
  return html("span", { class: "text" }, before, html("u", {}, token), after);
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

// ---------------------------------------------------------------- numbers

/** A slider and a number input for one trait; `scale` says what the slider holds when it is not the value itself. */
function slider(desk, controls, { key, label, limits, scale }) {
  const { limits: reach, to, from } = scale ?? { limits, to: (value) => value, from: (at) => at };
  const names = { "aria-label": label, "data-field": `${key}-slider` };
  const range = html("input", { type: "range", class: "moe-range", ...names, ...OWN_KEYS, ...reach });
  const typed = numberInput(`${label}: type a value`, key, limits);
  const parsePlace = (text) => ({ [key]: from(Number(text)) });
  const parse = (text, state) => ({ [key]: numberFrom(text, limits.min, limits.max, state[key]) });
  addField(desk, controls, { input: range, read: (state) => to(state[key]), parse: parsePlace });
  addField(desk, controls, { input: typed, read: (state) => state[key], parse });
  controls.ranges.push({ range, key, reach, to });
  return [range, typed];
}

function addField({ change }, controls, field) {
  controls.fields.push(field);
  listen(field, controls, change);
  field.input.addEventListener("keydown", (event) => {
    if (event.key === "Enter") drawField(field, controls.state); // a number out of range gives way to the one in use
  });
}

function drawSettings(controls, { root, setting }, state) {
  drawControls(controls, state);
  for (const { key, inputs } of controls.choices) {
    for (const input of inputs) input.checked = input.value === String(state[key]);
  }
  for (const { range, key, reach, to } of controls.ranges) {
    range.style.setProperty("--share", (to(state[key]) - reach.min) / (reach.max - reach.min));
    write(range, { "aria-valuetext": written(state[key]) }); // the temperature, not its logarithm
  }
  controls.back.disabled = equal(state.x, kindOf(setting, state.token).x);
  write(controls.edit, { "aria-pressed": root.classList.contains("editing") });
}

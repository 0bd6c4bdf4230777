/**
 * What the widgets that draw in the browser share: numbers as text, elements, bars, fields, and the tie to the model.
 * A widget's own file follows in the same module, as after routing.js. Experts are counted from 0, labelled from 1.
 */

// ---------------------------------------------------------------- numbers and names

function clamp(value, low, high) {
  return Math.min(high, Math.max(low, value)) + 0; // + 0 turns −0 into 0
}

/** The number written in `text`, moved into low … high; `fallback` when the text is no number. */
export function numberFrom(text, low, high, fallback) {
  const value = text.trim() === "" ? NaN : Number(text);
  return Number.isFinite(value) ? clamp(value, low, high) : fallback;
}

/** The whole number written in `text`, moved into 1 … N; `fallback` when the text is no whole number. */
export function countFrom(text, numExperts, fallback) {
  return Number.isInteger(Number(text)) ? numberFrom(text, 1, numExperts, fallback) : fallback;
}

function replaced(values, index, value) {
  return values.map((old, i) => (i === index ? value : old));
}

function name(i) {
  return `E${i + 1}`;
}

/** A number with a real minus sign, and no minus before zero. */
function signed(value, digits = 2) {
  const written = value.toFixed(digits);
  return Number(written) === 0 ? (0).toFixed(digits) : written.replace("-", "−");
}

// ---------------------------------------------------------------- elements

function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  return filled(node, attributes, children);
}

function html(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

function filled(node, attributes, children) {
  write(node, attributes);
  node.append(...children);
  return node;
}

function write(node, attributes) {
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
}

function say(node, text) {
  if (node.textContent !== text) node.textContent = text; // unchanged text costs no layout
}

function repeat(count, build) {
  return Array.from({ length: count }, (_, i) => build(i));
}

/** What makes an element that of an expert: its colour, and the word of it for those who point. */
function ownedBy(i) {
  return { style: `--expert: var(--moe-expert-${i % EXPERT_COLOURS})`, "data-expert": i };
}

const EXPERT_COLOURS = 8; // they repeat

// ---------------------------------------------------------------- whose a mark is

/**
 * Mark everything of one expert below `root` while one points at some of it, by pointer or focus. What belongs to an
 * expert says so in `data-expert`. Returns {again}, for when something was drawn anew.
 */
function linkExperts(root) {
  let expert = null;
  const again = () => {
    root.classList.toggle("pointing", expert !== null);
    for (const node of root.querySelectorAll("[data-expert]")) {
      node.classList.toggle("lit", node.dataset.expert === expert);
    }
  };
  const point = (node) => {
    const found = node?.closest?.("[data-expert]")?.dataset.expert ?? null;
    if (found === expert) return;
    expert = found;
    again();
  };
  for (const come of ["pointerover", "focusin"]) root.addEventListener(come, (event) => point(event.target));
  for (const go of ["pointerleave", "focusout"]) root.addEventListener(go, (event) => point(event.relatedTarget));
  return { again };
}

// ---------------------------------------------------------------- bars

/** A table cell with a number and a bar below it; `kind` is "from-middle" for numbers of either sign. */
function buildBar(kind) {
  const number = html("span", { class: "number" });
  const bar = html("i");
  return { root: html("td", {}, number, html("div", { class: `bar ${kind}` }, bar)), number, bar };
}

/** A bar from the middle, full at ±longest; a number beyond is marked, since its bar ends there. */
function drawSigned({ number, bar }, value, longest) {
  const share = clamp(value / longest, -1, 1) * 50; // percent of the width, from its middle
  const beyond = value > longest ? " »" : value < -longest ? " «" : "";
  say(number, signed(value) + beyond);
  bar.style.left = `${50 + Math.min(share, 0)}%`;
  bar.style.width = `${Math.abs(share)}%`;
}

function drawShare({ number, bar }, share, written = share.toFixed(3)) {
  say(number, written);
  bar.style.width = `${100 * share}%`;
}

// ---------------------------------------------------------------- fields and buttons

// Without this attribute on the very element that has the focus, JupyterLab takes its keys for shortcuts.
const OWN_KEYS = { "data-lm-suppress-shortcuts": "true" };

function numberInput(label, field, limits) {
  return html("input", { type: "number", "aria-label": label, "data-field": field, ...OWN_KEYS, ...limits });
}

function button(text, press) {
  const node = html("button", { type: "button", ...OWN_KEYS }, text);
  node.addEventListener("click", press);
  return node;
}

/**
 * Let a field change the state. field: {input, read(state) -> number, parse(text, state) -> changes}; controls:
 * {fields, state, typing}. A number takes effect while it is typed; what is no number, or too large, is put right on
 * leaving the field.
 */
function listen(field, controls, change) {
  const { input } = field;
  input.addEventListener("input", () => {
    controls.typing = input;
    change(field.parse(input.value, controls.state));
    controls.typing = null;
  });
  for (const leaving of ["change", "blur"]) {
    input.addEventListener(leaving, () => drawField(field, controls.state));
  }
}

function drawControls(controls, state) {
  controls.state = state;
  for (const field of controls.fields) {
    if (field.input !== controls.typing) drawField(field, state);
  }
}

function drawField({ input, read }, state) {
  const written = String(Number(read(state).toPrecision(4)));
  if (input.value !== written) input.value = written;
}

// ---------------------------------------------------------------- the model

/**
 * Draw the model's state into a new element below `el` and keep both in step. keys: the names of the state's traits.
 * build: called with {root, model, change, signal}, returns the function that draws; `change` takes new values of the
 * state, `signal` is aborted at the end. Returns the clean-up, as anywidget's `render` must.
 */
function bound({ model, el }, className, keys, build) {
  const root = html("div", { class: `moe-widget ${className}` });
  colour(root, model.get("colours"));
  el.append(root);
  const ended = new AbortController();
  const saving = oncePerFrame(() => model.save_changes());
  const change = (changes) => {
    for (const [key, value] of Object.entries(changes)) model.set(key, value);
    saving.ask();
  };
  const draw = build({ root, model, change, signal: ended.signal });
  for (const key of keys) model.on(`change:${key}`, draw);
  draw();
  return () => {
    ended.abort();
    saving.flush();
    for (const key of keys) model.off(`change:${key}`, draw);
  };
}

/** A trait that is sent as text (AS_TEXT in traits.py). */
function readText(model, key) {
  return JSON.parse(model.get(key));
}

function colour(root, { experts, ...others }) {
  for (const [key, value] of Object.entries(others)) root.style.setProperty(`--moe-${key}`, value);
  experts.forEach((value, i) => root.style.setProperty(`--moe-expert-${i}`, value));
}

/** Call `action` at the next frame, however often it is asked for until then; `flush` does it now if it is due. */
function oncePerFrame(action) {
  let frame = 0;
  const run = () => {
    frame = 0;
    action();
  };
  return {
    ask: () => (frame ||= requestAnimationFrame(run)),
    flush: () => {
      if (frame === 0) return;
      cancelAnimationFrame(frame);
      run();
    },
  };
}

/**
 * The course's slider: a name, a range, and the value as a field to type into, with its unit.
 * The arithmetic takes the state {value, min, max, step, log, unit}; a place is a number of steps from min.
 */

// ---------------------------------------------------------------- the scale

function scaled({ log }, value) {
  return log ? Math.log10(value) : value;
}

function decimals(number) {
  for (let digits = 0; digits < 12; digits++) if (Number(number.toFixed(digits)) === number) return digits;
  return 12;
}

function digitsOf({ min, step }) {
  return Math.max(decimals(min), decimals(step));
}

/** The value at a place: round in decimals, or in three digits on a logarithmic scale; the ends are exact. */
export function valueAt(state, place) {
  const { min, max, step, log } = state;
  const exact = scaled(state, min) + place * step;
  return clamp(log ? Number((10 ** exact).toPrecision(3)) : Number(exact.toFixed(digitsOf(state))), min, max);
}

/** The place of a value; a whole number if it is one that `valueAt` gives. */
export function placeOf(state, value = state.value) {
  const exact = (scaled(state, value) - scaled(state, state.min)) / state.step;
  return valueAt(state, Math.round(exact)) === value ? Math.round(exact) : exact;
}

/** The value nearest to a point of the scale (on a logarithmic one, to its logarithm). */
export function nearest(state, point) {
  if (point >= scaled(state, state.max)) return state.max; // also where it is no whole number of steps away
  return valueAt(state, Math.round((point - scaled(state, state.min)) / state.step));
}

/** The value after a key, or null for one that does not move it. Page keys take a tenth of the way. */
export function moved(state, key) {
  if (key === "Home") return state.min;
  if (key === "End") return state.max;
  const page = Math.max(1, Math.round(placeOf(state, state.max) / 10));
  const steps = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, PageUp: page, PageDown: -page }[key];
  if (steps === undefined) return null;
  const place = placeOf(state) + steps; // a value between two steps goes to the next one
  return valueAt(state, steps > 0 ? Math.floor(place) : Math.ceil(place));
}

// ---------------------------------------------------------------- words

/** A value as it stands in the field: with the decimals of a step, with more where it lies between two. */
export function written(state, value = state.value) {
  const fixed = state.log ? String(value) : value.toFixed(digitsOf(state));
  return (Number(fixed) === value ? fixed : String(Number(value.toPrecision(6)))).replace("-", "−");
}

function withUnit(state) {
  return written(state) + (["", "°"].includes(state.unit) ? "" : " ") + state.unit;
}

/** What comes of a typed text: the value to take, and what there is to say about it, if anything. */
export function heard(state, text) {
  const typed = text.trim();
  const bare = state.unit && typed.endsWith(state.unit) ? typed.slice(0, -state.unit.length) : typed;
  const number = bare.trim() === "" ? NaN : Number(bare.trim().replace("−", "-").replace(",", "."));
  const range = `from ${written(state, state.min)} to ${written(state, state.max)}`;
  if (Number.isNaN(number)) return { value: state.value, said: `“${typed}” is no number: type one ${range}.` };
  const [value, why] = taken(state, number, range);
  return { value, said: why && `${typed} ${why}: ${written(state, value)} is taken.` };
}

function taken(state, number, range) {
  const inside = clamp(number, state.min, state.max);
  if (inside !== number + 0) return [inside, `is not ${range}`];
  if (state.log || number === state.value) return [number, ""];
  const value = nearest(state, number);
  return [value, value === number ? "" : "lies between two steps"];
}

// ---------------------------------------------------------------- drawing

const STATE = ["value", "min", "max", "step", "log", "unit"];
const LOOK = ["description", "expert", "idle", "label_width", "plays"];
const PACE = 700; // ms a step

function build() {
  const id = `moe-slider-${Math.random().toString(36).slice(2)}`;
  const range = html("input", { type: "range", class: "moe-range", step: "any", id, ...OWN_KEYS });
  const typed = html("input", { type: "text", autocomplete: "off", "aria-describedby": `${id}-note`, ...OWN_KEYS });
  const name = html("label", { class: "name", for: id });
  const unit = html("span", { class: "unit", "aria-hidden": "true" });
  const note = html("div", { class: "note", id: `${id}-note`, role: "status" });
  const play = html("button", { type: "button", class: "play", ...OWN_KEYS });
  const row = html("div", { class: "row" }, name, range, html("span", { class: "typed" }, typed, unit, play), note);
  return { row, name, range, typed, unit, note, play };
}

function drawScale({ range, typed, unit, row }, state) {
  const [low, high, here] = [state.min, state.max, state.value].map((value) => scaled(state, value));
  write(range, { min: low, max: high, "aria-valuetext": withUnit(state) });
  range.value = here;
  typed.value = written(state);
  const letters = Math.max(...[state.min, state.max, state.value].map((value) => written(state, value).length));
  typed.style.width = `${letters + 2}ch`;
  write(typed, { inputmode: state.min < 0 ? "text" : "decimal" }); // some decimal keyboards have no minus
  say(unit, state.unit);
  row.style.setProperty("--share", high > low ? (here - low) / (high - low) : 0);
}

function drawLook({ row, name, range, typed, play }, { description, unit, expert, idle, label_width, plays }) {
  say(name, description);
  const called = unit ? `${description}, ${unit}` : description;
  write(range, { "aria-label": called });
  write(typed, { "aria-label": `${called}: type a value` });
  range.disabled = typed.disabled = play.disabled = idle !== "";
  play.hidden = !plays;
  row.style.setProperty("--label", label_width === null ? "auto" : `${label_width}ch`);
  row.style.setProperty("--expert", expert === null ? "var(--moe-ink)" : `var(--moe-expert-${expert % 8})`);
}

/** Let pointer, keys and field move the slider; `take` gets a value and what there is to say about it. */
function listenTo({ range, typed }, read, take) {
  range.addEventListener("input", () => take(nearest(read(), Number(range.value))));
  range.addEventListener("keydown", (event) => {
    const value = event.ctrlKey || event.metaKey || event.altKey ? null : moved(read(), event.key);
    if (value === null) return;
    event.preventDefault();
    take(value);
  });
  typed.addEventListener("change", () => {
    const { value, said } = heard(read(), typed.value);
    take(value, said);
  });
  typed.addEventListener("keydown", (event) => {
    if (event.key === "Escape") typed.value = written(read());
  });
}

/** Let a button move the slider by itself, step by step to its end; from there, it begins anew. */
function letPlay({ play }, read, take, signal) {
  let timer = 0;
  const draw = () => {
    say(play, timer ? "⏸" : "▶");
    write(play, { "aria-label": `${timer ? "pause" : "play"} ${read().description}` });
  };
  const pause = () => {
    clearInterval(timer);
    timer = 0;
    draw();
  };
  const go = (value) => {
    take(value);
    if (value === read().max) pause();
  };
  const step = () => (read().idle ? pause() : go(moved(read(), "ArrowRight")));
  play.addEventListener("click", () => {
    if (timer) return pause();
    timer = setInterval(step, PACE);
    draw();
    const { value, min, max } = read();
    go(value === max ? min : moved(read(), "ArrowRight"));
  });
  signal.addEventListener("abort", () => clearInterval(timer));
  draw();
}

/** The function that draws the model's state into `root`. What was said of a value goes when another one comes. */
function drawing({ root, model, change, signal }) {
  const parts = build();
  root.append(parts.row);
  let last = { value: NaN, said: "" };
  const read = () => Object.fromEntries([...STATE, ...LOOK].map((key) => [key, model.get(key)]));
  const draw = () => {
    const state = read();
    const said = state.value === last.value ? last.said : "";
    drawScale(parts, state);
    drawLook(parts, state);
    say(parts.note, state.idle || said);
    write(parts.typed, { "aria-invalid": String(said !== "") });
  };
  const take = (value, said = "") => {
    last = { value, said };
    change({ value });
    draw(); // the value that was there already is no change, but words are
  };
  listenTo(parts, read, take);
  letPlay(parts, read, take, signal);
  return draw;
}

export default { render: (context) => bound(context, "moe-slider", [...STATE, ...LOOK], drawing) };

/**
 * Brings the widgets of a page to life. Each stands in
 *
 *   <div class="live" data-widget="NAME"><script type="application/json">STATE</script>FALLBACK</div>
 *
 * and runs from the module ./widgets/NAME.js, as in a notebook, with a model that has no kernel behind it (shim.js). The
 * fallback stays until the widget has drawn itself, and for good where it cannot.
 */

import { modelOf } from "./shim.js";
import * as address from "./address.js";

const NAMES = ["visualizer", "compass", "text_viewer", "quiz", "frames"];
const PAUSE = 300; // milliseconds without a change, after which the address is written

// ---------------------------------------------------------------- what is remembered

const REFUSED = "Not kept: this browser lets no page remember anything.";

/** Give a quiz what this browser has kept of it. */
function recall(name, state) {
  if (name !== "quiz") return;
  try {
    state.kept = { ...state.kept, ...JSON.parse(localStorage.getItem(keyOf(state)) ?? "{}") };
  } catch {
    state.place = REFUSED;
  }
}

/** Keep what a quiz has learnt of its reader: of each idea the larger count, for it may be open in two tabs. */
function remember(name, model, state) {
  if (name !== "quiz") return;
  try {
    const before = JSON.parse(localStorage.getItem(keyOf(state)) ?? "{}");
    localStorage.setItem(keyOf(state), JSON.stringify(merged(before, state.kept)));
  } catch {
    model.set("place", REFUSED);
  }
}

function keyOf(state) {
  return `moe-lessons/quiz/${JSON.parse(state.setting).lesson}`;
}

export function merged(before, now) {
  const both = { ...before, ...now };
  for (const [idea, { attempts, correct }] of Object.entries(before)) {
    const { attempts: more, correct: shown } = both[idea];
    both[idea] = { attempts: Math.max(attempts, more), correct: correct || shown };
  }
  return both;
}

// ---------------------------------------------------------------- the visualizer's address

/** Keep the visualizer and the fragment of the page's address in step. Returns what to call after a change. */
function addressed(model, state) {
  const of = { ...JSON.parse(state.setting), samples: JSON.parse(state.samples) };
  const obey = () => {
    if (!address.isAddress(location.hash)) return;
    const asked = { ...state.initial, ...address.read(location.hash, of) };
    for (const [key, value] of Object.entries(asked)) model.set(key, value);
  };
  let timer = 0;
  const write = () => {
    const fragment = address.written(state, state.initial, of);
    const before = address.isAddress(location.hash);
    if (fragment || before) history.replaceState(history.state, "", fragment || location.pathname + location.search);
  };
  obey();
  addEventListener("hashchange", obey);
  return () => {
    clearTimeout(timer);
    timer = setTimeout(write, PAUSE);
  };
}

// ---------------------------------------------------------------- blocks

const at = (path) => new URL(path, import.meta.url).href;

/** Load the style of a widget, once for all its blocks. */
function styled(name) {
  const href = at(`./widgets/${name}.css`);
  const known = [...document.styleSheets].some((sheet) => sheet.href === href);
  if (known || document.querySelector(`link[href="${href}"]`)) return Promise.resolve();
  const link = Object.assign(document.createElement("link"), { rel: "stylesheet", href });
  document.head.append(link);
  return new Promise((loaded) => (link.onload = link.onerror = loaded));
}

async function mount(block) {
  const name = block.dataset.widget;
  if (!NAMES.includes(name)) throw new Error(`no widget ${name}`);
  const state = JSON.parse(block.querySelector(':scope > script[type="application/json"]').textContent);
  recall(name, state);
  const [{ default: widget }] = await Promise.all([import(at(`./widgets/${name}.js`)), styled(name)]);
  let changed = () => remember(name, model, state);
  const model = modelOf(state, () => changed());
  if (name === "visualizer") changed = addressed(model, state);
  const el = document.createElement("div");
  widget.render({ model, el });
  block.replaceChildren(el);
  block.dataset.live = "yes";
}

for (const block of document.querySelectorAll("div.live")) {
  mount(block).catch((fault) => {
    block.dataset.live = "no"; // the fallback stays
    console.warn(`${block.dataset.widget}: ${fault.message}`);
  });
}

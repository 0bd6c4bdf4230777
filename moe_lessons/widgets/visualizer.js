/**
 * The Gating Network Visualizer: one token's way through a router, from its vector to the output formula. This file
 * puts the parts together: controls, picture, router, words, and what is pointed at (visualizer.py has their order).
 *
 * What is looked for, and so the order on the page: which token it is and what can be moved; who runs; with which
 * weight, and what sum comes of it; by which logits; what the last move did; then, for one expert, where its logit comes
 * from. All of it fits one screen, and nothing changes its place while a control is moved.
 */

const INVITATION = "Point at an expert, or go to its name with the arrow keys, to follow it.";

// ---------------------------------------------------------------- words

/** What each control does now, and one line about the expert that is pointed at. */
function buildStory({ setting }) {
  const room = longest(setting.W_g, setting.experts);
  const lines = room.told.map((words) => ({ control: html("dt"), text: html("span"), words }));
  const pairs = lines.map((line) => (line.root = html("div", {}, line.control, roomy("dd", line.words, line.text))));
  const pointed = html("span");
  const named = { class: "words", "aria-label": "What each control does now" };
  const box = html("div", { class: "pointed" }, roomy("p", room.pointed, pointed));
  const root = html("section", named, html("dl", { class: "story" }, ...pairs), box);
  return { root, lines, pointed };
}

/** Write the sentences and mark those that changed, which are returned; at first none has. */
function drawStory({ lines }, { setting }, state, now, first) {
  const told = story(state, now, setting.experts);
  const differs = told.map(([, text], at) => lines[at].text.textContent !== text);
  if (!differs.includes(true)) return [];
  told.forEach(([control, text], at) => {
    say(lines[at].control, control);
    if (differs[at]) lines[at].text.replaceChildren(...marked(text));
    lines[at].root.classList.toggle("changed", differs[at] && !first);
  });
  return told.filter((_, at) => differs[at]).map(([, text]) => text);
}

/** A sentence in which each expert's name can be pointed at. */
function marked(text) {
  return text.split(/(\bE\d(?: [A-Z][a-z]+)?)/).map((part, at) => {
    const i = Number(part[1]) - 1;
    return at % 2 ? html("span", { class: "mention", ...ownedBy(i) }, part) : part;
  });
}

/** One hidden line that a screen reader reads when the picture has come to rest. */
function buildVoice(signal) {
  const root = html("p", { class: "spoken", "aria-live": "polite" });
  let timer = 0;
  signal.addEventListener("abort", () => clearTimeout(timer));
  const speak = (text) => {
    clearTimeout(timer);
    timer = setTimeout(() => say(root, text), 400); // not each step of a slider
  };
  return { root, speak };
}

// ---------------------------------------------------------------- pointing

/**
 * Mark one expert wherever it appears: the one under the pointer, else the one with the focus, else the one last
 * pressed. Everything with data-expert belongs to an expert. `tell` gets the expert (or null) and whether to speak.
 */
function buildPointing({ root, signal }, buttons, tell) {
  const pointing = { hovered: null, focused: null, pressed: null };
  const at = (target) => target.closest?.("[data-expert]")?.dataset.expert ?? null;
  const set = (changes, aloud = false) => {
    Object.assign(pointing, changes);
    mark(root, buttons, pointing, tell, aloud);
  };
  const on = (event, handle) => root.addEventListener(event, handle, { signal });
  on("pointerover", ({ target, pointerType }) => pointerType === "mouse" && set({ hovered: at(target) }));
  on("pointerleave", () => set({ hovered: null }));
  on("focusin", ({ target }) => set({ focused: buttons.includes(target) ? at(target) : null }, true));
  on("focusout", () => set({ focused: null }));
  on("click", ({ target }) => set({ pressed: afterPress(pointing.pressed, at(target)) }, true));
}

/** What is pressed after a press at an expert, or at none: a second press lets go. */
function afterPress(before, at) {
  if (at === null) return before;
  return at === before ? null : at;
}

function mark(root, buttons, { hovered, focused, pressed }, tell, aloud) {
  const lit = hovered ?? focused ?? pressed;
  buttons.forEach((node, i) => write(node, { "aria-pressed": String(i) === pressed }));
  if ((root.dataset.lit ?? null) === lit) return;
  if (lit === null) delete root.dataset.lit;
  else root.dataset.lit = lit;
  tell(lit, aloud);
}

// ---------------------------------------------------------------- the widget

/** Build all parts; returns the function that draws the model's present state. */
function drawing({ root, model, change, signal }) {
  const desk = { root, model, change, signal, setting: readText(model, "setting") };
  const controls = { fields: [], choices: [], ranges: [], state: null, typing: null };
  const parts = {
    controls: buildControls(desk, controls),
    picture: buildPicture(desk),
    router: buildRouter(desk, controls),
    words: buildStory(desk),
    voice: buildVoice(signal),
  };
  roving(parts.picture.buttons);
  const below = html("div", { class: "below" }, parts.router.root, parts.words.root);
  root.append(parts.controls, parts.picture.root, below, parts.voice.root);
  const draw = () => drawAll(desk, controls, parts);
  buildPointing(desk, parts.picture.buttons, (_, aloud) => drawPointed(desk, controls.state, parts, aloud));
  controls.edit.addEventListener("click", draw);
  return draw;
}

function drawAll(desk, controls, { picture, router, words, voice }) {
  const { root, model, setting } = desk;
  const state = Object.fromEntries(STATE.map((key) => [key, model.get(key)]));
  const now = reading(state, setting.W_g);
  const first = controls.state === null;
  drawSettings(controls, desk, state);
  drawPicture(picture, desk, state, now);
  drawRouter(router, desk, state, now);
  const changed = drawStory(words, desk, state, now, first);
  drawPointed(desk, state, { words, voice }, false);
  if (!first) voice.speak([...changed, described(now, setting.experts)].join(" "));
  const { logits: h, probs, selected, weights } = now;
  write(root, { "data-state": JSON.stringify({ ...state, logits: h, probs, selected, weights }) });
}

/** Mark the expert that is pointed at, in every part, and write its sentence. */
function drawPointed({ root, setting }, state, { words, voice }, aloud) {
  const { lit } = root.dataset;
  for (const node of root.querySelectorAll("[data-expert].lit")) node.classList.remove("lit");
  if (lit === undefined) return say(words.pointed, INVITATION);
  for (const node of root.querySelectorAll(`[data-expert="${lit}"]`)) node.classList.add("lit");
  const text = followed(Number(lit), state, reading(state, setting.W_g), setting.W_g, setting.experts);
  say(words.pointed, text);
  if (aloud) voice.speak(text);
}

export default { render: (context) => bound(context, "moe-visualizer", STATE, drawing) };

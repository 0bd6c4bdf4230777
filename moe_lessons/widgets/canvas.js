/**
 * A picture that Python draws, on the page: put in the place of the last one, described once it rests, with everything
 * of an expert marked where one points at it, and moved by its grips (`marks.grip`), by pointer or keys.
 */

// ---------------------------------------------------------------- grips

const KEYS = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 };

/** The value of a control after a key on its grip, or null for a key that does not move it. */
export function pressed({ value, min, max, step }, key) {
  if (key === "Home") return min;
  if (key === "End") return max;
  return key in KEYS ? clamp(value + KEYS[key] * step, min, max) : null;
}

/** The value of a control whose grip is at `place` of its picture: {zero, unit} are the places of 0, and of 1 from there. */
export function gripped({ min, max }, { zero, unit }, place) {
  return clamp((place - zero) / unit, min, max);
}

/** Give each grip what a slider has: a name, a value, a place among the stops of the Tab key. */
function offerGrips(picture, controls) {
  const grips = [...picture.querySelectorAll("[data-grip]")];
  for (const grip of grips) {
    const { label, value, min, max } = controls[grip.dataset.grip];
    const range = { "aria-valuenow": value, "aria-valuemin": min, "aria-valuemax": max };
    write(grip, { role: "slider", tabindex: 0, "aria-label": label, ...range, ...OWN_KEYS });
  }
  if (grips.length > 0) picture.querySelector("svg").setAttribute("role", "group"); // an image has nothing to move in it
}

function placeIn(grip, { clientX, clientY }) {
  const { x, y } = new DOMPoint(clientX, clientY).matrixTransform(grip.parentNode.getScreenCTM().inverse());
  return grip.dataset.along === "x" ? x : y;
}

/** Let the grips below `root` move their controls; `take` gets the name of a control and its value. */
function listenToGrips(root, read, take) {
  const gripOf = (event) => event.target.closest("[data-grip]");
  let held = null;
  const follow = (event) => {
    const { grip: name, zero, unit } = held.dataset;
    take(name, gripped(read()[name], { zero: Number(zero), unit: Number(unit) }, placeIn(held, event)));
  };
  root.addEventListener("pointerdown", (event) => {
    held = gripOf(event);
    if (held === null) return;
    held.setPointerCapture(event.pointerId);
    held.focus();
    event.preventDefault();
  });
  root.addEventListener("pointermove", (event) => held !== null && follow(event));
  for (const end of ["pointerup", "pointercancel"]) root.addEventListener(end, () => (held = null));
  root.addEventListener("keydown", (event) => {
    const name = gripOf(event)?.dataset.grip;
    const value = name === undefined ? null : pressed(read()[name], event.key);
    if (value === null) return;
    event.preventDefault();
    take(name, value);
  });
}

// ---------------------------------------------------------------- whose a mark is

/** The names E1, E2, … of a picture belong to their experts, as bars and lines do. */
function nameOwners(picture) {
  for (const node of picture.querySelectorAll("text:not([data-expert])")) {
    const [, number] = /^E(\d+)$/.exec(node.textContent) ?? [];
    if (number !== undefined) node.dataset.expert = number - 1;
  }
}

// ---------------------------------------------------------------- in place

/** Turn `old` into `fresh`, part by part: what stays keeps its focus, what moves can be seen to move. */
function morph(old, fresh) {
  if (old.nodeName !== fresh.nodeName || old.dataset?.expert !== fresh.dataset?.expert) return old.replaceWith(fresh);
  if (old.nodeType === Node.TEXT_NODE) return say(old, fresh.data);
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  const [were, are] = [old, fresh].map((node) => [...node.childNodes]);
  were.slice(are.length).forEach((node) => node.remove());
  are.forEach((node, i) => (i < were.length ? morph(were[i], node) : old.append(node)));
}

const LARGEST = { times: 1.25, width: 720, height: 600 };
const SMALLEST = 11 / 13; // letters of 13 px are the smallest that pictures have

/**
 * Let a picture be as wide as it was drawn; where there is room a little wider, but not taller than the view; where
 * there is none as narrow as its letters allow, with a scroll bar below that.
 */
function fit(place, picture) {
  if (picture === null) return;
  const { width, height } = picture.viewBox.baseVal;
  const times = Math.max(1, Math.min(LARGEST.times, LARGEST.width / width, LARGEST.height / height));
  const widths = { drawn: width, widest: width * times, narrowest: width * SMALLEST };
  for (const [name, value] of Object.entries(widths)) place.style.setProperty(`--${name}`, `${value}px`);
}

const RESTING = 600; // ms without a change, after which a picture is described

function drawing({ root, model, change, signal }) {
  const frame = html("div", { class: "frame" }), spoken = html("div", { class: "spoken", role: "status" });
  root.append(frame, spoken);
  const pointing = linkExperts(frame);
  listenToGrips(frame, () => model.get("controls"), (name, value) => change({ moved: { name, value } }));
  let resting = 0;
  signal.addEventListener("abort", () => clearTimeout(resting));
  return () => {
    const fresh = html("div", { class: "frame" });
    fresh.innerHTML = model.get("value");
    offerGrips(fresh, model.get("controls"));
    nameOwners(fresh);
    const first = frame.childNodes.length === 0;
    morph(frame, fresh);
    fit(root.parentNode, frame.querySelector("svg"));
    pointing.again();
    clearTimeout(resting);
    if (!first) resting = setTimeout(() => say(spoken, model.get("words")), RESTING);
  };
}

export default { render: (context) => bound(context, "moe-canvas", ["value"], drawing) };

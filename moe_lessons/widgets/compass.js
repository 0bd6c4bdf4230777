/**
 * The prototype compass: a token and the experts' prototypes as arrows in a plane, and what the router makes of them.
 * Runs as one module with routing.js and dom.js, which are joined in front of it (compass.py). First the pure
 * functions, then the drawing. A point is [x1, x2]; prototypes are N points, the columns of W. Experts are counted
 * from 0, labelled from 1.
 */

const SIZE = 440; // width and height of the plane, in units of its viewBox
const MARGIN = 34; // room for the name of an arrow that ends at the edge
const REACH = 24; // a press this near to a tip takes hold of it
const LONGEST_BAR = 9; // a bar ends at a logit of ±9

// ---------------------------------------------------------------- pure functions

/** Everything the picture shows. state: {token, prototypes, k}. Angles in degrees, NaN for a vector of length 0. */
export function reading({ token, prototypes, k }) {
  const W = [0, 1].map((row) => prototypes.map((prototype) => prototype[row])); // (2, N)
  const h = logits(token, W); // (N)
  return {
    logits: h,
    probs: softmax(h),
    selected: topK(h, k),
    weights: gateWeights(h, k),
    lengths: prototypes.map(length),
    angles: prototypes.map((prototype) => angleBetween(token, prototype)),
    tokenLength: length(token),
  };
}

/** Length of a vector. */
export function length([x, y]) {
  return Math.hypot(x, y);
}

function distance(a, b) {
  return length([a[0] - b[0], a[1] - b[1]]);
}

/** Angle between two vectors in degrees, 0 to 180; NaN when one of them has length 0. */
export function angleBetween(a, b) {
  if (length(a) === 0 || length(b) === 0) return NaN;
  const across = a[0] * b[1] - a[1] * b[0];
  const along = a[0] * b[0] + a[1] * b[1];
  return (Math.abs(Math.atan2(across, along)) * 180) / Math.PI;
}

/**
 * Where each expert is the router's first choice, inside the square from −range to range: N polygons, each an array
 * of corners, [] where the expert never wins. Ties belong to the lower index, so of equal prototypes only the first
 * has a region. Each region is a wedge with its point at the origin: x·(w_i − w_j) ≥ 0 for every other j.
 */
export function regions(prototypes, range) {
  const square = [[-range, -range], [range, -range], [range, range], [-range, range]];
  return prototypes.map((prototype, i) => {
    const firstOfEqual = prototypes.findIndex((other) => sameAs(prototype, other)) === i;
    if (!firstOfEqual) return [];
    const wedge = prototypes.reduce((corners, other) => keepWhereHigher(corners, prototype, other), square);
    return area(wedge) > 1e-9 ? wedge : []; // a single ray or point is no region
  });
}

/** Area of a polygon given by its corners in order. */
export function area(corners) {
  const doubled = corners.reduce((sum, [x, y], i) => {
    const [nextX, nextY] = corners[(i + 1) % corners.length];
    return sum + x * nextY - nextX * y;
  }, 0);
  return Math.abs(doubled) / 2;
}

/** Cut a convex polygon down to the points x where `prototype` scores at least as high: x·(prototype − other) ≥ 0. */
function keepWhereHigher(corners, prototype, other) {
  const side = ([x, y]) => x * (prototype[0] - other[0]) + y * (prototype[1] - other[1]);
  return corners.flatMap((corner, i) => {
    const next = corners[(i + 1) % corners.length];
    const [here, there] = [side(corner), side(next)];
    const kept = here >= 0 ? [corner] : [];
    return here * there < 0 ? [...kept, between(corner, next, here / (here - there))] : kept;
  });
}

function between(from, to, share) {
  return [from[0] + share * (to[0] - from[0]), from[1] + share * (to[1] - from[1])];
}

function sameAs(a, b) {
  return a[0] === b[0] && a[1] === b[1];
}

/** The number written in `text`, moved into −range … range; `fallback` when the text is no number. */
export function coordinateFrom(text, range, fallback) {
  return numberFrom(text, -range, range, fallback);
}

/** The token times `factor`, or as far along the same direction as the plane reaches. */
export function stretched(token, factor, range) {
  const largest = Math.max(...token.map(Math.abs));
  if (largest === 0) return token;
  return token.map((value) => (largest * factor > range ? (value / largest) * range : value * factor));
}

/** Which of the points lies nearest to `point` within `reach`, the first of equals; −1 for none. */
export function nearest(point, points, reach) {
  const distances = points.map((other) => distance(point, other));
  const least = Math.min(...distances);
  return least <= reach ? distances.indexOf(least) : -1;
}

/** One sentence: who wins, and whether that is the expert that is best aligned with the token. */
export function explanation({ logits: h, angles, lengths, selected, tokenLength }) {
  const winner = selected[0];
  if (tokenLength === 0) return "x = 0: every logit is 0, all probabilities are equal, ties go to the lower number.";
  const tied = [...h.keys()].filter((i) => h[i] === h[winner]);
  if (tied.length > 1) return `${tied.map(name).join(", ")} have the same logit: the tie goes to ${name(winner)}.`;
  if (lengths[winner] === 0) return `${name(winner)} wins with logit 0: every other logit is negative.`;
  const aligned = topK(angles.map((angle) => (Number.isNaN(angle) ? -Infinity : -angle)), 1)[0];
  const degrees = (i) => `${angles[i].toFixed(1)}°`;
  if (angles[winner] - angles[aligned] < 0.05) {
    return `${name(winner)} wins, and none is better aligned with x (${degrees(winner)}).`;
  }
  return (
    `${name(aligned)} is better aligned with x (${degrees(aligned)} against ${degrees(winner)}), ` +
    `but ${name(winner)} wins: length ${lengths[winner].toFixed(2)} against ${lengths[aligned].toFixed(2)} ` +
    `gives logit ${signed(h[winner])} against ${signed(h[aligned])}.`
  );
}

/** Where the name of a region goes: near the edge of the square, away from all tips and from other regions. */
function labelPoint(corners, range, tips) {
  const sides = corners.map((corner, i) => [corner, corners[(i + 1) % corners.length]]);
  const onEdge = ([from, to]) => Math.max(...between(from, to, 0.5).map(Math.abs)) === range;
  const inwards = (point) => point.map((value) => 0.8 * value);
  const borders = sides.filter((side) => !onEdge(side)).flat();
  const avoided = [...tips, ...borders.map(inwards)];
  const alongEdge = ([from, to]) => [0.25, 0.5, 0.75].map((share) => inwards(between(from, to, share)));
  const spots = sides.filter(onEdge).flatMap(alongEdge);
  const clearances = spots.map((spot) => Math.min(...avoided.map((point) => distance(point, spot))));
  return spots[topK(clearances, 1)[0]];
}

// ---------------------------------------------------------------- the plane

/** Build the plane's fixed parts and the nodes that `drawPlane` moves. */
function buildPlane(numExperts, range) {
  const scale = (SIZE / 2 - MARGIN) / range;
  const toPixels = ([x, y]) => [SIZE / 2 + scale * x, SIZE / 2 - scale * y];
  const title = svg("title");
  const description = svg("desc");
  const wedges = repeat(numExperts, (i) => svg("polygon", { class: "wedge", ...ownedBy(i) }));
  const wedgeNames = repeat(numExperts, (i) => svg("text", { class: "wedge-name", ...ownedBy(i) }));
  const line = svg("line", { class: "token-line" });
  const arrows = repeat(numExperts, buildArrow);
  const token = buildToken();
  const tokenName = token.querySelector("text");
  const moving = [...arrows.map((arrow) => arrow.root), ...arrows.map((arrow) => arrow.text)]; // no name under a shaft
  const root = svg(
    "svg", { viewBox: `0 0 ${SIZE} ${SIZE}`, role: "img", class: "plane" },
    title, description, ...wedges, ...buildAxes(range, toPixels), ...wedgeNames, line, ...moving, token,
  );
  return { root, title, description, wedges, wedgeNames, line, arrows, token, tokenName, toPixels, scale, range };
}

function buildAxes(range, toPixels) {
  const [[left, bottom], [right, top]] = [toPixels([-range, -range]), toPixels([range, range])];
  const middle = SIZE / 2;
  const frame = svg("rect", { x: left, y: top, width: right - left, height: bottom - top, class: "frame" });
  const across = svg("line", { x1: left, x2: right, y1: middle, y2: middle, class: "axis" });
  const up = svg("line", { x1: middle, x2: middle, y1: bottom, y2: top, class: "axis" });
  const steps = repeat(2 * Math.floor(range) + 1, (i) => i - Math.floor(range)).filter((step) => step !== 0);
  const ticks = steps.flatMap((step) => buildTicks(step, toPixels));
  const names = [label("x₁", right + 12, middle + 5, "start"), label("x₂", middle, top - 12, "middle")];
  return [frame, across, up, ...ticks, ...names];
}

function buildTicks(step, toPixels) {
  const [[x, middle], [, y]] = [toPixels([step, 0]), toPixels([0, step])];
  const written = String(step).replace("-", "−");
  return [
    svg("line", { x1: x, x2: x, y1: middle - 4, y2: middle + 4, class: "axis" }),
    svg("line", { x1: middle - 4, x2: middle + 4, y1: y, y2: y, class: "axis" }),
    label(written, x, middle + 18, "middle"),
    label(written, middle - 8, y + 5, "end"),
  ];
}

function label(text, x, y, anchor) {
  return svg("text", { x, y, "text-anchor": anchor, class: "tick" }, text);
}

function buildArrow(i) {
  const shadow = svg("line", { class: "shadow" });
  const foot = svg("circle", { r: 4, class: "foot" });
  const shaft = svg("path", { class: "shaft" });
  const grip = svg("circle", { r: 9, class: "grip" });
  const hold = svg("circle", { r: REACH, class: "hold" });
  const text = svg("text", { class: "arrow-name", ...ownedBy(i) });
  const root = svg("g", { class: "arrow", ...ownedBy(i) }, shadow, foot, shaft, grip, hold);
  return { root, shadow, foot, shaft, grip, hold, text };
}

function buildToken() {
  return svg(
    "g", { class: "token" },
    svg("path", { d: "M0 -10L10 0L0 10L-10 0Z", class: "token-mark" }),
    svg("text", { class: "token-name" }, "x"),
    svg("circle", { r: REACH, class: "hold" }),
  );
}

function drawPlane(plane, state, now) {
  const wedges = regions(state.prototypes, plane.range);
  const tips = [state.token, ...state.prototypes];
  wedges.forEach((corners, i) => drawWedge(plane, i, corners, { wins: i === now.selected[0], tips }));
  state.prototypes.forEach((_, i) => drawArrow(plane, i, state, now));
  drawToken(plane, state.token);
  plane.root.setAttribute("class", now.tokenLength === 0 ? "plane zero-token" : "plane");
  const winner = name(now.selected[0]);
  say(plane.title, `Prototype compass: the router's first choice is ${winner}`);
  say(plane.description, describe(state, now));
  plane.root.setAttribute("data-state", JSON.stringify({ ...state, ...chosen(now) }));
}

/** The selection for `data-state`: indices from 0, weights to six decimals. */
function chosen({ selected, weights }) {
  return { selected, weights: weights.map((weight) => Number(weight.toFixed(6))) };
}

function describe({ token, k }, now) {
  const [x, y] = token.map(signed);
  const listed = now.logits.map((h, i) => `${name(i)} logit ${signed(h)}, weight ${now.weights[i].toFixed(3)}`);
  return `Token x = (${x}, ${y}), k = ${k}. ${listed.join("; ")}. ${explanation(now)}`;
}

function drawWedge(plane, i, corners, { wins, tips }) {
  const pixels = corners.map(plane.toPixels);
  write(plane.wedges[i], { points: pixels.join(" ") });
  plane.wedges[i].classList.toggle("wins", wins);
  const space = corners.length > 0 ? area(corners) : 0;
  say(plane.wedgeNames[i], space > 1.5 ? `${name(i)} wins` : space > 0.2 ? name(i) : "");
  if (space > 0.2) place(plane.wedgeNames[i], plane.toPixels(labelPoint(corners, plane.range, tips)));
}

function place(node, [x, y]) {
  write(node, { x, y });
}

function drawArrow(plane, i, state, now) {
  const { root, shaft, grip, hold, text } = plane.arrows[i];
  const tip = plane.toPixels(state.prototypes[i]);
  root.classList.toggle("selected", now.selected.includes(i));
  shaft.setAttribute("d", arrowPath(tip));
  for (const node of [grip, hold]) write(node, { cx: tip[0], cy: tip[1] });
  const written = arrowName(i, state.prototypes, now.selected);
  say(text, written);
  place(text, besideTip(tip, written));
  drawShadow(plane, i, tip, state.token, now);
}

/** What stands at the tip; of prototypes in the same place the last, which lies on top, names them all. */
function arrowName(i, prototypes, selected) {
  const equals = [...prototypes.keys()].filter((j) => sameAs(prototypes[i], prototypes[j]));
  if (equals.at(-1) !== i) return "";
  return equals.map((j) => (selected.includes(j) ? `${name(j)} ✓` : name(j))).join(" = ");
}

/** From the tip straight to the line through the token; how far along it the foot lies, times |x|, is the logit. */
function drawShadow(plane, i, tip, token, now) {
  const { shadow, foot } = plane.arrows[i];
  const along = now.tokenLength === 0 ? 0 : now.logits[i] / now.tokenLength ** 2;
  const [x, y] = plane.toPixels(token.map((value) => value * along));
  write(shadow, { x1: tip[0], y1: tip[1], x2: x, y2: y });
  write(foot, { cx: x, cy: y });
}

/** An arrow from the middle of the plane to `tip`: the shaft and the two strokes of the head. */
function arrowPath([x, y]) {
  const middle = SIZE / 2;
  const size = length([x - middle, y - middle]);
  if (size < 1) return "";
  const [along, across] = [(x - middle) / size, (y - middle) / size];
  const barb = (side) => `${x - 13 * along - side * 7 * across} ${y - 13 * across + side * 7 * along}`;
  return `M${middle} ${middle}L${x} ${y}M${barb(1)}L${x} ${y}L${barb(-1)}`;
}

/** Where the name of a tip goes: behind the tip as seen from the middle, or beside it where the picture ends. */
function besideTip([x, y], written) {
  const half = 5 * written.length + 4; // half the width of the text, roughly
  const fits = ([left, top]) => left >= half && left <= SIZE - half && top >= 12 && top <= SIZE - 12;
  const size = length([x - SIZE / 2, y - SIZE / 2]);
  const [along, down] = size === 0 ? [0, 1] : [(x - SIZE / 2) / size, (y - SIZE / 2) / size];
  const behind = [x + (half + 8) * along, y + 22 * down];
  if (fits(behind)) return behind;
  const beside = [x + (half + 12) * down, y - 24 * along];
  return [clamp(beside[0], half, SIZE - half), clamp(beside[1], 12, SIZE - 12)];
}

function drawToken(plane, token) {
  const [x, y] = plane.toPixels(token);
  const size = length(token);
  const [along, up] = size === 0 ? [1, 0] : token.map((value) => value / size);
  plane.token.setAttribute("transform", `translate(${x} ${y})`);
  place(plane.tokenName, [-20 * up, -20 * along]); // beside the line through the token
  const far = stretched(token, Infinity, plane.range);
  const [[x1, y1], [x2, y2]] = [far, far.map((value) => -value)].map(plane.toPixels);
  write(plane.line, { x1, y1, x2, y2 });
}

// ---------------------------------------------------------------- the table

const NOTE =
  "Drag x or the tip of an arrow, or type numbers. A colour fills the places where a token has that expert as its " +
  "first choice. The small circles show how far each prototype reaches along the dashed line through x: " +
  "logit = reach\u00a0×\u00a0length of x.";
const COLUMNS = ["expert", "length", "angle", "logit", "prob", "weight"];

function buildTable(numExperts) {
  const caption = html("caption");
  const heads = COLUMNS.map((column) => html("th", { scope: "col" }, column));
  const rows = repeat(numExperts, buildRow);
  const body = html("tbody", {}, ...rows.map((row) => row.root));
  const root = html("table", { class: "readout" }, caption, html("thead", {}, html("tr", {}, ...heads)), body);
  return { root, caption, rows };
}

function buildRow(i) {
  const mark = html("span", { class: "mark" });
  const head = html("th", { scope: "row" }, html("span", { class: "badge" }, name(i)), mark);
  const [size, angle] = [html("td"), html("td")];
  const [logit, prob, weight] = [buildBar("from-middle"), buildBar(""), buildBar("")];
  const cells = [head, size, angle, logit.root, prob.root, weight.root];
  return { root: html("tr", ownedBy(i), ...cells), mark, size, angle, logit, prob, weight };
}

function drawTable(table, now) {
  say(table.caption, `logit = length of x × length of prototype × cos(angle); length of x = ${now.tokenLength.toFixed(3)}`);
  table.rows.forEach((row, i) => drawRow(row, i, now));
}

function drawRow(row, i, now) {
  const selected = now.selected.includes(i);
  row.root.classList.toggle("selected", selected);
  say(row.mark, selected ? "✓ selected" : "");
  say(row.size, now.lengths[i].toFixed(2));
  say(row.angle, Number.isNaN(now.angles[i]) ? "–" : `${now.angles[i].toFixed(1)}°`);
  drawSigned(row.logit, now.logits[i], LONGEST_BAR);
  drawShare(row.prob, now.probs[i]);
  drawShare(row.weight, now.weights[i], selected ? undefined : "0"); // none at all, not merely a small one
}

// ---------------------------------------------------------------- the number inputs

/** Inputs for the token, every prototype and k, and the buttons. `change` takes the new values of the state. */
function buildControls(state, { initial, range }, change) {
  const fields = [...buildTokenFields(range), ...buildPrototypeFields(state, range), buildCountField(state)];
  const root = html("div", { class: "controls" }, ...grouped(fields), html("div", { class: "buttons" }));
  const controls = { root, fields, state, typing: null };
  for (const field of fields) listen(field, controls, change);
  const buttons = [
    button("Double x", () => change({ token: stretched(controls.state.token, 2, range) })),
    button("Halve x", () => change({ token: stretched(controls.state.token, 0.5, range) })),
    button("Reset", () => change(initial())),
  ];
  root.lastChild.append(...buttons);
  return controls;
}

function buildTokenFields(range) {
  return [0, 1].map((axis) => ({
    group: "x",
    input: numberInput(`x${axis + 1}`, `token-${axis}`, { min: -range, max: range, step: 0.1 }),
    read: (state) => state.token[axis],
    parse: (text, state) => ({ token: replaced(state.token, axis, coordinateFrom(text, range, state.token[axis])) }),
  }));
}

function buildPrototypeFields({ prototypes }, range) {
  const fieldsOf = (i) => [0, 1].map((axis) => ({
    group: name(i),
    own: ownedBy(i),
    input: numberInput(`${name(i)} w${axis + 1}`, `prototype-${i}-${axis}`, { min: -range, max: range, step: 0.1 }),
    read: (state) => state.prototypes[i][axis],
    parse: (text, state) => ({ prototypes: withCoordinate(state.prototypes, i, axis, text, range) }),
  }));
  return prototypes.flatMap((_, i) => fieldsOf(i));
}

function buildCountField({ prototypes }) {
  return {
    group: "k",
    input: numberInput("k, experts selected", "k", { min: 1, max: prototypes.length, step: 1 }),
    read: (state) => state.k,
    parse: (text, state) => ({ k: countFrom(text, prototypes.length, state.k) }),
  };
}

function withCoordinate(prototypes, i, axis, text, range) {
  const value = coordinateFrom(text, range, prototypes[i][axis]);
  return replaced(prototypes, i, replaced(prototypes[i], axis, value));
}

/** Put the inputs of one vector side by side, after its name. */
function grouped(fields) {
  const names = [...new Set(fields.map((field) => field.group))];
  return names.map((group) => {
    const members = fields.filter((field) => field.group === group);
    const inputs = members.map((field) => field.input);
    const attributes = { class: "vector", role: "group", "aria-label": group, ...members[0].own };
    return html("div", attributes, html("span", { class: "badge" }, group), ...inputs);
  });
}

// ---------------------------------------------------------------- the widget

/** Let the pointer take hold of the token or a prototype and move it. */
function dragTips(plane, stateOf, change) {
  let held = null;
  const svgRoot = plane.root;
  svgRoot.addEventListener("pointerdown", (event) => {
    if (!event.isPrimary || event.button !== 0) return;
    held = takeHold(plane, pointOf(plane, event), stateOf());
    if (held) svgRoot.setPointerCapture(event.pointerId);
  });
  svgRoot.addEventListener("pointermove", (event) => {
    if (held) change(movedTo(plane, pointOf(plane, event), held, stateOf()));
  });
  // A finger that holds a tip must not scroll the page; touch-action does nothing on a part of an SVG in Chromium.
  svgRoot.addEventListener("touchstart", (event) => held && event.preventDefault(), { passive: false });
  for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
    svgRoot.addEventListener(end, () => (held = null));
  }
}

/** The tip nearest to the press (0 the token, then the prototypes), and how far beside it the press was. */
function takeHold(plane, point, { token, prototypes }) {
  const tips = [token, ...prototypes];
  const index = nearest(point, tips, REACH / plane.scale);
  return index < 0 ? null : { index, offset: [0, 1].map((axis) => tips[index][axis] - point[axis]) };
}

function movedTo(plane, point, { index, offset }, { prototypes }) {
  const inPlane = (coordinate) => hundredths(clamp(coordinate, -plane.range, plane.range));
  const value = point.map((coordinate, axis) => inPlane(coordinate + offset[axis]));
  return index === 0 ? { token: value } : { prototypes: replaced(prototypes, index - 1, value) };
}

function hundredths(value) {
  return Math.round(value * 100) / 100 + 0; // what the inputs show is what is computed with
}

/** Where in the plane the pointer is. */
function pointOf({ root, scale }, event) {
  const box = root.getBoundingClientRect();
  const unit = (box.width / SIZE) * scale;
  return [(event.clientX - box.left - box.width / 2) / unit, -(event.clientY - box.top - box.height / 2) / unit];
}

/** Build all parts for this number of experts into `root`; returns the function that draws a state. */
function build(root, state, settings, change) {
  const plane = buildPlane(state.prototypes.length, settings.range);
  const sentence = html("p", { class: "sentence", "aria-live": "polite" });
  const table = buildTable(state.prototypes.length);
  const controls = buildControls(state, settings, change);
  const side = html("div", { class: "side" }, sentence, table.root, controls.root, html("p", { class: "note" }, NOTE));
  root.replaceChildren(plane.root, side);
  dragTips(plane, () => controls.state, change);
  return (next) => {
    const now = reading(next);
    drawPlane(plane, next, now);
    drawTable(table, now);
    drawControls(controls, next);
    say(sentence, explanation(now));
  };
}

const STATE = ["token", "prototypes", "k"];

/** The function that draws the model's state into `root`; another number of experts needs new parts. */
function drawing({ root, model, change }) {
  const settings = { initial: () => model.get("initial"), range: model.get("extent") };
  let built = { experts: 0, draw: null };
  linkExperts(root);
  return () => {
    const state = Object.fromEntries(STATE.map((key) => [key, model.get(key)]));
    const experts = state.prototypes.length;
    if (experts !== built.experts) built = { experts, draw: build(root, state, settings, change) };
    built.draw(state);
  };
}

export default { render: (context) => bound(context, "moe-compass", STATE, drawing) };

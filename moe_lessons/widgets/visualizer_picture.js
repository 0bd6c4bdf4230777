/**
 * The picture: a token goes to the router, the router's weights to the experts, and what those return is added up.
 * One row for each expert, which is the table of logit, probability and weight as well.
 */

const LONGEST_LOGIT = 4; // a bar ends at a logit of ±4
const THICKEST_WIRE = 10; // pixels, at a weight of 1
const ROW = 36; // pixels, as in visualizer.css

function buildPicture(desk) {
  const { setting } = desk;
  const help = panelHelp(desk, "Picture", HELP.picture);
  const rows = setting.experts.map((expert, i) => buildRow(expert, i));
  const token = buildToken(setting);
  const [into, out] = [buildFan("into", setting.experts), buildFan("out", setting.experts)];
  const middle = (ROW * setting.experts.length) / 2;
  into.wires.forEach((wire, i) => write(wire, { d: wirePath(middle, rowMiddle(i)) }));
  const sum = buildSum(setting);
  const flow = html("div", { class: "flow" }, token.root, into.root, buildTable(rows), out.root, sum.root, help.button);
  const output = buildOutput(setting);
  const named = { class: "picture", "aria-label": "From the token to the sum" };
  const root = html("section", named, flow, help.tip, output.root);
  return { root, rows, token, out, sum, output, buttons: rows.map(({ follow }) => follow) };
}

function head(text) {
  return html("div", { class: "head" }, text);
}

// ---------------------------------------------------------------- the token

function buildToken({ W_g }) {
  const [kind, example] = [html("b", {}), html("div")];
  const bars = W_g.map(() => buildBar("from-middle"));
  const box = html("div", { class: "box" }, kind, example, ...bars.map(({ bar }) => bar.parentElement));
  const root = html("div", { class: "token-part" }, head("Token x"), box);
  return { root, kind, example, bars, shown: null };
}

function drawToken(token, { setting }, { token: kind, x }) {
  if (token.shown !== kind) token.example.replaceChildren(exampleOf(kindOf(setting, kind)));
  token.shown = kind;
  say(token.kind, kind);
  token.bars.forEach((bar, row) => drawSigned(bar, x[row], setting.reach));
}

// ---------------------------------------------------------------- wires

function rowMiddle(i) {
  return ROW * (i + 0.5);
}

function wirePath(from, to) {
  return `M0 ${from} C50 ${from} 50 ${to} 100 ${to}`;
}

/** Wires between two parts, one for each expert, stretched to the room that there is. */
function buildFan(side, experts) {
  const wires = experts.map((_, i) => svg("path", ownedBy(i)));
  const box = { viewBox: `0 0 100 ${ROW * experts.length}`, preserveAspectRatio: "none", "aria-hidden": "true" };
  return { root: svg("svg", { class: `fan ${side}`, ...box }, ...wires), wires };
}

function thickness(weight) {
  return `${Math.max(1.5, THICKEST_WIRE * weight)}px`;
}

// ---------------------------------------------------------------- the rows

function buildTable(rows) {
  const heads = ["Router", "Logit h", "Prob p", "Weight w"].map((text) => {
    const [word, letter] = text.split(" ");
    return html("th", { scope: "col" }, word, ...(letter ? [html("span", {}, ` ${letter}`)] : []));
  });
  const experts = html("th", { scope: "col", class: "experts" }, "Experts");
  const top = html("tr", {}, ...heads, html("td", { class: "gap" }), experts);
  const body = html("tbody", {}, ...rows.map(({ root }) => root));
  return html("table", { class: "readout" }, html("thead", {}, top), body);
}

function buildRow(expert, i) {
  const mark = html("span", { class: "mark" });
  const follow = button("", () => {});
  write(follow, { class: "follow", "aria-pressed": "false" });
  follow.append(html("span", { class: "badge" }, name(i)), html("span", { class: "expert" }, ` ${expert}`));
  const [logit, prob, weight] = [buildBar("from-middle"), buildBar(""), buildBar("")];
  const wire = html("div", { class: "wire" });
  const status = html("span", { class: "status" });
  const card = html("div", { class: "card" }, html("b", {}, `${name(i)}(x)`), status);
  const first = html("th", { scope: "row" }, follow, mark);
  const last = [html("td", { class: "gap", "aria-hidden": "true" }, wire), html("td", { class: "experts" }, card)];
  const bars = [logit, prob, weight].map((bar) => bar.root);
  const root = html("tr", ownedBy(i), first, ...bars, ...last);
  return { root, follow, mark, logit, prob, weight, wire, status };
}

function drawRow(row, i, form, now) {
  const active = now.selected.includes(i);
  row.root.classList.toggle("active", active);
  say(row.mark, place(i, form, now));
  say(row.status, active ? "● active" : "○ asleep");
  row.wire.style.height = active ? thickness(now.weights[i]) : "0";
  drawSigned(row.logit, now.logits[i], LONGEST_LOGIT);
  drawShare(row.prob, now.probs[i]);
  drawShare(row.weight, now.weights[i], active ? awake(now.weights[i]) : "0"); // none at all, not merely a small one
}

// ---------------------------------------------------------------- the sum

/** The weights stacked to a bar that is full at 1. */
function buildSum({ experts }) {
  const parts = experts.map((_, i) => html("i", ownedBy(i), html("b", {}, name(i))));
  const mix = html("div", { class: "mix", "aria-hidden": "true" }, ...parts);
  return { root: html("div", { class: "sum" }, head("Sum y"), mix), parts };
}

function drawSum({ parts }, { wires }, { weights, selected }) {
  const ends = middles(weights);
  parts.forEach((part, i) => {
    part.style.flexBasis = `${100 * weights[i]}%`;
    part.classList.toggle("named", weights[i] > 0.1); // a name needs room
    write(wires[i], { d: wirePath(rowMiddle(i), ends[i] * ROW * weights.length) });
    wires[i].style.strokeWidth = selected.includes(i) ? thickness(weights[i]) : "0";
  });
}

/** A node whose words have the room of the longest that may come, so that nothing moves when they do. */
function roomy(tag, longest, node) {
  return html(tag, { class: "roomy", "data-longest": longest }, node);
}

function buildOutput({ experts, W_g }) {
  const terms = experts.map((_, i) => html("span", { class: "term", ...ownedBy(i) }));
  const total = html("span", { class: "total" });
  const formula = roomy("div", longest(W_g, experts).formula, html("span", { class: "formula" }, "y = ", ...terms));
  const root = html("div", { class: "output" }, formula, total);
  return { root, terms, total };
}

function drawPicture({ rows, token, out, sum, output }, desk, state, now) {
  drawToken(token, desk, state);
  rows.forEach((row, i) => drawRow(row, i, state.form, now));
  drawSum(sum, out, now);
  output.terms.forEach((node, i) => say(node, term(i, now)));
  say(output.total, `Σ w = ${sumOf(now.weights).toFixed(3)}`);
}

/** Where the logits come from: the entries of x beside the columns of W_g, below them scores, noise, logits. */

const STEPS = [
  { key: "score", title: "x·W_g" },
  { key: "sample", title: "ε, frozen" },
  { key: "noise", title: "+ noise·ε" },
  { key: "logit", title: "= logit h" },
];

function buildRouter(desk, controls) {
  const { setting } = desk;
  const columns = setting.experts.map((expert, i) => buildColumn(setting, expert, i));
  const entries = setting.W_g.map((_, row) => buildEntry(desk, controls, row));
  const ofToken = html("th", { scope: "col", class: "of-token" });
  const rows = entries.map((entry, row) => html("tr", {}, entry.root, ...columns.map(({ weights }) => weights[row])));
  const steps = STEPS.map((step, at) => buildStep(step, at, columns));
  const table = html(
    "table", { class: "gate" },
    html("colgroup", {}, html("col", { class: "labels" }), ...columns.map(() => html("col"))),
    html("thead", {}, html("tr", {}, ofToken, ...columns.map(({ head }) => head))),
    html("tbody", {}, ...rows),
    html("tbody", { class: "steps" }, ...steps.map(({ root }) => root)),
  );
  const named = { class: "router", "aria-label": "Where the logits come from" };
  const root = html("section", named, buildTitle(desk, controls), table);
  return { root, columns, entries, steps, ofToken };
}

/** The panel's name and its buttons, which are one tab stop. */
function buildTitle(desk, controls) {
  const { root, setting, change } = desk;
  const help = panelHelp(desk, "Where the logits come from", HELP.router);
  controls.edit = button("Edit x", () => root.classList.toggle("editing"));
  controls.back = button("Reset x", () => change({ x: kindOf(setting, controls.state.token).x }));
  roving([controls.edit, controls.back, help.button]);
  const buttons = [controls.edit, controls.back, help.button];
  return html("div", { class: "title" }, html("b", {}, "h = x·W_g"), ...buttons, help.tip);
}

/** The cells of one expert, from its name down to its logit. */
function buildColumn(setting, expert, i) {
  const own = ownedBy(i);
  const names = [html("span", { class: "badge" }, name(i)), html("span", { class: "expert" }, ` ${expert}`)];
  const head = html("th", { scope: "col", ...own }, ...names);
  const weights = setting.W_g.map((row) => html("td", own, written(row[i])));
  const steps = STEPS.map(({ key }) => html("td", { class: key, ...own }));
  return { head, weights, steps };
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
  const root = html("th", { scope: "row", class: "entry" }, html("div", {}, axis, bar.parentElement, number, input));
  return { root, number, bar };
}

function buildStep({ key, title }, at, columns) {
  const note = html("span", { class: "note" });
  const head = html("th", { scope: "row" }, title, note);
  return { key, note, root: html("tr", { class: `step ${key}` }, head, ...columns.map(({ steps }) => steps[at])) };
}

function drawRouter({ columns, entries, steps, ofToken }, { setting }, state, now) {
  const kind = kindOf(setting, state.token);
  say(ofToken, equal(state.x, kind.x) ? `x of “${kind.token}”` : "x, edited");
  entries.forEach((entry, row) => drawSigned(entry, state.x[row], setting.reach));
  for (const { key, note, root } of steps) {
    say(note, stepNote(key, state));
    root.classList.toggle("unused", key === "sample" && state.noise === 0);
  }
  columns.forEach(({ head, weights, steps: cells }, i) => {
    [now.scores, state.noise_sample, now.added, now.logits].forEach((row, at) => say(cells[at], signed(row[i])));
    const active = now.selected.includes(i);
    for (const node of [head, ...weights, ...cells]) node.classList.toggle("active", active);
  });
}

/** What stands beside the name of a step. */
function stepNote(key, { noise }) {
  if (key === "sample") return noise === 0 ? "not used" : "";
  return key === "noise" ? `noise = ${written(noise)}` : "";
}

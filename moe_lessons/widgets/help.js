/**
 * Explanations that open by hover, by keyboard focus and by tap, one at a time. Escape closes them, and so does leaving
 * or a press elsewhere. A screen reader reads an explanation with the button it belongs to.
 */

const HOVER_MS = 150; // before opening and before closing: time to pass by, and time to reach the explanation

/**
 * Prepare explanations inside `root`, which must be positioned; the listeners end with `signal`. Returns a function
 * (title, text) -> {button, tip}: place the button; `tip` holds the text and may be rewritten.
 */
function explanations(root, signal) {
  const layer = html("div", { class: "tips" });
  root.append(layer);
  const desk = { root, shown: null, timer: 0, prefix: `tip-${Math.random().toString(36).slice(2)}` };
  document.addEventListener("pointerdown", (event) => closeUnlessInside(desk, event.target), { signal });
  document.addEventListener("keydown", (event) => closeOnEscape(desk, event), { signal, capture: true });
  signal.addEventListener("abort", () => clearTimeout(desk.timer));
  return (title, text) => {
    const help = buildHelp(title, text, `${desk.prefix}-${layer.childElementCount}`);
    layer.append(help.tip);
    attend(desk, help);
    return help;
  };
}

function buildHelp(title, text, id) {
  const tip = html("div", { class: "tip", role: "tooltip", id, hidden: "" }, text);
  const mark = html("span", { class: "mark", "aria-hidden": "true" }, "?");
  const node = html("button", { type: "button", class: "help", "aria-describedby": id, ...OWN_KEYS }, title, mark);
  return { button: node, tip };
}

function attend(desk, help) {
  for (const node of [help.button, help.tip]) {
    node.addEventListener("pointerenter", (event) => hover(desk, event, () => showTip(desk, help)));
    node.addEventListener("pointerleave", (event) => hover(desk, event, () => closeUnlessFocused(desk)));
  }
  help.button.addEventListener("focus", () => showTip(desk, help));
  help.button.addEventListener("click", () => showTip(desk, help)); // a tap does not focus a button everywhere
  help.button.addEventListener("blur", () => hideTip(desk));
}

function hover(desk, event, action) {
  if (event.pointerType !== "mouse") return;
  clearTimeout(desk.timer);
  desk.timer = setTimeout(action, HOVER_MS);
}

function showTip(desk, help) {
  if (desk.shown !== help) hideTip(desk);
  desk.shown = help;
  help.tip.hidden = false;
  beside(help.button, help.tip, desk.root);
}

function hideTip(desk) {
  clearTimeout(desk.timer);
  if (desk.shown) desk.shown.tip.hidden = true;
  desk.shown = null;
}

function closeUnlessFocused(desk) {
  if (document.activeElement !== desk.shown?.button) hideTip(desk);
}

function closeUnlessInside(desk, target) {
  if (desk.shown && !desk.shown.button.contains(target) && !desk.shown.tip.contains(target)) hideTip(desk);
}

function closeOnEscape(desk, event) {
  if (event.key !== "Escape" || !desk.shown) return;
  hideTip(desk);
  if (desk.root.contains(event.target)) event.stopPropagation(); // else JupyterLab would leave the widget
}

/** Put the tip below the button, or above it where there is no room, and inside the width of `root`. */
function beside(node, tip, root) {
  const [outer, at] = [root.getBoundingClientRect(), node.getBoundingClientRect()];
  const [width, height] = [tip.offsetWidth, tip.offsetHeight];
  const above = at.top - outer.top - height;
  const fitsBelow = at.bottom + height <= Math.min(outer.bottom, window.innerHeight);
  tip.style.left = `${clamp(at.left - outer.left, 4, Math.max(4, outer.width - width - 4))}px`;
  tip.style.top = `${fitsBelow || above < 0 ? at.bottom - outer.top : above}px`;
}

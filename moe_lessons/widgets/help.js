/**
 * One "?" for a panel. A press opens what its words mean; another press, Escape, a press elsewhere or leaving it with
 * the keyboard closes it. It lies over the panel and opens for nothing else, so it never hides what is being used.
 */

/** Returns {button, tip} for `entries`, a list of [term, text]: place both inside `root`, which must be positioned. */
function panelHelp({ root, signal }, title, entries) {
  const id = `help-${Math.random().toString(36).slice(2)}`;
  const words = entries.flatMap(([term, text]) => [html("dt", {}, term), html("dd", {}, text)]);
  const named = { role: "group", "aria-label": `${title}: what the words mean`, tabindex: "0" };
  const tip = html("div", { class: "tip", id, hidden: "", ...named, ...OWN_KEYS }, html("dl", {}, ...words));
  const node = button("?", () => showHelp(root, help, tip.hidden));
  write(node, { class: "help", "aria-label": `${title}: help`, "aria-expanded": "false", "aria-controls": id });
  const help = { button: node, tip };
  closeByLeaving(root, help, signal);
  return help;
}

function showHelp(root, { button: node, tip }, open) {
  tip.hidden = !open;
  write(node, { "aria-expanded": open });
  if (open) beside(node, tip, root);
}

function closeByLeaving(root, help, signal) {
  const inside = (target) => help.button.contains(target) || help.tip.contains(target);
  const close = () => showHelp(root, help, false);
  document.addEventListener("pointerdown", ({ target }) => inside(target) || close(), { signal });
  document.addEventListener("keydown", (event) => closeOnEscape(root, help, event), { signal, capture: true });
  for (const node of [help.button, help.tip]) {
    node.addEventListener("focusout", ({ relatedTarget }) => relatedTarget && !inside(relatedTarget) && close());
  }
}

function closeOnEscape(root, help, event) {
  if (event.key !== "Escape" || help.tip.hidden) return;
  if (help.tip.contains(document.activeElement)) help.button.focus();
  showHelp(root, help, false);
  if (root.contains(event.target)) event.stopPropagation(); // else JupyterLab would leave the widget
}

/** Put the tip below the button, or above it where there is more room, and inside `root`. */
function beside(node, tip, root) {
  const [outer, at] = [root.getBoundingClientRect(), node.getBoundingClientRect()];
  const [below, above] = [outer.bottom - at.bottom, at.top - outer.top];
  tip.style.maxHeight = `${Math.max(below, above) - 12}px`;
  const top = below >= Math.min(tip.offsetHeight, above) ? at.bottom - outer.top + 4 : above - tip.offsetHeight - 4;
  tip.style.top = `${top}px`;
  tip.style.left = `${clamp(at.right - outer.left - tip.offsetWidth, 4, outer.width)}px`;
}

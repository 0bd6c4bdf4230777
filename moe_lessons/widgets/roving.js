/** One tab stop for several buttons that belong together: arrow keys, Home and End go from one to the next. */
function roving(nodes) {
  const stopAt = (stop) => nodes.forEach((node) => write(node, { tabindex: node === stop ? 0 : -1 }));
  for (const node of nodes) {
    node.addEventListener("focus", () => stopAt(node));
    node.addEventListener("keydown", (event) => {
      const next = event.ctrlKey || event.metaKey || event.altKey ? undefined : neighbour(nodes, node, event.key);
      if (next === undefined) return;
      event.preventDefault();
      next.focus();
    });
  }
  stopAt(nodes[0]);
}

/** The button that a key leads to from `node`, among those that can be pressed; undefined for other keys. */
function neighbour(nodes, node, key) {
  const open = nodes.filter(({ disabled }) => !disabled);
  const at = open.indexOf(node);
  const leads = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: -1 };
  return key in leads ? open.at(leads[key] % open.length) : undefined;
}

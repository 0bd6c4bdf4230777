/**
 * A picture in a few states, drawn beforehand: buttons to choose one, with Tab and the arrow keys. Runs as one module
 * with dom.js and roving.js, which are joined in front of it. state: {label, states: [{name, img, alt}], shown}.
 */

/** The state that is shown: the one that is asked for, if there is such a one, else the first. */
export function frameOf(states, shown) {
  return states[shown] ?? states[0];
}

function drawing({ root, model, change }) {
  const states = model.get("states");
  const picture = html("img");
  const buttons = states.map(({ name }, i) => button(name, () => change({ shown: i })));
  const voice = html("p", { class: "spoken", "aria-live": "polite" });
  const label = html("p", { class: "label" }, model.get("label"));
  root.append(label, html("div", { class: "choice", role: "group", "aria-label": "State of the picture" }, ...buttons));
  root.append(picture, voice);
  roving(buttons);
  let first = true;
  return () => {
    const frame = frameOf(states, model.get("shown"));
    write(picture, { src: frame.img, alt: frame.alt });
    buttons.forEach((node, i) => write(node, { "aria-pressed": states[i] === frame }));
    if (!first) say(voice, `${frame.name}. ${frame.alt}`);
    first = false;
    write(root, { "data-state": frame.name });
  };
}

export default { render: (context) => bound(context, "moe-frames", ["shown"], drawing) };

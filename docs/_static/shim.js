/** Stands in for the model that anywidget gives to a widget: the same few functions, and no kernel behind them. */

/** state: the widget's traits, which the model changes. saved: called where a widget would send them to its kernel. */
export function modelOf(state, saved = () => {}) {
  const heard = {};
  return {
    get: (key) => state[key],
    set: (key, value) => {
      if (state[key] === value) return;
      state[key] = value;
      for (const call of [...(heard[`change:${key}`] ?? [])]) call();
    },
    on: (event, call) => void (heard[event] ??= []).push(call),
    off: (event, call) => {
      heard[event] = (heard[event] ?? []).filter((other) => other !== call);
    },
    save_changes: () => saved(),
  };
}

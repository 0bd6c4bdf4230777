/**
 * The visualizer's state in the fragment of the page's address, so that a link shows what its sender saw:
 * `#visualizer:token=maths&k=3`. Only what differs from the start is written. What does not fit is passed over.
 */

const MARK = "#visualizer:";

/** Numbers of a list in an address, such as "1,-0.5"; null where one is none, or lies beyond ±reach. */
function numbers(text, count, reach) {
  const values = text.split(",").map((part) => (part.trim() === "" ? NaN : Number(part)));
  return values.length === count && values.every((value) => Math.abs(value) <= reach) ? values : null;
}

function number(text, low, high) {
  const value = text.trim() === "" ? NaN : Number(text);
  return value >= low && value <= high ? value : null;
}

function whole(text, low, high) {
  const value = number(text, low, high);
  return Number.isInteger(value) ? value : null;
}

/** Text without what mail and chats make of a comma. */
function plain(text) {
  return text.replace(/%2C/gi, ",");
}

const oneOf = (text, words) => (words.includes(text) ? text : null);
const FORMS = ["topk_softmax", "softmax_topk", "softmax_topk_renorm"];

/** For each key of an address: what it reads, and how it is written. `of`: the setting and the noise samples. */
const KEYS = {
  token: { key: "token", read: (text, { kinds }) => oneOf(text, kinds.map(({ name }) => name)) },
  x: { key: "x", read: (text, { W_g, reach }) => numbers(text, W_g.length, reach), write: (x) => x.join(",") },
  k: { key: "k", read: (text, { experts }) => whole(text, 1, experts.length) },
  noise: { key: "noise", read: (text, { largestNoise }) => number(text, 0, largestNoise) },
  sample: {
    key: "noise_sample",
    read: (text, { samples }) => samples[whole(text, 1, samples.length) - 1] ?? null,
    write: (sample, { samples }) => samples.findIndex((other) => String(other) === String(sample)) + 1,
  },
  temperature: { key: "temperature", read: (text, { temperatures: [low, high] }) => number(text, low, high) },
  form: { key: "form", read: (text) => oneOf(text, FORMS) },
};

/** Whether a fragment is one of these, and no place on the page. */
export function isAddress(fragment) {
  return fragment.startsWith(MARK);
}

/** What an address asks for: {trait: value}, empty where it asks for nothing. A token brings its x along. */
export function read(fragment, of) {
  if (!isAddress(fragment)) return {};
  const found = {};
  for (const part of fragment.slice(MARK.length).split("&")) {
    const [name, text = ""] = part.split("=");
    const value = Object.keys(KEYS).includes(name) ? KEYS[name].read(plain(text), of) : null;
    if (value !== null) found[KEYS[name].key] = value;
  }
  if (found.token && !found.x) found.x = of.kinds.find(({ name }) => name === found.token).x;
  return found;
}

/** The fragment for a state, "" for the initial one. An x that its token brings along is left out. */
export function written(state, initial, of) {
  const same = (key) => String(state[key]) === String(initial[key]);
  const usual = String(of.kinds.find(({ name }) => name === state.token).x) === String(state.x);
  const parts = Object.entries(KEYS)
    .filter(([name, { key }]) => (name === "x" ? !usual : !same(key)))
    .map(([name, { key, write = String }]) => `${name}=${write(state[key], of)}`);
  return parts.length ? `${MARK}${parts.join("&")}` : "";
}

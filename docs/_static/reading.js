/**
 * How much is explained: "everything", "the usual" or "little" decides which words of a page are marked, and is
 * remembered. A marked word, which is an <abbr title="what it means"> of the page, shows its meaning when it is pointed
 * at, has the focus, or is tapped; Escape puts it away. The switch goes into <div class="reading-level"></div>, or
 * before the first marked word's section where a page has no such place. For whom a word is explained says its
 * data-level or, where a page lacks these, ./glossary.json.
 */

const AMOUNTS = { everything: 3, "the usual": 2, little: 1 };
const LEVELS = ["expert", "practitioner", "newcomer"]; // who wants little has the first of them marked
const KEY = "moe-lessons/explain";

/** Whether a word of this level is marked for who asks for this amount. A word that is not known always is. */
export function isMarked(level, amount) {
  const at = LEVELS.indexOf(level);
  return at < 0 || at < AMOUNTS[amount];
}

function remembered() {
  try {
    const amount = localStorage.getItem(KEY);
    return amount in AMOUNTS ? amount : "everything";
  } catch {
    return "everything";
  }
}

function remember(amount) {
  try {
    localStorage.setItem(KEY, amount);
  } catch {
    // then it holds for this page
  }
}

// ---------------------------------------------------------------- the meaning of a word

const tip = Object.assign(document.createElement("div"), { id: "meaning", className: "meaning", hidden: true });
tip.setAttribute("role", "tooltip");

let shown = null; // the word whose meaning is seen

function show(word) {
  shown = word;
  tip.textContent = word.dataset.says;
  tip.hidden = false;
  const [at, width] = [word.getClientRects()[0], document.documentElement.clientWidth];
  const left = Math.max(8, Math.min(at.left, width - tip.offsetWidth - 8));
  const below = at.bottom + tip.offsetHeight + 8 < innerHeight;
  const top = below ? at.bottom : at.top - tip.offsetHeight;
  Object.assign(tip.style, { left: `${left}px`, top: `${top}px` });
}

function hide() {
  tip.hidden = true;
}

/** Let a word show its meaning; the pointer may go over to it. */
function listen(word) {
  word.addEventListener("pointerenter", () => word.tabIndex === 0 && show(word));
  word.addEventListener("focus", () => show(word));
  word.addEventListener("click", () => word.tabIndex === 0 && show(word));
  word.addEventListener("blur", hide);
  word.addEventListener("pointerleave", ({ relatedTarget }) => relatedTarget !== tip && hide());
}

// ---------------------------------------------------------------- the page

function mark(words, amount) {
  for (const word of words) {
    const marked = isMarked(word.dataset.level, amount);
    word.classList.toggle("explained", marked);
    if (marked) word.setAttribute("tabindex", "0");
    else word.removeAttribute("tabindex");
  }
}

function buildSwitch(amount, choose) {
  const legend = Object.assign(document.createElement("legend"), { textContent: "Explain" });
  const fields = Object.keys(AMOUNTS).map((name) => {
    const input = Object.assign(document.createElement("input"), { type: "radio", name: "explain", value: name });
    input.checked = name === amount;
    input.addEventListener("change", () => choose(name));
    const label = document.createElement("label");
    label.append(input, ` ${name}`);
    return label;
  });
  const root = Object.assign(document.createElement("fieldset"), { className: "explain" });
  root.append(legend, ...fields);
  return root;
}

function placeOf(words) {
  const named = document.querySelector("div.reading-level");
  if (named) return named;
  const made = Object.assign(document.createElement("div"), { className: "reading-level" });
  (words[0].closest("section") ?? words[0].parentElement).before(made);
  return made;
}

/** Give words their levels, by what they say. */
async function level(words) {
  if (words.length === 0) return;
  const known = await (await fetch(new URL("./glossary.json", import.meta.url))).json();
  const levels = new Map(known.map(({ says, level }) => [says, level]));
  for (const word of words) word.dataset.level = levels.get(word.title) ?? "";
}

async function begin() {
  const words = [...document.querySelectorAll("abbr[title]")];
  if (words.length === 0) return;
  await level(words.filter((word) => !word.dataset.level));
  for (const word of words) {
    word.dataset.says = word.title;
    word.setAttribute("aria-describedby", tip.id);
    word.removeAttribute("title"); // else the browser shows it as well
    listen(word);
  }
  mark(words, remembered());
  const choose = (amount) => {
    remember(amount);
    mark(words, amount);
    hide();
  };
  placeOf(words).append(buildSwitch(remembered(), choose));
  (document.querySelector("main") ?? document.body).append(tip);
  tip.addEventListener("pointerleave", hide);
  addEventListener("scroll", () => tip.hidden || show(shown), { passive: true });
  addEventListener("keydown", ({ key }) => key === "Escape" && hide());
  addEventListener("pointerdown", ({ target }) => !target.closest?.("abbr, .meaning") && hide());
}

begin().catch((fault) => console.warn(`words: ${fault.message}`));

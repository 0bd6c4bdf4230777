/**
 * A lesson's quiz: question after question, each with the reason of what was chosen; after a wrong choice the sister
 * question of the same idea. Runs as one module with dom.js, which is joined in front of it (quiz.py).
 * setting: {lesson, ideas: [{name, says, section, questions: [{asks, options: [{text, why, right}]}]}]}, texts as HTML.
 * attempt: {seed, asked, answers, left}: the ideas that are asked, as indices; the options that were chosen, as they
 * stand in the setting; how many of these answers were left by "Next". kept: {name of an idea: {attempts, correct}}.
 */

const STATE = ["attempt", "kept", "place"];

// ---------------------------------------------------------------- pure functions

/** Numbers from 0 to 1, always the same ones for a seed (the generator is mulberry32, of the public domain). */
function draws(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let bits = Math.imul(state ^ (state >>> 15), state | 1);
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The options 0 … count − 1 in the order of this attempt for one of its questions: every order is as likely. */
export function shuffled(count, seed, idea, question) {
  const draw = draws(seed + 7919 * idea + 104729 * question);
  const order = repeat(count, (i) => i);
  for (let last = count - 1; last > 0; last--) {
    const other = Math.floor(draw() * (last + 1));
    [order[last], order[other]] = [order[other], order[last]];
  }
  return order;
}

/** A new attempt at the ideas that nobody has shown yet; at all of them where none is left. */
export function begun(ideas, kept, seed) {
  const every = ideas.map((_, i) => i);
  const open = every.filter((i) => !kept[ideas[i].name]?.correct);
  return { seed, asked: open.length ? open : every, answers: [], left: 0 };
}

/** The questions so far: {idea, question, chosen, right}; the one that is open comes last, without the latter two. */
export function steps(ideas, { asked, answers }) {
  const found = [];
  let [place, question] = [0, 0];
  for (const chosen of [...answers, undefined]) {
    const idea = asked[place];
    if (idea === undefined) break;
    const { questions } = ideas[idea];
    const right = questions[question].options[chosen]?.right;
    found.push({ idea, question, chosen, right });
    [place, question] = right || question + 1 === questions.length ? [place + 1, 0] : [place, question + 1];
  }
  return found;
}

/** For each idea that is asked: "at once", "then" (the sister question was right), "missed", or "open". */
export function score(ideas, attempt) {
  const answered = steps(ideas, attempt).filter(({ chosen }) => chosen !== undefined);
  return attempt.asked.map((idea) => {
    const of = answered.filter((step) => step.idea === idea);
    if (of.some(({ right }) => right)) return of.length === 1 ? "at once" : "then";
    return of.length === ideas[idea].questions.length ? "missed" : "open";
  });
}

/** What is shown: {step, over}; the step is the last answer until it is left, then the open question. */
export function standing(ideas, attempt) {
  const step = steps(ideas, attempt)[attempt.left];
  return { step, over: step === undefined };
}

/** What is kept after an answer: an idea that it settles counts as one attempt more, and stays correct once it is. */
export function keptAfter(ideas, attempt, kept) {
  const { idea } = steps(ideas, attempt)[attempt.answers.length - 1];
  const how = score(ideas, attempt)[attempt.asked.indexOf(idea)];
  if (how === "open") return kept;
  const { attempts, correct } = kept[ideas[idea].name] ?? { attempts: 0, correct: false };
  return { ...kept, [ideas[idea].name]: { attempts: attempts + 1, correct: correct || how !== "missed" } };
}

const WORDS = { "at once": "at once", then: "at the second question", missed: "not yet", open: "not asked yet" };
const MARKS = { "at once": "✓", then: "✓", missed: "✗", open: "○" };

/** The result in a sentence: "3 ideas of 5 at once, 1 at the second question, 1 not yet." */
export function told(results) {
  const parts = ["at once", "then", "missed"].map((how) => [results.filter((one) => one === how).length, WORDS[how]]);
  const [first, ...others] = parts.filter(([count], i) => i === 0 || count > 0);
  const ideas = `${first[0]} of ${results.length} idea${results.length === 1 ? "" : "s"} ${first[1]}`;
  return `${[ideas, ...others.map((part) => part.join(" "))].join(", ")}.`;
}

// ---------------------------------------------------------------- drawing

/** An element around a text of the course, which is HTML. */
function rich(tag, attributes, text, ...before) {
  const node = html(tag, attributes, ...before);
  node.insertAdjacentHTML("beforeend", text);
  return node;
}

// What gets the focus by itself, not in the order of the Tab key.
const LED_TO = { tabindex: "-1", ...OWN_KEYS };

function drawHead(head, { ideas }, attempt, { step, over }) {
  const results = score(ideas, attempt);
  const at = over ? -1 : attempt.asked.indexOf(step.idea);
  const marks = results.map((how, i) => html("li", { "data-how": how, ...(i === at && { class: "now" }) }, MARKS[how]));
  const sister = step?.question ? ": once more, asked in another way" : "";
  const still = results.length < ideas.length ? " still open" : "";
  const words = over ? "Done" : `Idea ${at + 1} of ${results.length}${still}${sister}`;
  head.replaceChildren(html("span", {}, words), html("ol", { "aria-hidden": "true" }, ...marks));
}

/** The question with its options: buttons while it is open, then what was chosen and why. */
function questionNode(setting, attempt, step, choose) {
  const { asks, options } = setting.ideas[step.idea].questions[step.question];
  const order = shuffled(options.length, attempt.seed, step.idea, step.question);
  const named = `quiz-${Math.random().toString(36).slice(2)}`;
  const title = rich("p", { class: "asks", id: named, ...LED_TO }, asks);
  const open = step.chosen === undefined;
  const list = order.map((i) => (open ? optionButton(options[i], i, choose) : optionText(options[i], i === step.chosen)));
  return html("div", { class: "question" }, title, html("ul", { class: "options", "aria-labelledby": named }, ...list));
}

function optionButton({ text }, i, choose) {
  const node = button("", () => choose(i));
  write(node, { "data-option": i });
  node.insertAdjacentHTML("beforeend", text);
  return html("li", {}, node);
}

function optionText({ text, why, right }, chosen) {
  const mark = html("span", { class: "mark" }, right ? "✓ " : chosen ? "✗ " : "");
  const said = [right && "right", chosen && "your answer"].filter(Boolean).join(", ");
  const option = rich("span", { class: "option" }, text, mark);
  if (said) option.append(html("span", { class: "said" }, ` (${said})`));
  const kind = [right ? "right" : "wrong", chosen ? "chosen" : "other"].join(" ");
  return html("li", { class: kind }, option, ...(chosen || right ? [rich("p", { class: "why" }, why)] : []));
}

/** The reasons of the options that were neither chosen nor right, folded. */
function others({ options }, chosen) {
  const left = options.filter(({ right }, i) => !right && i !== chosen);
  if (left.length === 0) return [];
  const items = left.map(({ text, why }) => html("li", {}, rich("span", {}, text), rich("p", { class: "why" }, why)));
  const summary = html("summary", { ...OWN_KEYS }, `Why not the other${left.length > 1 ? "s" : ""}?`);
  return [html("details", {}, summary, html("ul", {}, ...items))];
}

/** The result: idea by idea, what it says, and where it is explained. */
function resultNode({ ideas }, attempt, place) {
  const results = score(ideas, attempt);
  const rows = attempt.asked.map((idea, i) => resultRow(ideas[idea], results[i]));
  const title = html("p", { class: "asks", ...LED_TO }, told(results));
  return html("div", { class: "result" }, title, html("ul", {}, ...rows), html("p", { class: "place" }, place));
}

function resultRow({ says, section }, how) {
  const row = html("li", { "data-how": how }, html("span", { class: "mark" }, MARKS[how]));
  const text = rich("span", {}, says);
  text.append(html("span", { class: "said" }, ` (${WORDS[how]})`));
  if (how !== "at once") text.append(rich("span", { class: "read" }, section, " Read again: "), ".");
  row.append(text);
  return row;
}

/** What is said aloud of an answer; a question and the result are read where the focus is led to. */
function speak(voice, setting, step) {
  const answered = step?.chosen !== undefined;
  const options = answered ? setting.ideas[step.idea].questions[step.question].options : [];
  const said = answered ? `${step.right ? "Right." : "Not right."} ${options[step.chosen].why}` : "";
  if (voice.innerHTML !== said) voice.innerHTML = said;
}

// ---------------------------------------------------------------- the widget

/** What the buttons do: each returns what changes. */
function moves(setting, model) {
  const { ideas } = setting;
  const again = (asked) => ({ attempt: { seed: newSeed(), asked, answers: [], left: 0 } });
  return {
    choose: (option) => {
      const attempt = { ...model.get("attempt"), answers: [...model.get("attempt").answers, option] };
      return { attempt, kept: keptAfter(ideas, attempt, model.get("kept")) };
    },
    next: () => ({ attempt: { ...model.get("attempt"), left: model.get("attempt").left + 1 } }),
    missed: (missed) => again(missed),
    all: () => again(ideas.map((_, i) => i)),
  };
}

function newSeed() {
  return Math.floor(Math.random() * 2 ** 31);
}

/** The buttons below: "Next" after an answer, and at the end what can be asked again. */
function buttonsFor(setting, attempt, { step, over }, move, act) {
  if (!over) {
    if (step.chosen === undefined) return [];
    const last = steps(setting.ideas, attempt).length === attempt.left + 1;
    const sister = !step.right && step.question + 1 < setting.ideas[step.idea].questions.length;
    return [button(last ? "See the result" : sister ? "The same idea once more" : "Next", () => act(move.next()))];
  }
  const missed = attempt.asked.filter((_, i) => score(setting.ideas, attempt)[i] === "missed");
  const some = missed.length > 0 ? [button("Ask what is missing", () => act(move.missed(missed)))] : [];
  return [...some, button("Ask all again", () => act(move.all()))];
}

/** Build the frame; returns the function that draws the present state. */
function drawing({ root, model, change }) {
  const setting = readText(model, "setting");
  const parts = { head: html("div", { class: "head" }), body: html("div"), below: html("div", { class: "below" }) };
  const voice = html("p", { class: "spoken", "aria-live": "polite" });
  write(root, { role: "group", "aria-label": `Quiz of lesson ${setting.lesson}` });
  root.append(parts.head, parts.body, parts.below, voice);
  if (!model.get("attempt").asked) model.set("attempt", begun(setting.ideas, model.get("kept"), newSeed()));
  const move = moves(setting, model);
  const draw = () => drawAll({ root, model, setting, parts, voice, move, act: change });
  return draw;
}

function drawAll({ root, model, setting, parts, voice, move, act }) {
  const attempt = model.get("attempt");
  const focused = root.contains(document.activeElement); // on a button that goes away now
  const now = standing(setting.ideas, attempt);
  const { step, over } = now;
  drawHead(parts.head, setting, attempt, now);
  const choose = (option) => act(move.choose(option));
  const shown = over ? resultNode(setting, attempt, model.get("place")) : questionNode(setting, attempt, step, choose);
  const chosen = !over && step.chosen !== undefined;
  const reasons = chosen ? others(setting.ideas[step.idea].questions[step.question], step.chosen) : [];
  parts.body.replaceChildren(shown, ...reasons);
  parts.below.replaceChildren(...buttonsFor(setting, attempt, now, move, act));
  speak(voice, setting, step);
  write(root, { "data-state": over ? "over" : chosen ? "answered" : "asked", "data-left": attempt.left });
  if (focused) lead(root);
}

/** Lead the focus to what comes next: after an answer to "Next", else to the question or the result. */
function lead(root) {
  const next = root.dataset.state === "answered" ? root.querySelector(".below button") : root.querySelector(".asks");
  next.focus();
}

export default { render: (context) => bound(context, "moe-quiz", STATE, drawing) };

// Small helpers: all that comes from the journal gets into the page as text, never as markup.

export const byId = (id) => document.getElementById(id);

export function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// Sets a text only if it is another, so that nothing flickers and no selection is lost.
export function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
  node.hidden = text === "";
}

export function mark(node, name, value) {
  if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

// Lets a list show these items: what is there already stays the same node, with its focus, and only changes its texts.
export function keyed(parent, items, keyOf, create, update) {
  const keys = new Set(items.map((item) => String(keyOf(item))));
  const there = new Map();
  for (const child of [...parent.children]) {
    if (keys.has(child.dataset.key)) there.set(child.dataset.key, child);
    else child.remove();
  }
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = String(keyOf(item));
    let node = there.get(key);
    if (!node) {
      node = create(item);
      node.dataset.key = key;
    }
    update(node, item);
    if (node === place) place = place.nextElementSibling;
    else parent.insertBefore(node, place);
  }
}

const UNITS = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];

function duration(seconds) {
  const [unit, size] = UNITS.find(([, each]) => seconds >= each) ?? UNITS.at(-1);
  return `${Math.max(0, Math.floor(seconds / size))} ${unit}`;
}

const ago = (seconds) => `${duration(Date.now() / 1000 - seconds)} ago`;

// A moment, as how long ago it is; `tick` keeps that true.
export function moment(node, seconds, before = "") {
  if (seconds === null) {
    write(node, "");
    return;
  }
  const at = new Date(seconds * 1000);
  mark(node, "datetime", at.toISOString());
  mark(node, "title", at.toLocaleString());
  Object.assign(node.dataset, { seconds, before });
  write(node, `${before}${ago(seconds)}`);
}

export function tick() {
  for (const node of document.querySelectorAll("time[data-seconds]")) {
    write(node, `${node.dataset.before}${ago(Number(node.dataset.seconds))}`);
  }
}

export function took(started, ended) {
  if (started === null || ended === null) return "";
  const seconds = ended - started;
  if (seconds < 0.001) return "<1 ms"; // as in the drawing
  return seconds < 1 ? `${Math.round(seconds * 1000)} ms` : seconds < 60 ? `${seconds.toFixed(1)} s` : duration(seconds);
}

const MOODS = {
  good: ["committed", "rolled back", "undone later", "done", "undone", "not landed"],
  busy: ["running", "rolling back", "calling its hooks", "undoing"],
  bad: ["stuck", "undo failed", "conflict", "failed", "abandoned"],
};

// The colour of a state, which always stands there in words as well.
export function moodOf(state) {
  return Object.keys(MOODS).find((mood) => MOODS[mood].includes(state)) ?? "warn";
}

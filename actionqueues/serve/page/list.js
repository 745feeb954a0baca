// All transactions, by state and age.

import { byId, keyed, make, mark, moment, moodOf, write } from "./dom.js";

const FILTERS = [
  ["all", "All"],
  ["stuck", "Stuck"],
  ["died", "Its process died"],
  ["running", "Running"],
  ["committed", "Committed"],
  ["rolled back", "Rolled back"],
  ["undone later", "Undone later"],
];

let filter = "all";
let newestFirst = true;
let shown = [];

export function prepareList() {
  for (const [group, label] of FILTERS) {
    const button = make("button", { type: "button" }, make("span"));
    button.dataset.group = group;
    button.dataset.label = label;
    button.addEventListener("click", () => {
      filter = group;
      draw();
    });
    byId("filters").append(button);
  }
  byId("order").addEventListener("click", () => {
    newestFirst = !newestFirst;
    draw();
  });
  draw();
}

export function showList(transactions) {
  shown = transactions;
  draw();
}

function draw() {
  for (const button of byId("filters").children) {
    const { group, label } = button.dataset;
    const count = shown.filter((each) => each.group === group).length;
    const open = !["all", "committed", "rolled back", "undone later"].includes(group); // of these, only the latest are here
    write(button.firstElementChild, open ? `${label} (${count})` : label);
    mark(button, "aria-pressed", String(group === filter));
  }
  write(byId("order"), newestFirst ? "Sorted: newest first" : "Sorted: oldest first");
  const chosen = shown.filter((each) => filter === "all" || each.group === filter);
  if (newestFirst) chosen.reverse();
  keyed(byId("transactions"), chosen, (each) => each.id, create, update);
  byId("none").hidden = chosen.length > 0;
}

function create(transaction) {
  const link = make("a", { href: `#/${transaction.id}` }, `${transaction.id} `, make("bdi"));
  return make(
    "li", {}, link, make("span", { class: "state" }), make("time"), make("span", { class: "dim" }), make("bdi", { class: "why" }),
  );
}

function update(node, transaction) {
  const [link, state, time, steps, why] = node.children;
  write(link.querySelector("bdi"), transaction.name || "(no name)");
  write(state, transaction.state);
  mark(node, "data-mood", moodOf(transaction.state));
  if (transaction.ended === null) moment(time, transaction.started, "began ");
  else moment(time, transaction.ended, "ended ");
  write(steps, transaction.count === 1 ? "1 step" : `${transaction.count} steps`);
  write(why, transaction.why);
}

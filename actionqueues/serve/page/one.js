// One transaction: what happened, what is left, and what a person may decide.

import { byId, keyed, make, mark, moment, moodOf, took, write } from "./dom.js";

const UNDOS = { running: "undoing" };

// Calls `decide({title, text, button, why, path, body})` for what the person wants done.
export function showOne(transaction, decide) {
  const { actions } = transaction;
  write(byId("one-id"), String(transaction.id));
  write(byId("one-name"), transaction.name || "(no name)");
  facts(transaction);
  decisions(transaction, decide);
  keyed(byId("steps"), transaction.steps, (each) => each.number, createStep, (node, step) =>
    updateStep(node, step, transaction.id, actions, decide));
  const more = transaction.hidden;
  write(byId("hidden"), more ? `… and ${more} more steps, which are in the drawing and in \`actionqueues show\`.` : "");
  keyed(byId("hooks"), transaction.hooks, (each) => each.number, createStep, (node, hook) =>
    updateHook(node, hook, transaction.id, actions, decide));
  byId("hooks-title").hidden = transaction.hooks.length === 0;
  mark(byId("drawing"), "alt", `What happened in ${transaction.name}; the steps below say the same in words`);
}

function facts(transaction) {
  const rows = [
    ["State", transaction.state],
    ["Began", transaction.started],
    ["Ended", transaction.ended],
    ["Took", took(transaction.started, transaction.ended)],
    ["Rolled back for", transaction.error],
    ["Why it is stuck", transaction.reason],
    ["Left behind", transaction.left.join(", ")],
  ].filter(([, value]) => value !== null && value !== "");
  keyed(byId("facts"), rows.flatMap(([label, value]) => [[label, null], [label, value]]),
    ([label, value]) => `${label}${value === null ? "" : ":"}`,
    ([label, value]) => {
      if (value === null) return make("dt", {}, label);
      return make("dd", {}, make(typeof value === "number" ? "time" : "bdi"));
    },
    (node, [label, value]) => {
      if (typeof value === "number") moment(node.firstElementChild, value);
      else if (value !== null) write(node.firstElementChild, value);
      if (label === "State" && value !== null) {
        mark(node.firstElementChild, "class", "state");
        mark(node, "data-mood", moodOf(transaction.state));
      }
    });
}

function decisions(transaction, decide) {
  const path = `/api/transactions/${transaction.id}`;
  const wanted = [];
  if (transaction.actions && transaction.retry) {
    wanted.push({
      key: "retry",
      label: transaction.group === "stuck" ? "Retry…" : "Recover…",
      title: `${transaction.group === "stuck" ? "Retry" : "Recover"} transaction ${transaction.id}?`,
      text: "This calls what is still to be called: the undos of its steps, or its commit hooks. What a live process is working on is not touched.",
      button: transaction.group === "stuck" ? "Retry it" : "Recover it",
      path: `${path}/retry`,
    });
  }
  if (transaction.actions && transaction.abandon) {
    wanted.push({
      key: "abandon",
      label: "Abandon…",
      title: `Abandon transaction ${transaction.id}?`,
      text: "All that is still undecided stays as it is, and nobody tries to undo it again. This cannot be taken back.",
      button: "Abandon it",
      why: true,
      path: `${path}/abandon`,
    });
  }
  buttons(byId("decisions"), wanted, decide);
}

function buttons(parent, wanted, decide) {
  keyed(parent, wanted, (each) => each.key,
    () => {
      const made = make("button", { type: "button" });
      made.addEventListener("click", () => decide(made.wanted, made));
      return made;
    },
    (node, each) => {
      node.wanted = each;
      write(node, each.label);
      if (each.about) mark(node, "aria-label", each.about);
    });
}

function createStep(step) {
  const line = make(
    "div", { class: "line" }, make("b", {}, String(step.number)), make("code", {}, make("bdi")),
    make("span", { class: "state" }), make("span", { class: "state" }), make("span", { class: "dim" }),
  );
  return make("li", {}, line, make("bdi", { class: "why" }), make("div", { class: "tools" }));
}

function updateStep(node, step, id, actions, decide) {
  const [line, why, tools] = node.children;
  const [, code, state, undo, time] = line.children;
  const byHand = step.kind === "by hand" ? "by hand: " : "";
  write(code.firstElementChild, `${byHand}${step.name}${step.arguments ? `(${step.arguments})` : "()"}`);
  write(state, step.attempts > 1 ? `${step.state}, ${step.attempts} attempts` : step.state);
  mark(state, "data-mood", moodOf(step.state));
  const undone = UNDOS[step.undo] ?? step.undo ?? "";
  write(undo, undone && step.undo_attempts > 1 ? `${undone}, ${step.undo_attempts} attempts` : undone);
  mark(undo, "data-mood", moodOf(undone));
  mark(node, "data-mood", moodOf(undone || step.state));
  write(time, took(step.started, step.ended));
  write(why, [step.error, step.undo_error, step.reason].filter(Boolean).join(" — "));
  const path = `/api/transactions/${id}/steps/${step.number}`;
  const what = `step ${step.number}, ${step.name}`;
  const text = `Nothing more is done about ${what}, by recovery either. This cannot be taken back.`;
  buttons(tools, actions && step.decide ? [
    {
      key: "undone", label: "It is undone…", about: `It is undone: ${what}`, path, body: { undone: true }, text,
      title: "Was it undone by hand, or did it never happen?", button: "It is undone",
    },
    {
      key: "left", label: "Leave it as it is…", about: `Leave it as it is: ${what}`, path, body: { undone: false }, text,
      title: "Leave it as it is?", button: "Leave it as it is",
    },
  ] : [], decide);
}

function updateHook(node, hook, id, actions, decide) {
  const [line, why, tools] = node.children;
  const [, code, state, , attempts] = line.children;
  write(code.firstElementChild, `${hook.name}()`);
  write(state, hook.state);
  mark(state, "data-mood", moodOf(hook.state));
  mark(node, "data-mood", moodOf(hook.state));
  write(attempts, hook.attempts > 1 ? `${hook.attempts} attempts` : "");
  write(why, hook.error ?? "");
  const what = `hook ${hook.number}, ${hook.name}`;
  buttons(tools, actions && hook.decide ? [{
    key: "hook", label: "It need not be called…", about: `It need not be called: ${what}`,
    path: `/api/transactions/${id}/hooks/${hook.number}`,
    title: "Need it not be called any more?", button: "It need not be called",
    text: `Nobody calls ${what} any more. This cannot be taken back.`,
  }] : [], decide);
}

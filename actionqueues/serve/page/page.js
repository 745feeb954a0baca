// The page: what is shown follows the address, and is asked for again every two seconds, or what takes long less often.

import { ask, confirmed, prepareDialog, Refused, takeToken } from "./asking.js";
import { byId, tick, write } from "./dom.js";
import { prepareList, showList } from "./list.js";
import { showOne } from "./one.js";

const EVERY = 2000;
const EVERY_HIDDEN = 30000;

let view = null; // what is shown: its path, the tag of its data, the address of its drawing
let timer = 0;
let round = 0; // of asking: an answer to an earlier question is not shown

function pathOf(hash) {
  const number = /^#\/(\d+)$/.exec(hash);
  return number ? `/api/transactions/${number[1]}` : "/api/transactions";
}

function say(text, bad = false) {
  const told = byId("told");
  told.classList.toggle("bad", bad);
  write(told, text);
}

function lock(text) {
  write(byId("locked"), text);
  byId("locked").classList.add("bad");
}

async function refresh() {
  clearTimeout(timer);
  const mine = ++round;
  const asked = view;
  const began = performance.now();
  let again = true;
  try {
    const answer = await ask(asked.path, { tag: asked.tag });
    const data = answer.status === 304 ? null : await answer.json();
    if (mine !== round) return;
    write(byId("connection"), "");
    lock("");
    if (data !== null) {
      await show(asked, data);
      asked.tag = answer.headers.get("ETag"); // not before: if there is no drawing yet, all of it is asked for again
    }
  } catch (error) {
    if (mine !== round) return;
    again = tell(error);
  }
  const pause = Math.min(5 * EVERY, Math.max(EVERY, 4 * (performance.now() - began))); // what takes long is asked seldom
  if (again && mine === round) timer = setTimeout(refresh, document.hidden ? EVERY_HIDDEN : pause);
}

// Says what went wrong; returns whether asking again may help.
function tell(error) {
  if (!(error instanceof Refused)) {
    write(byId("connection"), "The server does not answer; trying again…");
    return true;
  }
  lock(error.message);
  if (error.status < 500) byId("list").hidden = byId("one").hidden = true;
  return error.status === 404 || error.status >= 500;
}

async function show(asked, data) {
  const focused = document.activeElement;
  const inside = focused !== document.body;
  const isList = asked.path === "/api/transactions";
  write(byId("journal"), data.journal);
  write(byId("mode"), data.actions ? "" : "Read-only; serve it with --allow-actions to retry, resolve and abandon.");
  if (isList) showList(data.transactions);
  else showOne(data, decide);
  byId("list").hidden = !isList;
  byId("one").hidden = isList;
  const stuck = isList ? data.transactions.filter((each) => each.group === "stuck").length : 0;
  document.title = isList ? `${stuck ? `${stuck} stuck: ` : ""}actionqueues` : `${data.id} ${data.name}: ${data.state}`;
  const title = byId(isList ? "list-title" : "one-title");
  if (asked.isNew || (inside && !byId("dialog").open && !isVisible(focused))) title.focus();
  asked.isNew = false;
  if (!isList) await draw(asked);
}

const isVisible = (node) => node.isConnected && node.getClientRects().length > 0;

// The drawing is shown as an image, in which nothing runs and nothing is loaded, whatever is in it.
async function draw(asked) {
  const answer = await ask(`${asked.path}/drawing`);
  const drawing = await answer.blob();
  if (asked !== view) return;
  const old = asked.drawing;
  asked.drawing = URL.createObjectURL(drawing);
  byId("drawing").src = asked.drawing;
  if (old) URL.revokeObjectURL(old);
}

async function decide(wanted, button) {
  const why = await confirmed(wanted);
  if (why === null) return;
  button.disabled = true;
  say("Working…");
  try {
    const body = wanted.why ? { why } : wanted.body ?? {};
    const answer = await ask(wanted.path, { method: "POST", body });
    say((await answer.json()).told);
  } catch (error) {
    say(error instanceof Refused ? error.message : "The server does not answer; nothing is known of what it has done.", true);
  }
  button.disabled = false;
  if (button.isConnected) button.focus();
  await refresh();
}

async function follow() {
  if (view?.drawing) {
    byId("drawing").removeAttribute("src");
    URL.revokeObjectURL(view.drawing);
  }
  say("");
  view = { path: pathOf(location.hash), tag: null, drawing: null, isNew: view !== null };
  await refresh();
}

async function start() {
  takeToken();
  prepareDialog();
  prepareList();
  byId("skip").addEventListener("click", (event) => {
    event.preventDefault(); // the address says what is shown
    byId("main").focus();
  });
  window.addEventListener("hashchange", () => {
    takeToken();
    follow();
  });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) refresh();
  });
  setInterval(tick, 1000);
  await follow();
}

start();

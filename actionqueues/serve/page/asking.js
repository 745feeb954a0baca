// Asking the server, with the token that stood behind the # of the address: kept for this tab, and sent as a header.

import { byId, write } from "./dom.js";

const KEY = "actionqueues token";

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

// Takes the token out of the address, so that it is in no history and no bookmark.
export function takeToken() {
  const given = /^#token=([\w-]+)$/.exec(location.hash);
  if (given) {
    sessionStorage.setItem(KEY, given[1]);
    history.replaceState(null, "", "/#/");
  }
}

export async function ask(path, { tag = null, method = "GET", body = null } = {}) {
  const headers = { Authorization: `Bearer ${sessionStorage.getItem(KEY) ?? ""}` };
  if (tag) headers["If-None-Match"] = tag;
  if (body) headers["Content-Type"] = "application/json";
  const answer = await fetch(path, { method, headers, body: body && JSON.stringify(body), cache: "no-store" });
  if (answer.status === 304 || answer.ok) return answer;
  const told = await answer.json().catch(() => ({ error: answer.statusText }));
  throw new Refused(answer.status, told.error ?? answer.statusText);
}

// Asks the person: resolves to null for Cancel and Escape, and otherwise to what was written as the reason.
export function confirmed({ title, text, button, why = false }) {
  const dialog = byId("dialog");
  write(byId("dialog-title"), title);
  write(byId("dialog-text"), text);
  write(byId("confirm"), button);
  byId("dialog-why").hidden = !why;
  byId("why").value = "";
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes" ? byId("why").value : null), { once: true });
  });
}

export function prepareDialog() {
  const dialog = byId("dialog");
  byId("cancel").addEventListener("click", () => dialog.close(""));
  byId("confirm").addEventListener("click", () => dialog.close("yes"));
  byId("why").addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault(); // or it would press the button that the focus goes back to
    dialog.close("yes");
  });
}

// The dialog for the API key: enter one, accept one from a link, or sign out.

import { byId, setText } from "./dom.js";
import { ownerOf } from "./session.js";

const SENDABLE = /^[\x21-\x7e]+$/;

export class Gate {
  #session;
  #dialog = byId("gate");
  #linked = null;
  #check = null;

  constructor(session) {
    this.#session = session;
    byId("gate-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#enter(byId("gate-key").value.trim());
    });
    byId("gate-use").addEventListener("click", () => session.signIn(this.#linked.key, this.#linked.owner));
    byId("gate-decline").addEventListener("click", () => (session.signedIn ? this.close() : this.open()));
    byId("gate-cancel").addEventListener("click", () => this.close());
    byId("gate-sign-out").addEventListener("click", () => session.signOut());
    // Without a key the page is empty, so no key press may close the dialog.
    this.#dialog.addEventListener("cancel", (event) => session.signedIn || event.preventDefault());
    this.#dialog.addEventListener("close", () => session.signedIn || this.#show());
  }

  /** Ask for a key; `error` says why the previous one is no longer used. */
  open(error = "") {
    this.#begin("");
    const { signedIn, owner } = this.#session;
    setText(byId("gate-text"), signedIn && owner
      ? `You are signed in as ${owner}. Another key replaces this one once it is known to work.`
      : "Orders belong to a key. The key stays in this browser and is sent only to this engine.");
    setText(byId("gate-error"), error);
    byId("gate-cancel").hidden = byId("gate-sign-out").hidden = !signedIn;
    byId("gate-key").value = "";
    byId("gate-key").focus();
  }

  /** Ask whether to use the key that a link brought, once its owner is known. */
  async offer(key) {
    const check = this.#begin("link");
    const { signedIn, owner } = this.#session;
    byId("gate-use").hidden = true;
    setText(byId("gate-decline"), signedIn ? `Keep the ${owner ? `key of ${owner}` : "present key"}` : "Enter another key");
    setText(byId("gate-link-text"), "A link has brought a key. Looking up its owner…");
    try {
      this.#linked = { key, owner: await this.#ask(key, check.signal) };
    } catch (error) {
      if (check.signal.aborted) return;
      setText(byId("gate-link-text"), `${refusal(error)} It came with a link.`);
      return;
    }
    if (check.signal.aborted) return;
    const instead = signedIn ? ` instead of the ${owner ? `key of ${owner}` : "present key"}` : "";
    setText(byId("gate-link-text"),
      `A link has brought a key of ${this.#linked.owner}. Use it${instead} only if you trust the link:`
      + ` your orders would be orders of ${this.#linked.owner}.`);
    setText(byId("gate-use"), `Use the key of ${this.#linked.owner}`);
    byId("gate-use").hidden = false;
    byId(signedIn ? "gate-decline" : "gate-use").focus();
  }

  close() {
    this.#check?.abort();
    this.#dialog.close();
  }

  #begin(mode) {
    this.#check?.abort();
    this.#check = new AbortController();
    byId("gate-link").hidden = mode !== "link";
    byId("gate-form").hidden = mode === "link";
    this.#show();
    return this.#check;
  }

  #show() {
    this.#dialog.setAttribute("closedby", this.#session.signedIn ? "closerequest" : "none");
    if (!this.#dialog.open) this.#dialog.showModal();
  }

  async #enter(key) {
    const check = this.#begin("");
    if (!key) return setText(byId("gate-error"), "Enter a key.");
    setText(byId("gate-error"), "");
    try {
      const owner = await this.#ask(key, check.signal);
      if (!check.signal.aborted) this.#session.signIn(key, owner);
    } catch (error) {
      if (!check.signal.aborted) setText(byId("gate-error"), refusal(error));
    }
    return undefined;
  }

  async #ask(key, signal) {
    if (!SENDABLE.test(key)) throw Object.assign(new Error(), { status: 401 });
    return ownerOf(key, signal);
  }
}

function refusal(error) {
  return error.status === 401
    ? "This key is not valid here, or no longer."
    : "The key could not be checked, because the engine did not answer. Try again.";
}

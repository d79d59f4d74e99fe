// The list of orders: its filter, its older pages, and what is said below it.

import { byId, say } from "./dom.js";

const EMPTY = {
  "": "No orders yet. Submit one and watch it go.",
  open: "No order is open.",
  confirmed: "No order has been confirmed.",
  failed: "No order has failed.",
  cancelled: "No order was cancelled.",
};
const EMPTY_PAGES_MAX = 5;

const chosen = () => document.querySelector("input[name=filter]:checked").value;
// Open orders are of several statuses, so they are looked for among all orders.
const statusOf = (filter) => (filter === "open" ? "" : filter);
const nearEnd = () => byId("list-state").getBoundingClientRect().top < innerHeight + 600;

export class List {
  #rows;
  #sync;
  #session = 0;
  #shown = 0;
  #filling = false;

  constructor(rows, sync) {
    this.#rows = rows;
    this.#sync = sync;
    byId("filters").addEventListener("change", () => {
      this.refilter();
      this.#show("idle");
      this.#fill();
    });
    byId("list-action").addEventListener("click", () => this.#settle(null));
    addEventListener("scroll", () => {
      if (byId("list-state").dataset.state === "idle" && nearEnd()) this.#fill();
    }, { passive: true });
  }

  /** Show what the first load brings, then older orders for as long as the list's end is in sight. */
  begin(loading) {
    this.#session += 1;
    this.#settle(loading);
  }

  /** Orders have come, also those that could not be loaded before. */
  refilter() {
    this.#rows.filter(chosen(), this.#sync.horizon(statusOf(chosen())));
    if (byId("list-state").dataset.state === "error") this.#settle(null);
  }

  /** So many rows are shown. */
  count(shown) {
    this.#shown = shown;
    byId("list-state").toggleAttribute("data-empty", !shown);
    if (byId("list-state").dataset.state === "end") this.#show("end");
  }

  async #settle(loading) {
    const mine = this.#session;
    this.#show("loading", "Loading orders…");
    try {
      await loading;
      if (mine !== this.#session) return;
      this.refilter();
      this.#show("idle");
      await this.#fill();
    } catch (error) {
      this.#complain(mine, error);
    }
  }

  async #fill() {
    if (this.#filling) return; // and notices by itself that another filter was chosen
    this.#filling = true;
    const mine = this.#session;
    try {
      for (let filter = null; filter !== chosen() && mine === this.#session;) {
        filter = chosen();
        await this.#fillFor(filter);
      }
    } catch (error) {
      this.#complain(mine, error);
    } finally {
      this.#filling = false;
    }
  }

  async #fillFor(filter) {
    for (let without = 0; nearEnd() && filter === chosen();) {
      if (filter === "open" || !this.#sync.hasOlder(statusOf(filter))) return this.#show("end");
      if (without === EMPTY_PAGES_MAX) return this.#show("more");
      this.#show("loading", "Loading older orders…");
      const before = this.#shown;
      await this.#sync.older(statusOf(filter));
      this.refilter();
      await new Promise(requestAnimationFrame); // the rows are there
      without = this.#shown > before ? 0 : without + 1;
    }
    if (filter === chosen()) this.#show("idle");
    return undefined;
  }

  #complain(mine, error) {
    if (mine !== this.#session || error.name === "AbortError" || error.status === 401) return;
    this.#show("error", "The orders could not be loaded.");
  }

  #show(state, message = "") {
    const action = byId("list-action");
    byId("list-state").dataset.state = state;
    action.hidden = state !== "error" && state !== "more";
    say(action, state === "more" ? "Search further back" : "Load the orders again");
    const empty = state === "end" && !this.#shown ? EMPTY[chosen()] : "";
    const end = state === "end" && this.#shown ? "These are all." : "";
    say(byId("list-message"), message || empty || end || (state === "more" ? "None among the newer ones." : ""));
  }
}

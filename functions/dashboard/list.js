// The list of orders: its filter, its older pages, its counts, and the message below it.

import { csvOf } from "./columns.js";
import { announce, byId, h, setText } from "./dom.js";
import { Filter, hasStatus } from "./filter.js";
import { canCancel } from "./orders.js";

const EMPTY_PAGES_MAX = 5;
const COUNT_EVERY_MS = 250;
const ID_LENGTH_MIN = 6;

const nearEnd = () => byId("list-state").getBoundingClientRect().top < innerHeight + 600;

export class List {
  #orders;
  #rows;
  #sync;
  #filter = new Filter(() => this.#filtered());
  #session = 0;
  #shown = 0;
  #filling = false;
  #counting = null;

  constructor(orders, rows, sync) {
    this.#orders = orders;
    this.#rows = rows;
    this.#sync = sync;
    orders.onChange((order) => this.#filter.offer(order));
    byId("list-action").addEventListener("click", () => this.#showAfter(null));
    byId("export").addEventListener("click", () => this.#export());
    addEventListener("scroll", () => {
      if (byId("list-state").dataset.state === "idle" && nearEnd()) this.#fill();
    }, { passive: true });
  }

  /** Show the orders of the first load, then load older ones while the end of the list is in sight. */
  begin(loading) {
    this.#session += 1;
    this.#showAfter(loading);
  }

  end() {
    this.#filter.follow();
  }

  /** Filter again after orders were loaded; an earlier failure to load no longer matters. */
  refilter() {
    const { status } = this.#filter;
    const wanted = this.#filter.test();
    const horizon = this.#sync.horizon(this.#filter.query);
    this.#rows.filter((order) => hasStatus(order, status) && (status === "open" || order.createdAt >= horizon) && wanted(order));
    if (byId("list-state").dataset.state === "error") this.#showAfter(null);
  }

  /** Count again after the shown orders changed. */
  count() {
    // Count once for a burst of orders.
    this.#counting ??= setTimeout(() => this.#count(), COUNT_EVERY_MS);
    this.#shown = document.querySelectorAll("#rows > .row:not([hidden])").length;
    byId("list-state").toggleAttribute("data-empty", !this.#shown);
    if (byId("list-state").dataset.state === "end") this.#show("end");
  }

  #count() {
    this.#counting = null;
    const wanted = this.#filter.test();
    const known = [...this.#orders.byId.values()].filter(wanted);
    for (const label of byId("filters").querySelectorAll("label")) {
      const count = known.filter((order) => hasStatus(order, label.firstElementChild.value)).length;
      setText(label.querySelector("b"), count ? String(count) : "");
    }
    const cancellable = this.#orders.open().filter(canCancel).length;
    byId("cancel-all").disabled = !cancellable;
    setText(byId("cancel-all"), cancellable ? `Cancel all ${cancellable}` : "Cancel all");
    byId("export").disabled = !this.#shown;
  }

  #filtered() {
    this.refilter();
    this.#show("idle");
    this.#search(this.#filter.find);
    this.#fill();
  }

  /** If no loaded order matches, read the order whose id is the searched text. */
  async #search(find) {
    if (find.length < ID_LENGTH_MIN || [...this.#orders.byId.values()].some(this.#filter.test())) return;
    const mine = this.#session;
    const order = await this.#sync.find(byId("find").value.trim()).catch(() => null);
    if (order && mine === this.#session && find === this.#filter.find) this.refilter();
  }

  async #showAfter(loading) {
    const mine = this.#session;
    this.#show("loading", "Loading orders…");
    try {
      await loading;
      if (mine !== this.#session) return;
      this.refilter();
      this.#show("idle");
      await this.#fill();
    } catch (error) {
      this.#showError(mine, error);
    }
  }

  async #fill() {
    if (this.#filling) return; // the call under way notices a changed filter itself
    this.#filling = true;
    const mine = this.#session;
    try {
      for (let query = null; query !== this.#filter.query && mine === this.#session;) {
        query = this.#filter.query;
        await this.#fillFor(query);
      }
    } catch (error) {
      this.#showError(mine, error);
    } finally {
      this.#filling = false;
    }
  }

  async #fillFor(query) {
    for (let without = 0; nearEnd() && query === this.#filter.query;) {
      const enough = this.#filter.since && this.#sync.horizon(query) < this.#filter.since;
      if (this.#filter.status === "open" || enough || !this.#sync.hasOlder(query)) return this.#show("end");
      if (without === EMPTY_PAGES_MAX) return this.#show("more");
      this.#show("loading", "Loading older orders…");
      const before = this.#shown;
      await this.#sync.older(query);
      this.refilter();
      await new Promise(requestAnimationFrame); // until the rows are drawn
      without = this.#shown > before ? 0 : without + 1;
    }
    if (query === this.#filter.query) this.#show("idle");
    return undefined;
  }

  #showError(mine, error) {
    if (mine !== this.#session || error.name === "AbortError" || error.status === 401) return;
    this.#show("error", "The orders could not be loaded.");
  }

  #show(state, message = "") {
    const action = byId("list-action");
    byId("list-state").dataset.state = state;
    action.hidden = state !== "error" && state !== "more";
    setText(action, state === "more" ? "Search further back" : "Load the orders again");
    const { narrowed, status } = this.#filter;
    const none = narrowed ? "No order matches." : status ? `No ${status} orders.` : "No orders yet. Submit one to see its progress.";
    const end = state === "end" ? (this.#shown ? "These are all." : none) : "";
    setText(byId("list-message"), message || end || (state === "more" ? "None among the newer ones." : ""));
  }

  #export() {
    const file = new Blob([csvOf(this.#rows.shown)], { type: "text/csv" });
    const link = h("a", { href: URL.createObjectURL(file), download: `orders-${new Date().toISOString().slice(0, 10)}.csv` });
    link.click();
    URL.revokeObjectURL(link.href);
    announce("Exported the orders that are shown");
  }
}

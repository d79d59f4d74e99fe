// Keeps the page's orders equal to the engine's: pushes, what was missed, and older pages.

import { call, pause } from "./api.js";
import { isOpen } from "./orders.js";

const PAGE = 50;
const PAGES_MAX = 20;
const RECENT_MS = 15 * 60_000;
const RESUMED_MAX = 20;
const RESUME_EVERY_MS = 50;
const GATHER_MS = 120;
const READS_AT_ONCE = 4;

export class Sync {
  #orders;
  #stream;
  #session = null;
  #loaded = null;
  // By status ("" is all): the next page's cursor, null at the end, and the oldest order loaded.
  #lists = new Map();
  #wanted = new Set();
  #resumed = new Set();

  constructor(orders, stream) {
    this.#orders = orders;
    this.#stream = stream;
  }

  /** Forget everything, for a new key sees other orders, and load the last minutes. */
  begin() {
    this.#session?.abort(new DOMException("another key", "AbortError"));
    this.#session = new AbortController();
    this.#orders.clear();
    for (const kept of [this.#lists, this.#wanted, this.#resumed]) kept.clear();
    this.#loaded = this.#load(this.#recent());
    return this.#loaded;
  }

  /** A connection is there: follow everything. Its answer brings `catchUp`. */
  follow() {
    this.#resumed.clear();
    this.#stream.send({ action: "subscribe", orderId: "*" });
  }

  /** One message of the stream; resolves when all that it made necessary is done. */
  async take(message) {
    if (message.type === "subscribed" && message.orderId === "*") return this.#catchUp();
    if (!message.orderId || !message.status) return undefined;
    const outcome = this.#orders.apply(message);
    if (outcome === "gap" || outcome === "unknown") return this.#want(message.orderId);
    this.#endFollowing(this.#orders.byId.get(message.orderId));
    return undefined;
  }

  /** Whether the list of a status ("" for all) has more pages. */
  hasOlder(status) {
    return this.#lists.get(status)?.cursor !== null;
  }

  /** From when on every order of this status is loaded, as a timestamp. */
  horizon(status) {
    const horizons = ["", status].map((name) => this.#lists.get(name)?.horizon ?? "9");
    return horizons.sort()[0];
  }

  /** Load the next older page of a status ("" for all); how many orders it brought. */
  async older(status) {
    const { cursor } = this.#lists.get(status) ?? {};
    if (cursor === null) return 0;
    const page = await this.#page(status, cursor);
    this.#lists.set(status, page);
    return page.count;
  }

  /** What happened while we were away: to open orders since their last update, and new ones. */
  async #catchUp() {
    await this.#loaded.catch(() => {}); // what it lacks is loaded now
    const known = [...this.#orders.byId.values()].sort(byCreation);
    const open = known.filter(isOpen);
    // Those too many to be resumed one by one are read with the list.
    const since = (open.length > RESUMED_MAX ? open[0] : known.at(-1))?.createdAt ?? this.#recent();
    await Promise.all([this.#resume(open.slice(-RESUMED_MAX)), this.#load(since)]);
  }

  #recent() {
    return new Date(this.#orders.now() - RECENT_MS).toISOString();
  }

  async #resume(open) {
    for (const { orderId, sequence } of open) {
      this.#resumed.add(orderId);
      this.#stream.send({ action: "subscribe", orderId, sinceSequence: sequence });
      await pause(RESUME_EVERY_MS, this.#session.signal); // each message is a call of its own
    }
  }

  #endFollowing(order) {
    if (isOpen(order) || !this.#resumed.delete(order.orderId)) return;
    this.#stream.send({ action: "unsubscribe", orderId: order.orderId });
  }

  /** Pages from the newest order on until one reaches back beyond `since`. */
  async #load(since) {
    let list = await this.#page("");
    for (let pages = 1; list.cursor && list.horizon >= since && pages < PAGES_MAX; pages++) {
      list = await this.#page("", list.cursor);
    }
    const before = this.#lists.get("");
    const joined = before && list.horizon <= since && before.horizon <= list.horizon;
    // Where we had been further back already, paging goes on from there.
    if (!joined) this.#lists.set("", list);
  }

  async #page(status, cursor) {
    const { signal } = this.#session;
    const query = { limit: PAGE, ...(status && { status }), ...(cursor && { cursor }) };
    const { orders, nextCursor } = await call("GET", "api/orders", { query, signal });
    for (const order of orders) this.#orders.merge(order);
    const oldest = orders.at(-1)?.createdAt ?? this.horizon(status);
    return { count: orders.length, cursor: nextCursor ?? null, horizon: nextCursor ? oldest : "" };
  }

  /** Read orders that pushes tell of but that we do not know so far; many with the list. */
  async #want(orderId) {
    const { signal } = this.#session;
    this.#wanted.add(orderId);
    if (this.#wanted.size > 1) return; // the first one reads them all
    await pause(GATHER_MS, signal);
    const missing = new Set(this.#wanted);
    this.#wanted.clear();
    if (missing.size > READS_AT_ONCE) {
      const { orders } = await call("GET", "api/orders", { query: { limit: 100 }, signal });
      for (const order of orders) {
        this.#orders.merge(order);
        missing.delete(order.orderId);
      }
    }
    const readNext = async () => {
      for (const id of missing) {
        missing.delete(id);
        this.#orders.merge(await call("GET", `api/orders/${id}`, { signal }));
      }
    };
    await Promise.all(Array.from({ length: READS_AT_ONCE }, readNext));
  }
}

const byCreation = (one, other) => (one.createdAt < other.createdAt ? -1 : 1);

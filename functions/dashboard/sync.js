// Keeps the page's orders equal to the engine's: applies pushes, reads missed updates and older pages.

import { call, pause } from "./api.js";

const PAGE = 50;
const PAGES_MAX = 20;
const RECENT_MS = 15 * 60_000;
// Each list begins a little before the last one ended: clocks differ, and an index lags behind its table.
const OVERLAP_MS = 60_000;
const READ_AFTER_MS = 2_500;
const READ_CHECK_MS = 250;
const READ_EVERY_MS = 2_000;
const READ_IDLE_EVERY_MS = 10_000;
const GATHER_MS = 120;
const READS_AT_ONCE = 4;
const READS_MAX = 40;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

export class Sync {
  #orders;
  #session = null;
  #loaded = null;
  // The engine's time up to which every update is known.
  #knownTo = 0;
  #catchingUp = false;
  // By query ("" for all, or for example "status=failed"): the next page's cursor, null at the end, and the
  // timestamp (horizon) of the oldest order that is loaded.
  #lists = new Map();
  #toRead = new Set();
  #openLoaded = false;

  constructor(orders) {
    this.#orders = orders;
  }

  /** Load the orders of the last minutes. */
  begin() {
    this.end();
    this.#session = new AbortController();
    this.#catchingUp = true; // until the known orders are complete
    this.#knownTo = this.#orders.now() - RECENT_MS;
    this.#loaded = this.#load(this.#knownTo);
    return this.#loaded;
  }

  /** Forget everything; calls under way end with AbortError. */
  end() {
    this.#session?.abort(new DOMException("The session has ended.", "AbortError"));
    this.#orders.clear();
    this.#lists.clear();
    this.#toRead.clear();
    this.#openLoaded = false;
  }

  /** Apply an update; resolves when the reads that it causes are done. */
  async take(update) {
    const outcome = this.#orders.apply(update);
    if (outcome === "gap" || outcome === "unknown") await this.#readOrders([update.orderId]);
  }

  /** Note that every update up to now has arrived, because the live connection sent a message. */
  heard() {
    if (!this.#catchingUp) this.#knownTo = this.#orders.now();
  }

  /** Read what happened since the last `heard` or `catchUp`: list the newer orders, and read each older one
  that is open. Resolves when nothing is missing. */
  async catchUp() {
    this.#catchingUp = true;
    const now = this.#orders.now();
    await this.#loaded.catch(() => {}); // the load below repeats it
    const covered = await this.#load(this.#knownTo - OVERLAP_MS);
    const older = this.#orders.open().filter(({ createdAt }) => createdAt < covered).sort(byCreation);
    // If they are too many to be read one by one, load the list back to the oldest.
    if (older.length > READS_MAX) await this.#load(Date.parse(older[0].createdAt));
    else await this.#readOrders(older.map(({ orderId }) => orderId));
    this.#knownTo = now;
    this.#catchingUp = false;
    await this.#loadOpen();
  }

  /** Poll by HTTP until aborted, while pushes do not arrive; tells `onRead` each time whether it worked. */
  async read(signal, onRead) {
    let readAt = Date.now() - READ_IDLE_EVERY_MS + READ_AFTER_MS;
    for (;;) {
      await pause(READ_CHECK_MS, signal).catch(() => {});
      if (signal.aborted) return;
      const due = this.#orders.open().length ? READ_EVERY_MS : READ_IDLE_EVERY_MS;
      if (Date.now() - readAt < due) continue;
      readAt = Date.now();
      const works = await this.catchUp().then(() => true, () => false);
      if (!signal.aborted) onRead(works);
    }
  }

  /** Read one order by its id, or by its clientOrderId if `id` is not a UUID; null if there is none. */
  async find(id) {
    const { signal } = this.#session;
    try {
      if (!UUID.test(id)) {
        const { orders } = await call("GET", "api/orders", { query: { clientOrderId: id }, signal });
        for (const order of orders) this.#orders.merge(order);
        return orders[0] ?? null;
      }
      const order = await call("GET", `api/orders/${id.toLowerCase()}`, { signal });
      this.#orders.merge(order);
      return order;
    } catch (error) {
      if (error.status === 404 || error.status === 400) return null;
      throw error;
    }
  }

  /** Read the slices of an order that have begun. */
  async slicesOf(parentId) {
    const { signal } = this.#session;
    const { orders } = await call("GET", "api/orders", { query: { parentId, limit: 100 }, signal });
    for (const order of orders) this.#orders.merge(order);
  }

  /** Whether the list of a query has more pages. */
  hasOlder(query) {
    return this.#lists.get(query)?.cursor !== null;
  }

  /** The timestamp since which every order of this query is loaded. */
  horizon(query) {
    const horizons = ["", query].map((name) => this.#lists.get(name)?.horizon ?? "9");
    return horizons.sort()[0];
  }

  /** Load the next older page of a query ("" for all). */
  async older(query) {
    const { cursor } = this.#lists.get(query) ?? {};
    if (cursor !== null) this.#lists.set(query, await this.#page(query, cursor));
  }

  /** Load pages, from the newest order back to `since` (Unix milliseconds). Returns the timestamp since which
  every order is loaded. */
  async #load(since) {
    const sinceText = new Date(since).toISOString();
    let list = await this.#page("");
    for (let pages = 1; list.cursor && list.horizon >= sinceText && pages < PAGES_MAX; pages++) {
      list = await this.#page("", list.cursor);
    }
    const before = this.#lists.get("");
    const joined = before && list.horizon <= sinceText && before.horizon <= list.horizon;
    // If an earlier load went further back, paging continues from there.
    if (!joined) this.#lists.set("", list);
    return list.horizon;
  }

  async #page(list, cursor) {
    const { signal } = this.#session;
    const query = { limit: PAGE, ...Object.fromEntries(new URLSearchParams(list)), ...(cursor && { cursor }) };
    const { orders, nextCursor } = await call("GET", "api/orders", { query, signal });
    for (const order of orders) this.#orders.merge(order);
    const oldest = orders.at(-1)?.createdAt ?? this.horizon(list);
    return { cursor: nextCursor ?? null, horizon: nextCursor ? oldest : "" };
  }

  /** Load all open orders once: those that wait may be much older than the other orders shown. */
  async #loadOpen() {
    if (this.#openLoaded) return;
    let { cursor } = await this.#page("status=open");
    for (let pages = 1; cursor && pages < PAGES_MAX; pages++) ({ cursor } = await this.#page("status=open", cursor));
    this.#openLoaded = true;
  }

  /** Read these orders; if they are many, with the list. Calls in quick succession are combined. */
  async #readOrders(orderIds) {
    const { signal } = this.#session;
    const first = !this.#toRead.size;
    for (const id of orderIds) this.#toRead.add(id);
    if (!first || !this.#toRead.size) return; // the first call reads them all
    await pause(GATHER_MS, signal);
    const missing = new Set(this.#toRead);
    this.#toRead.clear();
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

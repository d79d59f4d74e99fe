// Every order that the page knows, by the same rules as functions/orders/order.py.

export const STEPS = ["pending", "routing", "building", "submitted", "confirmed"];
const TERMINAL = new Set(["confirmed", "failed", "cancelled"]);
const LASTING = ["attempt", "route", "txHash", "outAmount", "executedPrice"];

export const isOpen = (order) => !TERMINAL.has(order.status);

/** Orders by id; `apply` and `merge` tell every listener of each order that changed. */
export class Orders {
  byId = new Map();
  #listeners = [];
  #skewMs = Infinity;
  #frozenAt = null;

  onChange(listener) {
    this.#listeners.push(listener);
  }

  /** Take in a whole order, unless a newer state of it is known. */
  merge(order) {
    const known = this.byId.get(order.orderId);
    if (known && known.sequence >= order.sequence) return;
    this.#set(order);
  }

  /** Take in one update: "applied", "known" already, after a "gap", or of an "unknown" order. */
  apply(update) {
    const order = this.byId.get(update.orderId);
    this.#skewMs = Math.min(this.#skewMs, Date.now() - Date.parse(update.timestamp));
    if (!order) return "unknown";
    if (update.sequence <= order.sequence) return "known";
    if (update.sequence > order.sequence + 1) return "gap";
    this.#set(after(order, update));
    return "applied";
  }

  open() {
    return [...this.byId.values()].filter(isOpen);
  }

  clear() {
    this.byId.clear();
  }

  /** The engine's time in Unix milliseconds: ours, less what the quickest update was late. */
  now() {
    return this.#frozenAt ?? Date.now() - (Number.isFinite(this.#skewMs) ? this.#skewMs : 0);
  }

  /** Let no time go by: nobody knows what happens to the orders meanwhile. */
  freeze() {
    this.#frozenAt = this.now();
  }

  thaw() {
    this.#frozenAt = null;
  }

  get frozen() {
    return this.#frozenAt !== null;
  }

  #set(order) {
    this.byId.set(order.orderId, order);
    for (const listener of this.#listeners) listener(order);
  }
}

function after(order, update) {
  const { status, sequence, timestamp, error, nextRetryAt } = update;
  const changed = { ...order, status, sequence, error, nextRetryAt, updatedAt: timestamp };
  for (const field of LASTING) if (update[field] !== undefined) changed[field] = update[field];
  if (status === "confirmed") changed.confirmedAt = timestamp;
  if (status === "failed") changed.failedAt = timestamp;
  changed.updates = [...order.updates, update];
  return changed;
}

/** Milliseconds spent in each status, over all attempts; the present one until `now`. */
export function timeSpent(order, now) {
  const spent = {};
  order.updates.forEach(({ status, timestamp }, i) => {
    const next = order.updates[i + 1];
    if (!next && !isOpen(order)) return;
    const end = next ? Date.parse(next.timestamp) : now;
    spent[status] = (spent[status] ?? 0) + Math.max(0, end - Date.parse(timestamp));
  });
  return spent;
}

/** Milliseconds from the order's creation to its last update. */
export const lifeMs = (order) => Date.parse(order.updatedAt) - Date.parse(order.createdAt);

/** The step that an order has reached; one that ended badly stays where it was. */
export function stepReached(order) {
  const last = order.updates.findLast(({ status }) => STEPS.includes(status));
  return STEPS.indexOf(last.status);
}

/** The executed price and the quoted one, as decimal text each. */
export function prices(order) {
  const quoted = order.route && Number(order.route.outAmount) / Number(order.route.inAmount);
  return { executed: order.executedPrice, quoted: quoted && String(quoted) };
}

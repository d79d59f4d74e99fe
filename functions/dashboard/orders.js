// Every order that the page knows, by the same rules as functions/orders/order.py.

import { CONDITIONS, DROP_KNOWN_AFTER_MS, PASSING, STAMPS, STATUSES, STEPS } from "./stack.js";

const LAMPORTS = 1e9;

export const isOpen = ({ status }) => !STATUSES[status]?.terminal;

/** Orders by id; `apply` and `merge` call every listener with the changed order and its previous state. */
export class Orders {
  byId = new Map();
  #listeners = [];
  #skewMs = Infinity;
  #frozenAt = null;

  onChange(listener) {
    this.#listeners.push(listener);
  }

  /** Store a whole order, unless a newer state of it is known. */
  merge(order) {
    const known = this.byId.get(order.orderId);
    if (known && known.sequence >= order.sequence) return;
    this.#set(order);
  }

  /** Apply one update. Returns "applied", "known" for an old update, "gap" if one before it is missing, or
  "unknown" if its order is not loaded. */
  apply(update) {
    const order = this.byId.get(update.orderId);
    this.#skewMs = Math.min(this.#skewMs, Date.now() - Date.parse(update.timestamp));
    if (!order) return "unknown";
    if (update.sequence <= order.sequence) return "known";
    if (update.sequence > order.sequence + 1) return "gap";
    this.#set(withUpdate(order, update));
    return "applied";
  }

  open() {
    return [...this.byId.values()].filter(isOpen);
  }

  clear() {
    this.byId.clear();
  }

  /** The engine's time in Unix milliseconds: the page's, less the smallest delay of an update. */
  now() {
    return this.#frozenAt ?? Date.now() - (Number.isFinite(this.#skewMs) ? this.#skewMs : 0);
  }

  /** Stop the clock while the state of the orders is not known. */
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
    const before = this.byId.get(order.orderId);
    this.byId.set(order.orderId, order);
    for (const listener of this.#listeners) listener(order, before);
  }
}

/** The order after an update, whose fields have the same names as the order's. */
function withUpdate(order, update) {
  const { timestamp, ...changes } = update;
  const changed = { ...order, ...changes, updatedAt: timestamp };
  const replaced = update.status === "resting" ? [...PASSING, ...CONDITIONS, "trigger"] : PASSING;
  for (const field of replaced) if (!(field in update)) delete changed[field];
  // A refused transaction costs a resting order no attempt.
  if (update.status === "resting" && update.error) changed.maxAttempts = order.maxAttempts + 1;
  const fee = (update.execution ?? update.error)?.networkFeeLamports;
  // The updates of a TWAP order contain the sum.
  if (!order.slices && fee !== undefined) changed.networkFeeLamports = (order.networkFeeLamports ?? 0) + fee;
  if (STAMPS[update.status]) changed[STAMPS[update.status]] = timestamp;
  changed.updates = [...order.updates, update];
  return changed;
}

/** The number of the step that an order has reached; one that failed stays at its last step. */
export function stepReached(order) {
  const last = order.updates.findLast(({ status }) => STEPS.includes(status));
  return Math.max(0, STEPS.indexOf(last?.status));
}

/** Milliseconds from when the order entered its present status until `now`. */
export const inStatusMs = (order, now) => Math.max(0, now - Date.parse(order.updatedAt));

/** Milliseconds from the order's creation to its last update. */
export const lifeMs = (order) => Date.parse(order.updatedAt) - Date.parse(order.createdAt);

/** Whether the engine accepts a cancellation in the order's present status. */
export const canCancel = ({ status }) => Boolean(STATUSES[status]?.cancellable);

/** Whether the order's prices and expiry can be changed; those of a TWAP order's slice cannot. */
export const canChange = ({ status, parentId }) => Boolean(STATUSES[status]?.changeable) && !parentId;

/** The executed price and the quoted one: tokenOut for one tokenIn, undefined if there is none. */
export function prices(order) {
  const quoted = order.route && Number(order.route.outAmount) / Number(order.route.inAmount);
  return { executed: order.executedPrice, quoted: quoted && String(quoted) };
}

/** The pools' fees of a route in tokenIn; a fee in another token is converted at the route's own rate. */
export function feeOf(route) {
  const [{ tokenIn: from }] = route.routePlan;
  const got = new Map(); // by token: how much of tokenIn the first hops took, and how much of it they gave
  for (const { tokenIn, tokenOut, inAmount, outAmount } of route.routePlan) {
    if (tokenIn !== from) continue;
    const sum = got.get(tokenOut) ?? { took: 0, gave: 0 };
    got.set(tokenOut, { took: sum.took + Number(inAmount), gave: sum.gave + Number(outAmount) });
  }
  return route.routePlan.reduce((fee, leg) => {
    const rate = leg.tokenIn === from ? { took: 1, gave: 1 } : got.get(leg.tokenIn);
    return fee + (rate?.gave ? (Number(leg.feeAmount) * rate.took) / rate.gave : 0);
  }, 0);
}

/** The network fees of an order's transactions in SOL, or null if there were none. */
export const networkFee = ({ networkFeeLamports }) => (networkFeeLamports ? networkFeeLamports / LAMPORTS : null);

/** The Unix milliseconds at which it is known whether the network dropped a submitted order's transaction.
This is the latest possible time, because the transaction was signed shortly before it was sent. */
export const dropKnownAt = ({ updatedAt }) => Date.parse(updatedAt) + DROP_KNOWN_AFTER_MS;

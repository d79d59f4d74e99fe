// The list of orders: one row an order, newest first. A row has its parts only while it is near the
// window, so that a thousand orders cost little.

import { byId, copyButton, h, hopBars, say } from "./dom.js";
import { isOpen, lifeMs, prices, STEPS, stepReached, timeSpent } from "./orders.js";
import { bps, bpsBetween, branchesOf, duration, number, reason, routeText, shortHash, shortId, timeOf, title } from "./words.js";

const TICK_MS = 200;
const ROWS_PER_FRAME = 30;
const BRANCHES_SHOWN = 3;
const NEAR = "600px 0px";

export class Rows {
  #orders;
  #rows = new Map();
  #sorted = [];
  #changed = new Set();
  #filter = "";
  #horizon = "9";
  #near = new Set();
  #sight = new IntersectionObserver((entries) => this.#see(entries), { rootMargin: NEAR });
  #onCount;
  #onOpen;

  /** `onOpen` is given the id of the order whose row is chosen, `onCount` how many are shown. */
  constructor(orders, { onOpen, onCount }) {
    this.#orders = orders;
    this.#onOpen = onOpen;
    this.#onCount = onCount;
    orders.onChange((order) => {
      if (!this.#changed.size) requestAnimationFrame(() => this.#draw());
      this.#changed.add(order.orderId);
    });
    byId("rows").addEventListener("click", (event) => {
      const row = event.target.closest(".row");
      if (row && !event.target.closest(".copy") && !getSelection().toString()) this.#onOpen(row.dataset.id);
    });
    setInterval(() => this.#tick(), TICK_MS);
  }

  /** Show only orders of this filter that are not older than `horizon`. */
  filter(filter, horizon) {
    if (filter === this.#filter && horizon === this.#horizon) return;
    this.#filter = filter;
    this.#horizon = horizon;
    for (const row of this.#rows.values()) this.#showOrHide(row);
    this.#count();
  }

  clear() {
    this.#sight.disconnect();
    this.#near.clear();
    this.#rows.clear();
    this.#sorted = [];
    byId("rows").replaceChildren();
    this.#count();
  }

  #draw() {
    const changed = [...this.#changed].slice(0, ROWS_PER_FRAME);
    for (const id of changed) {
      this.#changed.delete(id);
      const order = this.#orders.byId.get(id);
      if (!order) continue; // of a key that was changed meanwhile
      const row = this.#rows.get(id) ?? this.#insert(new Row(order));
      row.take(order);
      if (this.#near.has(row)) row.draw(this.#orders.now(), this.#orders.frozen);
      this.#showOrHide(row);
    }
    this.#count();
    if (this.#changed.size) requestAnimationFrame(() => this.#draw());
  }

  #insert(row) {
    let [low, high] = [0, this.#sorted.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#sorted[middle].sortKey > row.sortKey) low = middle + 1;
      else high = middle;
    }
    byId("rows").insertBefore(row.element, this.#sorted[low]?.element ?? null);
    this.#sight.observe(row.element);
    this.#sorted.splice(low, 0, row);
    this.#rows.set(row.order.orderId, row);
    return row;
  }

  #showOrHide(row) {
    const { status, createdAt } = row.order;
    const wanted = this.#filter === "open" ? isOpen(row.order) : !this.#filter || status === this.#filter;
    row.element.hidden = !wanted || createdAt < this.#horizon;
  }

  #count() {
    const shown = this.#sorted.reduce((sum, row) => sum + !row.element.hidden, 0);
    const open = this.#orders.open().length;
    say(byId("open-count"), open ? String(open) : "");
    this.#onCount(shown);
  }

  #tick() {
    if (document.visibilityState === "hidden") return;
    const now = this.#orders.now();
    for (const row of this.#near) if (isOpen(row.order)) row.tick(now, this.#orders.frozen);
  }

  #see(entries) {
    for (const { target, isIntersecting } of entries) {
      const row = this.#rows.get(target.dataset.id);
      if (!row) continue; // of a key that was changed meanwhile
      if (isIntersecting) {
        this.#near.add(row);
        row.draw(this.#orders.now(), this.#orders.frozen);
      } else if (row.fold()) this.#near.delete(row);
    }
  }
}

/** One order's row: `take` a new state of it, `draw` its parts, `tick` as time goes by. */
class Row {
  constructor(order) {
    this.sortKey = order.createdAt + order.orderId;
    const asked = `${number(order.amount)} ${order.tokenIn} → ${order.tokenOut}`;
    this.element = h("li", { class: "row", "data-id": order.orderId },
      h("div", { class: "cell asked-cell" },
        h("button", { type: "button", class: "asked", title: asked },
          asked, h("span", { class: "unseen" }, `, order ${shortId(order.orderId)}`)),
        h("small", {}, `${timeOf(order.createdAt)} · ${shortId(order.orderId)}`)));
    this.take(order);
  }

  take(order) {
    this.order = order;
    this.element.dataset.status = order.status;
  }

  /** Drop all parts but what was asked, unless one of them has the focus; whether it did. */
  fold() {
    if (this.element.contains(document.activeElement)) return false;
    while (this.element.children.length > 1) this.element.lastChild.remove();
    this.steps = null;
    return true;
  }

  #unfold() {
    this.steps = STEPS.map((step) => {
      const time = h("span", { class: "step-time" });
      const name = h("span", { class: "step-name" }, title(step));
      return { element: h("li", {}, name, time), time };
    });
    this.routeSlot = null;
    this.venues = h("div", { class: "cell venues-cell" });
    this.price = h("div", { class: "cell price-cell" });
    this.outcome = h("div", { class: "cell outcome-cell" });
    this.element.append(
      h("ol", { class: "steps", "aria-label": "Progress" }, ...this.steps.map(({ element }) => element)),
      this.venues, this.price, this.outcome);
  }

  draw(now, frozen) {
    if (!this.steps) this.#unfold();
    const { order } = this;
    const reached = stepReached(order);
    const ended = !isOpen(order);
    this.steps.forEach(({ element }, i) => {
      const done = i < reached || order.status === "confirmed";
      const state = done ? "done" : i > reached ? "todo" : ended ? order.status : "now";
      element.dataset.state = state;
      if (state === "now") element.setAttribute("aria-current", "step");
      else element.removeAttribute("aria-current");
    });
    this.#drawVenues(order);
    this.#drawPrice(order);
    this.#drawOutcome(order);
    this.tick(now, frozen);
  }

  /** Show the time that has gone by until `now`, or with `frozen` that it was last known then. */
  tick(now, frozen) {
    const spent = timeSpent(this.order, now);
    this.steps.forEach(({ time }, i) => {
      const ms = spent[STEPS[i]];
      const total = i === STEPS.length - 1 && this.order.status === "confirmed";
      say(time, total ? `in ${duration(lifeMs(this.order))}` : ms === undefined ? "" : duration(ms));
    });
    if (this.countdown) say(this.countdown, frozen ? "last known" : countdownText(this.order, now));
  }

  #drawVenues(order) {
    const { route } = order;
    const without = isOpen(order) ? "not routed yet" : "never routed";
    if (!route) return this.venues.replaceChildren(h("small", {}, without));
    if (this.routeSlot === route.slot) return undefined;
    this.routeSlot = route.slot;
    const branches = branchesOf(route);
    const bars = h("span", { class: "branches" }, ...branches.slice(0, BRANCHES_SHOWN).map(hopBars));
    return this.venues.replaceChildren(bars, h("small", {}, routeText(branches)));
  }

  #drawPrice(order) {
    const { executed, quoted } = prices(order);
    const lines = [];
    if (executed) {
      const apart = bpsBetween(executed, quoted);
      const kind = Math.abs(apart) < 0.05 ? "same" : apart < 0 ? "worse" : "better";
      lines.push(h("span", { title: executed }, number(executed), h("span", { class: kind }, bps(apart))));
    }
    if (quoted) lines.push(h("small", {}, `quoted ${number(quoted)}`));
    this.price.replaceChildren(...lines);
  }

  #drawOutcome(order) {
    this.countdown = null;
    const lines = [h("span", { class: "status" }, title(order.status))];
    if (isOpen(order)) {
      this.countdown = h("small", { class: "countdown", title: order.error ? reason(order.error) : null });
      lines.push(this.countdown);
    } else if (order.error) {
      lines.push(h("small", { class: "reason", title: order.error.message }, reason(order.error)));
    }
    if (order.txHash && order.status === "confirmed") {
      lines.push(copyButton(order.txHash, "transaction", shortHash(order.txHash)));
    }
    this.outcome.replaceChildren(...lines);
  }
}

function countdownText(order, now) {
  const attempt = order.attempt > 1 ? `attempt ${order.attempt} of ${order.maxAttempts}` : "";
  const wait = order.nextRetryAt ? Date.parse(order.nextRetryAt) - now : 0;
  const next = wait > 0 ? `in ${duration(Math.ceil(wait / 100) * 100)}` : "";
  return [attempt, next].filter(Boolean).join(" ");
}

// The list of orders, one line per order. A row has its cells only while it is near the visible part of the
// page, so that a thousand orders cost little.

import { COLUMNS, quality } from "./columns.js";
import { marketPrice, onPrice } from "./dollars.js";
import { byId, h, setText } from "./dom.js";
import { canCancel, canChange, dropKnownAt, feeOf, inStatusMs, isOpen, stepReached } from "./orders.js";
import { isStable, onInvert, shownPrice } from "./pairs.js";
import { STEPS } from "./stack.js";
import { urlWith } from "./url.js";
import { branchesOf, countdown, duration, gain, number, price, reason, routeText, shortId, statusName, timeOf, title } from "./words.js";

const TICK_MS = 200;
const ROWS_PER_FRAME = 30;
const NEAR = "600px 0px";
const COUNT = Object.keys(COLUMNS).length + 1; // with the buttons
const MIDDLE = ["received", "price", "quote", "fee", "venue"];
// A transaction lands within this time, or may have been dropped.
const LANDS_WITHIN_MS = 5_000;

export class Rows {
  #orders;
  #rows = new Map();
  #sorted = [];
  #changed = new Set();
  #wanted = () => true;
  #sort = { column: "time", down: true };
  #near = new Set();
  #observer = new IntersectionObserver((entries) => this.#updateVisible(entries), { rootMargin: NEAR });
  #onShown;
  #onAct;

  /** `onAct` receives an action ("open", "cancel", "change" or "repeat"), its order and the button; `onShown` is
  called when the shown orders may have changed. */
  constructor(orders, { onAct, onShown }) {
    this.#orders = orders;
    this.#onAct = onAct;
    this.#onShown = onShown;
    orders.onChange((order) => {
      if (!this.#changed.size) requestAnimationFrame(() => this.#draw());
      this.#changed.add(order.orderId);
    });
    const heads = Object.entries(COLUMNS).map(([id, { head }]) => h("th", { role: "columnheader", class: `c-${id}`, "data-column": id },
      h("button", { type: "button", onclick: () => this.#sortBy(id) }, head)));
    byId("heads").replaceChildren(...heads, h("th", { role: "columnheader", class: "c-act" }, h("span", { class: "unseen" }, "Actions")));
    this.#showSort();
    byId("rows").addEventListener("click", (event) => this.#click(event));
    setInterval(() => this.#tick(), TICK_MS);
    onInvert(() => this.#redraw(() => true));
    onPrice(() => this.#redraw((order) => isOpen(order) || !order.route || !isStable(order.tokenOut)));
  }

  /** Show only orders for which `wanted` is true. */
  filter(wanted) {
    this.#wanted = wanted;
    for (const row of this.#rows.values()) this.#showOrHide(row);
    this.#onShown();
  }

  /** The orders that are shown, in their order. */
  get shown() {
    return this.#sorted.filter(({ element }) => !element.hidden).map(({ order }) => order);
  }

  clear() {
    this.#observer.disconnect();
    this.#near.clear();
    this.#rows.clear();
    this.#changed.clear();
    this.#sorted = [];
    byId("rows").replaceChildren();
    this.#onShown();
  }

  #click(event) {
    const row = event.target.closest(".row");
    if (!row) return;
    const act = event.target.closest("[data-act]")?.dataset.act ?? "open";
    const elsewhere = event.metaKey || event.ctrlKey || event.shiftKey;
    if (act === "open" && (elsewhere || getSelection().toString())) return;
    event.preventDefault();
    this.#onAct(act, this.#orders.byId.get(row.dataset.id), event.target.closest("button"));
  }

  #sortBy(column) {
    const down = this.#sort.column === column ? !this.#sort.down : column !== "pair" && column !== "type";
    this.#sort = { column, down };
    this.#showSort();
    for (const row of this.#rows.values()) row.place(this.#sort);
    this.#sorted.sort((one, other) => this.#compare(one, other));
    byId("rows").replaceChildren(...this.#sorted.map(({ element }) => element));
    this.#onShown();
  }

  #showSort() {
    for (const head of byId("heads").children) {
      const sorted = head.dataset.column === this.#sort.column;
      if (sorted) head.setAttribute("aria-sort", this.#sort.down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    }
  }

  #compare(one, other) {
    const apart = one.sortKey < other.sortKey ? -1 : one.sortKey > other.sortKey ? 1 : one.tie < other.tie ? -1 : 1;
    return this.#sort.down ? -apart : apart;
  }

  #draw() {
    const changed = [...this.#changed].slice(0, ROWS_PER_FRAME);
    for (const id of changed) {
      this.#changed.delete(id);
      const order = this.#orders.byId.get(id);
      if (!order) continue; // it belonged to the previous key
      const row = this.#rows.get(id) ?? this.#insert(new Row(order, this.#sort));
      row.take(order);
      if (this.#near.has(row)) row.draw(this.#orders.now(), this.#orders.frozen);
      this.#showOrHide(row);
    }
    this.#onShown();
    if (this.#changed.size) requestAnimationFrame(() => this.#draw());
  }

  #insert(row) {
    let [low, high] = [0, this.#sorted.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#compare(this.#sorted[middle], row) < 0) low = middle + 1;
      else high = middle;
    }
    byId("rows").insertBefore(row.element, this.#sorted[low]?.element ?? null);
    this.#observer.observe(row.element);
    this.#sorted.splice(low, 0, row);
    this.#rows.set(row.order.orderId, row);
    return row;
  }

  #showOrHide(row) {
    row.element.hidden = !this.#wanted(row.order);
  }

  #redraw(which) {
    for (const row of this.#near) if (which(row.order)) row.draw(this.#orders.now(), this.#orders.frozen);
  }

  #tick() {
    if (document.visibilityState === "hidden") return;
    const now = this.#orders.now();
    for (const row of this.#near) if (isOpen(row.order)) row.tick(now, this.#orders.frozen);
  }

  #updateVisible(entries) {
    for (const { target, isIntersecting } of entries) {
      const row = this.#rows.get(target.dataset.id);
      if (!row) continue; // it belonged to the previous key
      if (isIntersecting) {
        this.#near.add(row);
        row.draw(this.#orders.now(), this.#orders.frozen);
      } else if (row.fold()) this.#near.delete(row);
    }
  }
}

/** One order's row: `take` stores a new state, `draw` makes the cells, `tick` updates the times. */
class Row {
  #live = null;

  constructor(order, sort) {
    this.element = h("tr", { class: "row", role: "row", "data-id": order.orderId });
    this.tie = order.orderId;
    this.take(order);
    this.place(sort);
    this.fold();
  }

  /** Fix the row's sort key, which later updates do not change, so that rows stay where they are. */
  place({ column }) {
    this.sortKey = COLUMNS[column].key(this.order);
  }

  take(order) {
    this.order = order;
    this.element.dataset.status = order.status;
    this.element.classList.toggle("open", isOpen(order));
  }

  /** Replace the cells by one with the request, unless one has the focus; returns whether it did. */
  fold() {
    if (this.element.contains(document.activeElement)) return false;
    const { amount: asked, tokenIn, tokenOut } = this.order;
    this.element.replaceChildren(cell("folded", COUNT, `${number(asked)} ${tokenIn} → ${tokenOut}`));
    this.#live = null;
    return true;
  }

  draw(now, frozen) {
    const { order } = this;
    const held = this.element.contains(document.activeElement) && document.activeElement.dataset.act;
    const [time, , type, , value] = ["time", "pair", "type", "sold", "value"].map((id) => plain(id, order));
    time.title = timeOf(order.createdAt);
    this.#live = null;
    this.element.replaceChildren(time, pairCell(order), type, soldCell(order), value, ...this.#middle(order),
      statusCell(order), actionsCell(order));
    if (held) this.element.querySelector(`[data-act="${held}"]`)?.focus();
    this.tick(now, frozen);
  }

  #middle(order) {
    if (order.status === "resting") return [this.#liveCell("waits")];
    if (order.status === "working" || (isOpen(order) && order.slices)) return [this.#progressCell(order)];
    if (isOpen(order)) return [this.#stepsCell(order)];
    if (order.outAmount) return MIDDLE.map((id) => plain(id, order));
    const why = order.error ? reason(order.error) : `${statusName(order.status)} before it was executed`;
    return [cell("why", MIDDLE.length, h("span", { title: order.error?.message }, why))];
  }

  #liveCell(name, ...before) {
    this.#live = h("span", { class: "live" });
    return cell(name, MIDDLE.length, ...before, this.#live);
  }

  #stepsCell(order) {
    const reached = stepReached(order);
    const steps = STEPS.map((step, i) => {
      const state = i < reached ? "done" : i > reached ? "todo" : "now";
      return h("li", { "data-state": state, title: title(step), "aria-current": state === "now" ? "step" : null },
        h("span", { class: "unseen" }, title(step)));
    });
    return this.#liveCell("progress", h("ol", { class: "steps", "aria-label": "Progress" }, ...steps));
  }

  #progressCell(order) {
    const done = order.slicesDone ?? 0;
    const bar = h("progress", { max: order.slices ?? 1, value: done, "aria-label": "Slices done" });
    return this.#liveCell("progress", bar);
  }

  /** Update the live text for the time `now`; with `frozen`, it says "last known". */
  tick(now, frozen) {
    if (this.#live) setText(this.#live, frozen ? "last known" : liveText(this.order, now));
  }
}

const cell = (name, columns, ...children) => h("td", { role: "cell", class: `c-${name}`, colspan: columns > 1 ? columns : null }, ...children);

function plain(id, order) {
  const made = cell(id, 1, COLUMNS[id].text(order));
  if (id === "fee" && order.route) made.title = `Pool fees: ${number(feeOf(order.route))} ${order.tokenIn}`;
  if (id === "received") made.title = order.outAmount;
  if (id === "quote") made.classList.add(quality(order));
  if (id === "venue" && order.route) made.title = routeText(branchesOf(order.route));
  return made;
}

function pairCell(order) {
  const link = h("a", { class: "asked", href: urlWith({ order: order.orderId }), "data-act": "open" },
    COLUMNS.pair.text(order), h("span", { class: "unseen" }, `, ${number(order.amount)} ${order.tokenIn} to ${order.tokenOut}, order ${shortId(order.orderId)}`));
  return cell("pair", 1, link);
}

function soldCell(order) {
  const made = cell("sold", 1, COLUMNS.sold.text(order));
  made.title = `${order.amount} ${order.tokenIn}`;
  return made;
}

function statusCell(order) {
  return cell("status", 1, h("span", { class: "status", "data-status": order.status }, statusName(order.status)));
}

function actionsCell(order) {
  const button = (act, sign, words) => h("button", {
    type: "button", class: "act", "data-act": act, title: words, "aria-label": `${words} ${shortId(order.orderId)}`,
  }, sign);
  return cell("act", 1,
    canChange(order) && button("change", "✎", "Change order"),
    canCancel(order) && button("cancel", "✕", "Cancel order"),
    !isOpen(order) && button("repeat", "↻", "Repeat order"));
}

/** The present step of an open order, in a few words. */
function liveText(order, now) {
  if (order.status === "resting") return waitText(order, now);
  if (order.slices) return slicesText(order, now);
  const parts = [statusName(order.status), duration(inStatusMs(order, now))];
  if (order.attempt > 1) parts.push(`attempt ${order.attempt} of ${order.maxAttempts}`);
  const retry = order.nextRetryAt ? Date.parse(order.nextRetryAt) - now : 0;
  if (retry > 0) parts.push(`next try in ${countdown(retry)}`);
  if (order.status === "submitted" && inStatusMs(order, now) > LANDS_WITHIN_MS) {
    const known = dropKnownAt(order) - now;
    if (known > 0) parts.push(`if dropped, known in ${countdown(known)}`);
  }
  return parts.join(" · ");
}

/** What a resting order waits for, how far away that is, and until when. */
export function waitText(order, now) {
  const market = marketPrice(order);
  const waits = [["limit", order.limitPrice], ["stop", order.stopPrice]].filter(([, at]) => at).map(([name, text]) => {
    const at = shownPrice(order, text);
    return `${name} ${price(at)}${market ? ` (${gain(at / shownPrice(order, market) - 1)})` : ""}`;
  });
  const parts = [waits.join(" or ")];
  if (market && waits.length === 1) parts.push(`market ${price(shownPrice(order, market))}`);
  parts.push(order.expiresAt ? `expires in ${countdown(Date.parse(order.expiresAt) - now)}` : "no expiry");
  return parts.join(" · ");
}

/** The progress of a TWAP order. */
export function slicesText(order, now) {
  const parts = [`${order.slicesDone ?? 0} of ${order.slices} slices`];
  if (order.filledAmount) parts.push(`${number(order.filledAmount)} ${order.tokenIn}`);
  if (order.executedPrice) parts.push(`at ${price(shownPrice(order, order.executedPrice))}`);
  const next = order.nextSliceAt ? Date.parse(order.nextSliceAt) - now : 0;
  if (next > 0) parts.push(`next in ${countdown(next)}`);
  return parts.join(" · ");
}

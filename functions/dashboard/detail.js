// One order in full: its request, quotes, route and timeline. It has a URL of its own.

import { venuesText, worthThen } from "./columns.js";
import { worth } from "./dollars.js";
import { announce, byId, copyButton, h, setText } from "./dom.js";
import { canCancel, canChange, dropKnownAt, feeOf, isOpen, lifeMs, networkFee, prices } from "./orders.js";
import { isStable, onInvert, pairOf, shownPrice } from "./pairs.js";
import { routeSteps, venueBars } from "./quote.js";
import { slicesText, waitText } from "./rows.js";
import { onHistoryMove, setUrlParams, urlParam, urlWith } from "./url.js";
import { amount, bps, bpsBetween, dollars, duration, faultText, number, percent, price, reason, shortHash, shortId, statusName, timeOf, title, typeName } from "./words.js";

export class Detail {
  #orders;
  #sync;
  #actions;
  #dialog = byId("detail");
  #shownId = null;

  constructor(orders, sync, { actions, onChange, onRepeat }) {
    this.#orders = orders;
    this.#sync = sync;
    this.#actions = actions;
    orders.onChange((order) => this.#concerns(order) && this.#draw());
    onInvert(() => this.#shownId && this.#draw());
    onHistoryMove(() => this.follow());
    byId("detail-close").addEventListener("click", () => this.#dialog.close());
    byId("detail-cancel").addEventListener("click", () => this.#cancel());
    byId("detail-change").addEventListener("click", () => onChange(this.#orders.byId.get(this.#shownId)));
    byId("detail-repeat").addEventListener("click", () => {
      const order = this.#orders.byId.get(this.#shownId);
      this.#dialog.close();
      onRepeat(order);
    });
    byId("detail-body").addEventListener("click", (event) => {
      const link = event.target.closest("a[data-order]");
      if (!link || event.metaKey || event.ctrlKey || event.shiftKey) return;
      event.preventDefault();
      this.open(link.dataset.order);
    });
    this.#dialog.addEventListener("close", () => this.#dialog.open || this.#empty());
    this.#dialog.addEventListener("click", (event) => {
      if (event.target === this.#dialog) this.#dialog.close(); // a click outside the dialog
    });
    setInterval(() => this.#shownId && this.#tick(), 500);
  }

  /** Show the order that the URL names, or none. */
  follow() {
    const orderId = urlParam("order");
    if (orderId && orderId !== this.#shownId) this.open(orderId);
    else if (!orderId) this.#dialog.close();
  }

  /** Show an order, which need not be loaded. */
  async open(orderId) {
    this.#shownId = orderId;
    setUrlParams({ order: orderId }, { newEntry: urlParam("order") !== orderId });
    setText(byId("detail-error"), "");
    this.#draw();
    if (!this.#dialog.open) this.#dialog.showModal();
    byId("detail-title").focus();
    const found = this.#orders.byId.get(orderId) ?? await this.#sync.find(orderId).catch(() => undefined);
    if (this.#shownId !== orderId) return;
    if (found) {
      if (found.slices) await this.#sync.slicesOf(orderId).catch(() => {}); // the loaded slices are shown in any case
      return;
    }
    setText(byId("detail-title"), "No such order");
    setText(byId("detail-error"), found === null ? "There is no such order of this key." : "The order could not be loaded. Open it again.");
  }

  /** Close the dialog without a change of the URL, which may come from a link. */
  leave() {
    this.#shownId = null;
    this.#dialog.close();
    this.#empty();
  }

  #concerns({ orderId, parentId }) {
    return this.#shownId && (orderId === this.#shownId || parentId === this.#shownId);
  }

  #empty() {
    if (this.#shownId) setUrlParams({ order: "" }, { newEntry: true });
    this.#shownId = null;
    setText(byId("detail-title"), "");
    byId("detail-body").replaceChildren();
  }

  async #cancel() {
    const button = byId("detail-cancel");
    const orderId = this.#shownId;
    button.disabled = true;
    setText(byId("detail-error"), "");
    const why = await this.#actions.cancel(orderId);
    if (!why) announce("Order cancelled");
    else if (orderId === this.#shownId) setText(byId("detail-error"), why);
    button.disabled = false;
  }

  #draw() {
    const order = this.#orders.byId.get(this.#shownId);
    const heldFocus = document.activeElement?.dataset.key;
    for (const [id, can] of Object.entries({ cancel: canCancel, change: canChange, repeat: (o) => !isOpen(o) })) {
      byId(`detail-${id}`).hidden = !order || !can(order);
    }
    if (!order) {
      setText(byId("detail-title"), "Loading the order…");
      byId("detail-body").replaceChildren();
      return;
    }
    setText(byId("detail-title"), `${number(order.amount)} ${order.tokenIn} → ${order.tokenOut}`);
    const slices = [...this.#orders.byId.values()].filter(({ parentId }) => parentId === order.orderId);
    byId("detail-body").replaceChildren(...summary(order), ...slicesList(slices), ...route(order), ...timeline(order));
    this.#tick();
    if (heldFocus) this.#dialog.querySelector(`[data-key="${heldFocus}"]`)?.focus();
  }

  #tick() {
    const live = byId("detail-body").querySelector(".live");
    const order = this.#orders.byId.get(this.#shownId);
    if (!live || !order) return;
    setText(live, order.slices ? slicesText(order, this.#orders.now()) : waitText(order, this.#orders.now()));
  }
}

function summary(order) {
  const { executed, quoted } = prices(order);
  const { tokenIn, tokenOut } = order;
  const { base, quote } = pairOf(tokenIn, tokenOut);
  const at = (text) => `${price(shownPrice(order, text))} ${quote} for 1 ${base}`;
  const valued = (text, value) => `${text}${value === null ? "" : ` (${dollars(value)})`}`;
  const link = new URL(`?order=${order.orderId}`, location.href).href;
  const facts = {
    Order: copyButton(order.orderId, "order id", order.orderId),
    Link: copyButton(link, "link to this order", "Copy link"),
    "Client order id": order.clientOrderId && copyButton(order.clientOrderId, "client order id", order.clientOrderId),
    "Slice of": order.parentId && h("a", { href: urlWith({ order: order.parentId }), "data-order": order.parentId }, `order ${shortId(order.parentId)}`),
    Type: typeName(order.type),
    Created: timeOf(order.createdAt),
    Expires: order.expiresAt && timeOf(order.expiresAt),
    "Limit price": order.limitPrice && at(order.limitPrice),
    "Stop price": order.stopPrice && at(order.stopPrice),
    Slippage: order.slippageBps !== undefined && order.slippageBps !== null && percent(order.slippageBps / 10_000),
    Slices: order.slices && `${order.slices}, one each ${order.intervalSeconds} s`,
    Attempt: !order.slices && order.maxAttempts && `${order.attempt} of ${order.maxAttempts}`,
    Amount: valued(`${number(order.amount)} ${tokenIn}`, worthThen(order, order.amount)),
    Sold: order.filledAmount && valued(`${number(order.filledAmount)} ${tokenIn}`, worthThen(order, order.filledAmount)),
    Received: order.outAmount && valued(`${number(order.outAmount)} ${tokenOut}`, isStable(tokenOut) ? Number(order.outAmount) : worth(tokenOut, order.outAmount)),
    "Average price": executed && at(executed),
    "Against the quote": executed && quoted && `${bps(bpsBetween(executed, quoted))} (quoted ${price(shownPrice(order, quoted))})`,
    "Pool fees": order.route && valued(`${number(feeOf(order.route))} ${tokenIn}`, worthThen(order, feeOf(order.route))),
    "Network fee": networkFee(order) !== null && valued(`${number(networkFee(order))} SOL`, worth("SOL", networkFee(order))),
    "Against the market": order.execution && bps(-Number(order.execution.shortfallBps)),
    Venues: order.route && venuesText(order),
    Transaction: order.txHash && copyButton(order.txHash, "transaction", shortHash(order.txHash)),
    "Simulated fault": order.simulate && faultText(order.simulate),
  };
  const failure = order.status === "failed" && order.error;
  const waits = order.status === "resting" || (isOpen(order) && order.slices);
  return [
    h("p", { class: "outcome" },
      h("span", { class: "status", "data-status": order.status }, statusName(order.status)),
      isOpen(order) ? null : ` after ${duration(lifeMs(order))}`),
    waits && h("p", { class: "live" }),
    failure && h("p", { class: "failure" }, h("b", {}, reason(failure)), h("span", {}, failure.message)),
    definitions(facts),
  ].filter(Boolean);
}

function slicesList(slices) {
  if (!slices.length) return [];
  const rows = slices.sort((one, other) => (one.createdAt < other.createdAt ? -1 : 1)).map((slice) => h("li", {},
    h("a", { href: urlWith({ order: slice.orderId }), "data-order": slice.orderId }, timeOf(slice.createdAt)),
    ` ${number(slice.amount)} ${slice.tokenIn}`,
    h("small", {}, slice.outAmount ? `${amount(slice.outAmount, slice.tokenOut)} ${slice.tokenOut}` : statusName(slice.status))));
  return [h("h3", {}, "Slices"), h("ul", { class: "legs" }, ...rows)];
}

function route({ route, tokenOut, execution }) {
  if (!route) return [];
  const legs = route.routePlan.map((leg, i) => h("li", {},
    h("b", {}, `${title(leg.venue)} ${leg.percent} %`),
    ` ${number(execution?.fills[i]?.inAmount ?? leg.inAmount)} ${leg.tokenIn} → ${number(execution?.fills[i]?.outAmount ?? leg.outAmount)} ${leg.tokenOut}`,
    h("small", {}, `fee ${number(leg.feeAmount)} ${leg.tokenIn}`)));
  return [
    h("h3", {}, execution ? "Route, as it was filled" : "Route"),
    h("ul", { class: "venues" }, ...venueBars(route)),
    routeSteps(route),
    h("p", { class: "why" }, route.reason),
    h("ul", { class: "legs" }, ...legs),
    definitions({
      "Price impact": percent(route.priceImpactPct),
      "Minimum received": `${number(route.otherAmountThreshold)} ${tokenOut}`,
      Slot: String(route.slot),
    }),
  ];
}

/** The steps of an order, grouped by attempt if there was more than one. */
function timeline(order) {
  const { updates } = order;
  const several = updates.some(({ attempt }) => attempt > 1);
  const steps = [];
  let attempt = 0;
  updates.forEach((update, i) => {
    if (several && update.attempt > attempt) {
      attempt = update.attempt;
      steps.push(h("li", { class: "attempt" }, h("b", {}, `Attempt ${attempt}`)));
    } else if (several && !attempt && update.status === "routing") {
      attempt = 1;
      steps.push(h("li", { class: "attempt" }, h("b", {}, "Attempt 1")));
    }
    const sincePrevious = i ? Date.parse(update.timestamp) - Date.parse(updates[i - 1].timestamp) : null;
    const waiting = update === updates.at(-1) && update.status === "submitted";
    steps.push(h("li", { "data-status": update.status },
      h("div", { class: "timeline-head" },
        h("b", {}, statusName(update.status)),
        h("time", { datetime: update.timestamp }, timeOf(update.timestamp)),
        h("small", {}, sincePrevious === null ? "" : `+${duration(sincePrevious)}`)),
      update.error && h("p", {}, `${reason(update.error)}. `, h("small", {}, update.error.message)),
      update.nextRetryAt && h("p", {}, h("small", {}, `Tries again at ${timeOf(update.nextRetryAt)}`)),
      update.txHash && update.status === "submitted"
        && h("p", {}, copyButton(update.txHash, `transaction of step ${update.sequence}`, shortHash(update.txHash))),
      waiting && h("p", {}, h("small", {}, `If the network has dropped it, that is known at ${timeOf(dropKnownAt(order))}.`))));
  });
  return [h("h3", {}, "Timeline"), h("ol", { class: "timeline" }, ...steps)];
}

function definitions(facts) {
  const given = Object.entries(facts).filter(([, value]) => value);
  return h("dl", { class: "facts" },
    ...given.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

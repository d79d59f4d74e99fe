// One order in full: what was asked, the quotes, the route, and the timeline of its life.

import { call } from "./api.js";
import { announce, byId, copyButton, h, say } from "./dom.js";
import { isOpen, lifeMs, prices } from "./orders.js";
import { routeSteps, venueBars } from "./quote.js";
import { bps, bpsBetween, duration, number, percent, reason, shortHash, timeOf, title } from "./words.js";

export class Detail {
  #orders;
  #dialog = byId("detail");
  #shownId = null;

  constructor(orders) {
    this.#orders = orders;
    orders.onChange((order) => order.orderId === this.#shownId && this.#draw(order));
    byId("detail-close").addEventListener("click", () => this.#dialog.close());
    byId("detail-cancel").addEventListener("click", () => this.#cancel());
    this.#dialog.addEventListener("close", () => this.#dialog.open || this.#empty());
    this.#dialog.addEventListener("click", (event) => {
      if (event.target === this.#dialog) this.#dialog.close(); // beside it
    });
  }

  open(orderId) {
    this.#shownId = orderId;
    say(byId("detail-error"), "");
    this.#draw(this.#orders.byId.get(orderId));
    this.#dialog.showModal();
    byId("detail-title").focus();
  }

  close() {
    this.#dialog.close();
    this.#empty();
  }

  #empty() {
    this.#shownId = null;
    say(byId("detail-title"), "");
    byId("detail-body").replaceChildren();
  }

  async #cancel() {
    const button = byId("detail-cancel");
    const orderId = this.#shownId;
    button.disabled = true;
    say(byId("detail-error"), "");
    try {
      this.#orders.merge(await call("DELETE", `api/orders/${orderId}`));
      announce("Order cancelled");
    } catch (error) {
      const why = error.status ? error.message : "No answer came; the order may or may not be cancelled.";
      if (orderId === this.#shownId) say(byId("detail-error"), `Not cancelled. ${why}`);
    }
    button.disabled = false;
  }

  #draw(order) {
    const heldFocus = document.activeElement?.dataset.key;
    say(byId("detail-title"), `${number(order.amount)} ${order.tokenIn} → ${order.tokenOut}`);
    byId("detail-cancel").hidden = order.status !== "pending";
    byId("detail-body").replaceChildren(...summary(order), ...route(order), ...timeline(order));
    if (heldFocus) this.#dialog.querySelector(`[data-key="${heldFocus}"]`)?.focus();
  }
}

function summary(order) {
  const { executed, quoted } = prices(order);
  const facts = {
    Order: copyButton(order.orderId, "order id", order.orderId),
    "Client order id": order.clientOrderId && copyButton(order.clientOrderId, "client order id", order.clientOrderId),
    Created: timeOf(order.createdAt),
    Slippage: percent(order.slippageBps / 10_000),
    Attempt: `${order.attempt} of ${order.maxAttempts}`,
    Received: order.outAmount && `${number(order.outAmount)} ${order.tokenOut}`,
    "Executed price": executed && `${number(executed)} (quoted ${number(quoted)}, ${bps(bpsBetween(executed, quoted))})`,
    Transaction: order.txHash && copyButton(order.txHash, "transaction", shortHash(order.txHash)),
    "Simulated fault": order.simulate && faultText(order.simulate),
  };
  const failure = order.status === "failed" && order.error;
  return [
    h("p", { class: "outcome", "data-status": order.status },
      h("span", { class: "status" }, title(order.status)),
      isOpen(order) ? null : ` after ${duration(lifeMs(order))}`),
    failure && h("p", { class: "failure" }, h("b", {}, reason(failure)), h("span", {}, failure.message)),
    definitions(facts),
  ].filter(Boolean);
}

function route({ route, tokenOut }) {
  if (!route) return [];
  const legs = route.routePlan.map((leg) => h("li", {},
    h("b", {}, `${title(leg.venue)} ${leg.percent} %`),
    ` ${number(leg.inAmount)} ${leg.tokenIn} → ${number(leg.outAmount)} ${leg.tokenOut}`,
    h("small", {}, `fee ${number(leg.feeAmount)} ${leg.tokenIn}`)));
  return [
    h("h3", {}, "Route"),
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

function timeline({ updates }) {
  const steps = updates.map((update, i) => {
    const sincePrevious = i ? Date.parse(update.timestamp) - Date.parse(updates[i - 1].timestamp) : null;
    return h("li", { "data-status": update.status },
      h("div", { class: "timeline-head" },
        h("b", {}, title(update.status)),
        update.attempt > 1 ? h("span", {}, ` attempt ${update.attempt}`) : null,
        h("time", { datetime: update.timestamp }, timeOf(update.timestamp)),
        h("small", {}, sincePrevious === null ? "" : `+${duration(sincePrevious)}`)),
      update.error && h("p", {}, `${reason(update.error)}. `, h("small", {}, update.error.message)),
      update.txHash && update.status === "submitted"
        && h("p", {}, copyButton(update.txHash, `transaction of step ${update.sequence}`, shortHash(update.txHash))));
  });
  return [h("h3", {}, "Timeline"), h("ol", { class: "timeline" }, ...steps)];
}

function definitions(facts) {
  const given = Object.entries(facts).filter(([, value]) => value);
  return h("dl", { class: "facts" },
    ...given.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

function faultText({ fault, venue, attempts }) {
  return `${fault.replaceAll("_", " ")}, ${venue ?? "all venues"}, ${attempts === 1 ? "first attempt" : `first ${attempts} attempts`}`;
}

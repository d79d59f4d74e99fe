// The dialog that changes what a resting order waits for.

import { call } from "./api.js";
import { byId, setText } from "./dom.js";
import { pairOf } from "./pairs.js";
import { readExpiry, readPrice, writtenPrice } from "./terms.js";
import { number, timeOf } from "./words.js";

const PRICES = { limitPrice: "change-limit", stopPrice: "change-stop" };
const NAMES = { limitPrice: "The limit price", stopPrice: "The stop price", expiresAt: "The expiry" };

export class Change {
  #orders;
  #order = null;

  constructor(orders) {
    this.#orders = orders;
    byId("change-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    byId("change-expiry").addEventListener("input", () => this.#showExpiry());
    byId("change-close").addEventListener("click", () => byId("change").close());
  }

  open(order) {
    this.#order = order;
    const { base, quote } = pairOf(order.tokenIn, order.tokenOut);
    setText(byId("change-title"), `Change ${number(order.amount)} ${order.tokenIn} → ${order.tokenOut}`);
    for (const [field, id] of Object.entries(PRICES)) {
      byId(id).closest("label").hidden = !order[field];
      byId(id).value = order[field] ? writtenPrice(order[field], order.tokenIn, order.tokenOut) : "";
    }
    for (const unit of document.querySelectorAll("[data-change-unit]")) setText(unit, `${quote} for 1 ${base}`);
    setText(byId("change-keep"), order.expiresAt ? `As it is: ${timeOf(order.expiresAt)}` : "As it is: until cancelled");
    byId("change-expiry").value = "keep";
    this.#showExpiry();
    setText(byId("change-error"), "");
    byId("change").showModal();
  }

  close() {
    byId("change").close();
  }

  #showExpiry() {
    byId("change-time").hidden = byId("change-expiry").value !== "custom";
  }

  /** Send only changed fields, so that no price is rounded again. */
  async #send() {
    const order = this.#order;
    const body = {};
    const wrong = [];
    const take = (field, read) => {
      if (read.rule) wrong.push(`${NAMES[field]} ${read.rule}.`);
      else body[field] = read.text;
    };
    for (const [field, id] of Object.entries(PRICES)) {
      const written = byId(id).value.trim();
      if (order[field] && written !== writtenPrice(order[field], order.tokenIn, order.tokenOut)) {
        take(field, readPrice(written, order.tokenIn, order.tokenOut));
      }
    }
    const expiry = byId("change-expiry").value;
    if (expiry !== "keep") take("expiresAt", readExpiry(expiry, byId("change-time").value, this.#orders.now()));
    setText(byId("change-error"), wrong.join(" "));
    if (wrong.length) return;
    if (!Object.keys(body).length) {
      byId("change").close();
      return;
    }
    byId("change-submit").disabled = true;
    try {
      this.#orders.merge(await call("PATCH", `api/orders/${order.orderId}`, { body }));
      byId("change").close();
    } catch (error) {
      if (error.name === "AbortError") return;
      setText(byId("change-error"), `Not changed. ${error.status ? error.message : "No answer came; look at the order before you try again."}`);
    } finally {
      byId("change-submit").disabled = false;
    }
  }
}

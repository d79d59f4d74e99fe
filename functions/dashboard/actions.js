// Cancels orders: from the detail view, from a row, or all that can be cancelled.

import { call } from "./api.js";
import { byId, h, setText } from "./dom.js";
import { canCancel } from "./orders.js";
import { number } from "./words.js";

const AT_ONCE = 4;

export class Actions {
  #orders;
  #news;

  constructor(orders, news) {
    this.#orders = orders;
    this.#news = news;
    byId("cancel-all").addEventListener("click", () => this.#askAll());
    byId("cancel-all-yes").addEventListener("click", () => this.#cancelAll());
  }

  /** Cancel an order; resolves to the reason why it was not cancelled, or to "". */
  async cancel(orderId) {
    try {
      this.#orders.merge(await call("DELETE", `api/orders/${orderId}`));
      return "";
    } catch (error) {
      if (error.name === "AbortError") return "";
      return `Not cancelled. ${error.status ? error.message : "No answer came; the order may or may not be cancelled."}`;
    }
  }

  /** Cancel an order from its row; a refusal is shown as news. */
  async cancelInRow(order, button) {
    button.disabled = true;
    const why = await this.cancel(order.orderId);
    button.disabled = false;
    if (why) this.#news.tell(order.orderId, why, "bad");
  }

  #cancellable() {
    return this.#orders.open().filter(canCancel);
  }

  #askAll() {
    const orders = this.#cancellable();
    setText(byId("cancel-all-title"), orders.length === 1 ? "Cancel the open order?" : `Cancel all ${orders.length} open orders?`);
    const sums = new Map();
    for (const { tokenIn, amount } of orders) sums.set(tokenIn, (sums.get(tokenIn) ?? 0) + Number(amount));
    byId("cancel-all-sums").replaceChildren(...[...sums].map(([symbol, sum]) => h("li", {}, `${number(sum)} ${symbol}`)));
    byId("cancel-all-dialog").showModal();
    byId("cancel-all-no").focus();
  }

  async #cancelAll() {
    const waiting = this.#cancellable();
    const all = waiting.length;
    let refused = 0;
    const next = async () => {
      for (let order = waiting.shift(); order; order = waiting.shift()) {
        if (await this.cancel(order.orderId)) refused += 1;
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, next));
    const words = refused ? `${all - refused} of ${all} orders cancelled; ${refused} were being executed already.` : `${all} orders cancelled.`;
    this.#news.tell("cancel-all", all === 1 && !refused ? "1 order cancelled." : words, refused ? "bad" : "good");
  }
}

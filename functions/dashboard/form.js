// The order form: what is wished, its live quote, and sending it so that it becomes one order.

import { call, newIdempotencyKey } from "./api.js";
import { announce, byId, say } from "./dom.js";
import { Picker } from "./picker.js";
import { Quote } from "./quote.js";
import { shortId } from "./words.js";

const AT_ONCE = 5;
const DECIMAL = /^(\d+\.?\d*|\.\d+)$/;
// A second click within this time is the same order: the engine sees the same key again.
const SAME_ORDER_MS = 1000;

export class Form {
  #tokenIn = new Picker(byId("token-in"), (picker) => this.#picked(picker));
  #tokenOut = new Picker(byId("token-out"), (picker) => this.#picked(picker));
  #quote = new Quote((fields) => this.#showFields(fields));
  #intent = null;
  #onOrder;
  #onPair;

  /** `onOrder` is given each accepted order, `onPair` the two symbols whenever they change. */
  constructor({ onOrder, onPair }) {
    this.#onOrder = onOrder;
    this.#onPair = onPair;
    byId("order-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit(1);
    });
    byId("submit-five").addEventListener("click", () => this.#submit(AT_ONCE));
    byId("flip").addEventListener("click", () => this.#flip());
    byId("order-fields").addEventListener("input", (event) => {
      if (event.target.getAttribute("role") === "combobox") return;
      byId("custom-slippage").hidden = slippageChoice() !== "custom";
      this.#changed();
    });
  }

  /** Offer what the stack has: its tokens, and faults where it simulates them. */
  offer(tokens, simulateAllowed) {
    this.#tokenIn.offer(tokens);
    this.#tokenOut.offer(tokens);
    byId("faults").hidden = !simulateAllowed;
    this.#changed();
    this.#onPair(this.#tokenIn.symbol, this.#tokenOut.symbol);
  }

  #picked(picker) {
    const other = picker === this.#tokenIn ? this.#tokenOut : this.#tokenIn;
    if (other.symbol === picker.symbol) other.show(picker.symbol === "SOL" ? "USDC" : "SOL");
    this.#pairChanged();
  }

  #flip() {
    const before = this.#tokenIn.symbol;
    this.#tokenIn.show(this.#tokenOut.symbol);
    this.#tokenOut.show(before);
    this.#pairChanged();
  }

  #pairChanged() {
    this.#changed();
    this.#onPair(this.#tokenIn.symbol, this.#tokenOut.symbol);
  }

  #changed() {
    this.#intent = null;
    const wish = this.#wish();
    this.#showFields(wish.fields);
    const { tokenIn, tokenOut, amount, slippageBps } = wish;
    this.#quote.want(wish.complete ? { tokenIn, tokenOut, amount, slippageBps } : null);
  }

  /** What the form says now, and what is wrong with it by field. */
  #wish() {
    const amount = byId("amount").value.trim().replaceAll(",", "");
    const slippage = slippageChoice() === "custom" ? byId("slippage-percent").value.trim() : null;
    const bps = Math.round(Number(slippage ?? slippageChoice() / 100) * 100);
    const fields = {};
    if (amount && !DECIMAL.test(amount)) fields.amount = "must be a number such as 1.5";
    else if (amount && !Number(amount)) fields.amount = "must be greater than 0";
    else if ((amount.split(".")[1] ?? "").length > this.#tokenIn.decimals) {
      fields.amount = `must have at most ${this.#tokenIn.decimals} decimal places`;
    }
    if (slippage !== null && !(DECIMAL.test(slippage) && bps <= 10_000)) {
      fields.slippageBps = "must be between 0 and 100 %";
    }
    return {
      tokenIn: this.#tokenIn.symbol,
      tokenOut: this.#tokenOut.symbol,
      amount,
      slippageBps: bps,
      simulate: simulated(),
      fields,
      complete: Boolean(amount) && !Object.keys(fields).length,
    };
  }

  async #submit(count) {
    const wish = this.#wish();
    if (!wish.complete) {
      this.#showFields(wish.amount ? wish.fields : { amount: "is needed" });
      byId("amount").focus();
      return;
    }
    const { tokenIn, tokenOut, amount, slippageBps, simulate } = wish;
    const body = { tokenIn, tokenOut, amount, slippageBps, ...(simulate && { simulate }) };
    const intent = this.#intentOf(count);
    this.#tell(count === 1 ? "Submitting…" : `Submitting ${count} orders…`);
    try {
      const sent = intent.keys.map((idempotencyKey) => this.#send(body, idempotencyKey));
      const [first] = await Promise.all(sent);
      const made = count === 1 ? `Order ${shortId(first.orderId)} accepted.` : `${count} orders accepted.`;
      this.#tell(made, "done");
      setTimeout(() => { if (this.#intent === intent) this.#intent = null; }, SAME_ORDER_MS);
    } catch (error) {
      // The same keys are sent again by the next click: what did get through is not repeated.
      this.#showFields(error.fields ?? {});
      this.#tell(error.status ? error.message : "No answer. Submit again: it stays one order.", "error");
    }
  }

  /** The idempotency keys of what is being submitted: the same for a repeated click. */
  #intentOf(count) {
    if (this.#intent?.keys.length !== count) {
      this.#intent = { keys: Array.from({ length: count }, newIdempotencyKey) };
    }
    return this.#intent;
  }

  async #send(body, idempotencyKey) {
    const order = await call("POST", "api/orders/execute", { body, idempotencyKey });
    this.#onOrder(order);
    return order;
  }

  #tell(text, state = "busy") {
    const status = byId("form-status");
    status.dataset.state = state;
    say(status, text);
    if (state === "error") announce(text);
  }

  #showFields(fields) {
    const words = { amount: "The amount", slippageBps: "Slippage", tokenIn: "The token", tokenOut: "The token" };
    const broken = Object.entries(fields).filter(([field]) => field in words);
    say(byId("amount-error"), broken.map(([field, rule]) => `${words[field]} ${rule}.`).join(" "));
    byId("amount").setAttribute("aria-invalid", String("amount" in fields));
  }
}

function slippageChoice() {
  return document.querySelector("input[name=slippage]:checked").value;
}

function simulated() {
  const fault = byId("fault").value;
  if (!fault || byId("faults").hidden) return null;
  const venue = byId("fault-venue").value;
  return { fault, attempts: Number(byId("fault-attempts").value), ...(venue && { venue }) };
}

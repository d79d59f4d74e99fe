// The order form: what is wished, its live quote, and sending it so that it becomes one order.

import { call, isPassing, newIdempotencyKey } from "./api.js";
import { grouped, hasPoint, readDecimal } from "./decimal.js";
import { announce, byId, fit, say } from "./dom.js";
import { accepted, risksOf } from "./guard.js";
import { Picker } from "./picker.js";
import { Quote } from "./quote.js";
import { SIMULATE_ALLOWED, TOKENS } from "./stack.js";
import { shortId } from "./words.js";

const AT_ONCE = 5;
const SLIPPAGE_PLACES = 2;
// A second click within this time is the same order: the engine sees the same key again.
const SAME_ORDER_MS = 1000;
// The field that each problem is shown beside, and what it is called there.
const PLACES = {
  amount: ["amount", "The amount"],
  slippageBps: ["slippage", "Slippage"],
  tokenIn: ["amount", "The token to pay with"],
  tokenOut: ["amount", "The token to receive"],
};

export class Form {
  #tokenIn = new Picker(byId("token-in"), TOKENS, (picker, before) => this.#picked(picker, before));
  #tokenOut = new Picker(byId("token-out"), TOKENS, (picker, before) => this.#picked(picker, before));
  #quote = new Quote((fields) => this.#showFields(fields));
  #intent = null;
  #onOrder;
  #onPair;

  /** `onOrder` is given each accepted order, `onPair` the two symbols whenever they change. */
  constructor({ onOrder, onPair }) {
    this.#onOrder = onOrder;
    this.#onPair = onPair;
    byId("faults").hidden = !SIMULATE_ALLOWED;
    // A keypad without a point could not write what is accepted.
    for (const id of ["amount", "slippage-percent"]) byId(id).inputMode = hasPoint ? "decimal" : "text";
    byId("order-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit(1);
    });
    byId("submit-five").addEventListener("click", () => this.#submit(AT_ONCE));
    byId("flip").addEventListener("click", () => this.#flip());
    byId("order-fields").addEventListener("input", (event) => {
      if (event.target.getAttribute("role") !== "combobox") this.#changed();
    });
    for (const id of ["token-in", "token-out"]) byId(id).addEventListener("blur", () => this.#changed());
    new ResizeObserver(() => ["amount", "receive"].map(byId).forEach(fit)).observe(byId("order-fields"));
  }

  /** Begin for an owner: quote what the form says. */
  begin() {
    this.#pairChanged();
  }

  /** Forget what was wished and said, for the next owner. */
  end() {
    byId("order-form").reset();
    for (const picker of [this.#tokenIn, this.#tokenOut]) picker.reset();
    this.#intent = null;
    this.#quote.want(null);
    this.#tell("");
    byId("guard").close();
  }

  /** A choice was made in a list, or what is typed there has changed. */
  #picked(picker, before) {
    const other = picker === this.#tokenIn ? this.#tokenOut : this.#tokenIn;
    if (before && other.symbol === picker.symbol) other.show(before);
    if (before) this.#pairChanged();
    else this.#changed();
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
    byId("custom-slippage").hidden = slippageChoice() !== "custom";
    fit(byId("amount"));
    this.#showFields(wish.fields);
    this.#showWish(wish);
    this.#quote.want(wish.complete ? quoted(wish) : null);
  }

  /** What the form says now, and what is wrong with it by field. */
  #wish() {
    const fields = {};
    const written = byId("amount").value.trim();
    const amount = written ? readDecimal(written, this.#tokenIn.decimals) : {};
    if (amount.rule) fields.amount = amount.rule;
    else if (written && !Number(amount.text)) fields.amount = "must be greater than 0";
    const slippage = slippageChoice() === "custom"
      ? readDecimal(byId("slippage-percent").value, SLIPPAGE_PLACES)
      : { text: String(slippageChoice() / 100) };
    if (slippage.rule) fields.slippageBps = slippage.rule;
    else if (Number(slippage.text) > 100) fields.slippageBps = "must be between 0 and 100 %";
    for (const [field, picker] of Object.entries({ tokenIn: this.#tokenIn, tokenOut: this.#tokenOut })) {
      if (!picker.settled) fields[field] = picker.text ? `is not settled: ${picker.text} is no listed token` : "is needed";
    }
    return {
      tokenIn: this.#tokenIn.symbol,
      tokenOut: this.#tokenOut.symbol,
      amount: amount.text,
      slippageBps: Math.round(Number(slippage.text) * 100),
      simulate: simulated(),
      fields,
      complete: Boolean(amount.text) && !Object.keys(fields).length,
    };
  }

  async #submit(count) {
    const wish = this.#wish();
    if (!wish.complete) {
      const fields = wish.amount || wish.fields.amount ? wish.fields : { amount: "is needed", ...wish.fields };
      this.#showFields(fields);
      this.#focusFirst(fields);
      return;
    }
    const { simulate } = wish;
    const body = { ...quoted(wish), ...(simulate && { simulate }) };
    const intent = this.#intentOf(count);
    this.#tell(count === 1 ? "Submitting…" : `Submitting ${count} orders…`);
    try {
      // A second click waits for the same answer.
      intent.consent ??= this.#consent(wish);
      if (!await intent.consent) {
        this.#intent = null;
        this.#tell("Not submitted.");
        return;
      }
      const sent = intent.keys.map((idempotencyKey) => this.#send(body, idempotencyKey));
      const [first] = await Promise.all(sent);
      const made = count === 1 ? `Order ${shortId(first.orderId)} accepted.` : `${count} orders accepted.`;
      this.#tell(made, "done");
      setTimeout(() => { if (this.#intent === intent) this.#intent = null; }, SAME_ORDER_MS);
    } catch (error) {
      if (error.name === "AbortError") return;
      intent.consent = null;
      // The same keys are sent again by the next click: what did get through is not repeated.
      this.#showFields(error.fields ?? {});
      this.#tell(isPassing(error) && !error.status ? "No answer. Submit again: it stays one order." : error.message, "error");
    }
  }

  /** Whether this may be sent: at once if it is an ordinary order, else as the user answers. */
  async #consent(wish) {
    const route = await this.#quote.of(quoted(wish));
    const risks = risksOf(route, wish.slippageBps);
    return !risks.length || accepted(risks);
  }

  /** The idempotency keys of what is being submitted: the same for a repeated click. */
  #intentOf(count) {
    if (this.#intent?.keys.length !== count) {
      this.#intent = { keys: Array.from({ length: count }, newIdempotencyKey), consent: null };
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

  /** Say what an order would be, so that a number that was meant otherwise is noticed. */
  #showWish({ tokenIn, tokenOut, amount, slippageBps, simulate, complete }) {
    const slippage = `at most ${slippageBps / 100} % less than quoted`;
    say(byId("understood"), complete ? `Sells ${grouped(amount)} ${tokenIn} for ${tokenOut}, ${slippage}.` : "");
    byId("fault-venue").disabled = !isOfOneVenue(byId("fault").value);
    const choices = ["fault", "fault-venue", "fault-attempts"].filter((id) => !byId(id).disabled);
    const fault = simulate && choices.map(chosenText).join(", ");
    say(byId("faults-title"), fault ? `Simulated fault: ${fault}` : "Simulate a fault");
    byId("faults").toggleAttribute("data-active", Boolean(fault));
  }

  #showFields(fields) {
    const said = { amount: [], slippage: [] };
    for (const [field, rule] of Object.entries(fields)) {
      const [place, name] = PLACES[field] ?? [];
      if (place) said[place].push(`${name} ${rule}.`);
    }
    for (const [place, texts] of Object.entries(said)) say(byId(`${place}-error`), texts.join(" "));
    for (const [field, input] of Object.entries(INPUTS)) {
      byId(input).setAttribute("aria-invalid", String(field in fields));
    }
  }

  #focusFirst(fields) {
    const first = Object.keys(INPUTS).find((field) => field in fields);
    if (first) byId(INPUTS[first]).focus();
  }
}

const INPUTS = { amount: "amount", tokenIn: "token-in", tokenOut: "token-out", slippageBps: "slippage-percent" };

const quoted = ({ tokenIn, tokenOut, amount, slippageBps }) => ({ tokenIn, tokenOut, amount, slippageBps });

function slippageChoice() {
  return document.querySelector("input[name=slippage]:checked").value;
}

/** Whether a single venue can have this fault; the others are the transaction's. */
function isOfOneVenue(fault) {
  return ["venue_down", "quote_timeout"].includes(fault);
}

function simulated() {
  const fault = byId("fault").value;
  if (!fault || byId("faults").hidden) return null;
  const venue = isOfOneVenue(fault) && byId("fault-venue").value;
  return { fault, attempts: Number(byId("fault-attempts").value), ...(venue && { venue }) };
}

function chosenText(id) {
  const text = byId(id).selectedOptions[0].textContent;
  return { All: "all venues", "All three": "all three attempts", "First only": "first attempt only", "First two": "first two attempts" }[text] ?? text;
}

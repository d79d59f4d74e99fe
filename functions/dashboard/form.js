// The order form: its fields, the live quote, and the submission, which repeated clicks do not repeat.

import { call, isTransient, newIdempotencyKey } from "./api.js";
import { grouped, hasPoint, readDecimal } from "./decimal.js";
import { marketPrice, onPrice, readPrices, worth } from "./dollars.js";
import { announce, byId, choose, chosen, fitText, h, setText } from "./dom.js";
import { confirmRisks, risksOf } from "./guard.js";
import { onInvert, pairOf, shownPrice } from "./pairs.js";
import { Picker } from "./picker.js";
import { Quote } from "./quote.js";
import { ATTEMPTS_MAX, DEFAULT_SLIPPAGE_BPS, FAULTS, INTERVAL_SECONDS_MAX, ORDER_TYPES, SIMULATE_ALLOWED, SLICES, TOKENS, VENUES } from "./stack.js";
import { readExpiry, readPrice, readWhole, showTerms, termsOf, writtenPrice } from "./terms.js";
import { setUrlParams, urlParam } from "./url.js";
import { attemptsText, dollars, faultText, price, shortId, statusName, title, typeInText, typeName } from "./words.js";

const AT_ONCE = 5;
const SLIPPAGE_PLACES = 2;
// A second click within this time after the answer sends the same idempotency key, so it is the same order.
const SAME_ORDER_MS = 1000;
// The field that each problem is shown beside, what it is called there, and the input that is at fault.
const PLACES = {
  amount: ["amount", "The amount", "amount"],
  tokenIn: ["amount", "The token to pay with", "token-in"],
  tokenOut: ["amount", "The token to receive", "token-out"],
  limitPrice: ["terms", "The limit price", "limit-price"],
  stopPrice: ["terms", "The stop price", "stop-price"],
  slices: ["terms", "The number of slices", "slices"],
  intervalSeconds: ["terms", "The time between slices", "interval"],
  expiresAt: ["terms", "The expiry", "expiry-time"],
  timeInForce: ["terms", "The expiry", "expiry"],
  slippageBps: ["slippage", "Slippage", "slippage-percent"],
};
const PRICES = ["limit-price", "stop-price"];
const SYMBOLS = TOKENS.map(({ symbol }) => symbol);

export class Form {
  #tokenIn = new Picker(byId("token-in"), TOKENS, (picker, before) => this.#picked(picker, before));
  #tokenOut = new Picker(byId("token-out"), TOKENS, (picker, before) => this.#picked(picker, before));
  #quote = new Quote((fields) => this.#showFields(fields));
  #submission = null;
  #tokens = "";
  #now;
  #onOrder;
  #onPair;

  /** `now` returns the engine's time. `onOrder` receives each accepted order, and `onPair` the two symbols
  whenever they change. */
  constructor({ now, onOrder, onPair }) {
    this.#now = now;
    this.#onOrder = onOrder;
    this.#onPair = onPair;
    // A type that needs a term for which there is no input is not offered.
    const types = Object.keys(ORDER_TYPES).filter((type) => ORDER_TYPES[type].needed.every((term) => term in PLACES));
    byId("types").append(...types.map((type) => h("label", {},
      h("input", { type: "radio", name: "type", value: type, checked: type === "market" }), h("span", {}, typeName(type)))));
    onPrice(() => this.#showWorth());
    onInvert(() => this.#invertPrices());
    byId("faults").hidden = !SIMULATE_ALLOWED;
    byId("fault").append(...Object.keys(FAULTS).map((fault) => h("option", { value: fault }, statusName(fault))));
    byId("fault-attempts").append(...Array.from({ length: ATTEMPTS_MAX }, (_, i) => h("option", { value: i + 1, selected: i + 1 === ATTEMPTS_MAX }, title(attemptsText(i + 1)))));
    byId("fault-venue").append(...VENUES.map((venue) => h("option", { value: venue }, title(venue))));
    // A keypad without a point cannot write a decimal number.
    for (const id of ["amount", "slippage-percent", ...PRICES]) byId(id).inputMode = hasPoint ? "decimal" : "text";
    byId("order-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit(1);
    });
    byId("submit-five").addEventListener("click", () => this.#submit(AT_ONCE));
    byId("flip").addEventListener("click", () => this.#flip());
    byId("order-form").addEventListener("input", (event) => {
      if (event.target.getAttribute("role") === "combobox") return;
      this.#changed();
      if (event.target.id === "amount") this.#toUrl();
    });
    for (const id of ["token-in", "token-out"]) byId(id).addEventListener("blur", () => this.#changed());
    new ResizeObserver(() => ["amount", "receive"].map(byId).forEach(fitText)).observe(byId("order-fields"));
  }

  /** Begin for an owner: fill in the form from the URL, and request a quote. */
  begin() {
    this.#fromUrl();
    this.#pairChanged(false);
  }

  /** The symbols of the two tokens. */
  get pair() {
    return [this.#tokenIn.symbol, this.#tokenOut.symbol];
  }

  /** Fill in the form with the terms of this order; nothing is submitted. */
  repeat({ type, tokenIn, tokenOut, amount, slippageBps, limitPrice, stopPrice, slices, intervalSeconds }) {
    this.#tokenIn.show(tokenIn);
    this.#tokenOut.show(tokenOut);
    byId("amount").value = amount;
    choose("type", type);
    if (!choose("slippage", String(slippageBps))) {
      choose("slippage", "custom");
      if (slippageBps !== undefined) byId("slippage-percent").value = String(slippageBps / 100);
    }
    this.#pairChanged();
    byId("limit-price").value = limitPrice ? writtenPrice(limitPrice, tokenIn, tokenOut) : "";
    byId("stop-price").value = stopPrice ? writtenPrice(stopPrice, tokenIn, tokenOut) : "";
    if (slices) byId("slices").value = String(slices);
    if (intervalSeconds) {
      byId("interval").value = String(intervalSeconds);
      byId("interval-unit").value = "1";
    }
    this.#changed();
    byId("submit").scrollIntoView({ block: "nearest" });
    byId("submit").focus();
  }

  #fromUrl() {
    const [tokenIn, tokenOut] = urlParam("pair").split("-");
    if (tokenIn !== tokenOut && SYMBOLS.includes(tokenIn) && SYMBOLS.includes(tokenOut)) {
      this.#tokenIn.show(tokenIn);
      this.#tokenOut.show(tokenOut);
    }
    byId("amount").value = urlParam("amount") || byId("amount").value;
  }

  #toUrl() {
    setUrlParams({ pair: this.pair.join("-"), amount: byId("amount").value.trim() });
  }

  /** Clear the form for the next owner. */
  end() {
    byId("order-form").reset();
    for (const picker of [this.#tokenIn, this.#tokenOut]) picker.reset();
    this.#submission = null;
    this.#quote.request(null);
    this.#tell("");
    byId("guard").close();
  }

  /** Handle a choice in a picker, or a change of its text. */
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

  /** After the pair was inverted, invert the written prices, so that they keep their meaning. */
  #invertPrices() {
    for (const id of PRICES) {
      const price = Number(byId(id).value);
      if (price > 0) byId(id).value = String(Number((1 / price).toPrecision(12)));
    }
    this.#changed();
  }

  #pairChanged(byUser = true) {
    const tokens = [...this.pair].sort().join();
    // A price of another pair has no meaning here.
    if (this.#tokens !== tokens) for (const id of PRICES) byId(id).value = "";
    this.#tokens = tokens;
    if (byUser) this.#toUrl();
    this.#changed();
    this.#onPair(...this.pair);
    readPrices();
  }

  #changed() {
    this.#submission = null;
    const values = this.#values();
    byId("custom-slippage").hidden = chosen("slippage") !== "custom";
    byId("expiry-time").hidden = byId("expiry").value !== "custom";
    showTerms(values.type);
    const { base, quote } = pairOf(...this.pair);
    for (const unit of document.querySelectorAll("[data-price-unit]")) setText(unit, `${quote} for 1 ${base}`);
    this.#showFields(values.fields);
    this.#showValues(values);
    this.#quote.request(values.priced ? quoteQuery(values) : null);
  }

  /** The values of the form, and its errors by field. */
  #values() {
    const fields = {};
    const type = chosen("type");
    const written = byId("amount").value.trim();
    const amount = written ? readDecimal(written, this.#tokenIn.decimals) : {};
    if (amount.rule) fields.amount = amount.rule;
    else if (written && !Number(amount.text)) fields.amount = "must be greater than 0";
    for (const [field, picker] of Object.entries({ tokenIn: this.#tokenIn, tokenOut: this.#tokenOut })) {
      if (!picker.settled) fields[field] = picker.text ? `is not valid: ${picker.text} is no listed token` : "is needed";
    }
    const terms = this.#terms(type, fields);
    const [tokenIn, tokenOut] = this.pair;
    // An empty field is no mistake until the order is submitted.
    const { missing = {}, ...given } = terms;
    if (!written) missing.amount = "is needed";
    const values = { type, tokenIn, tokenOut, amount: amount.text, ...given, simulate: simulated(), fields, missing };
    return { ...values, priced: Boolean(amount.text) && !Object.keys(fields).length };
  }

  /** The terms of a type; their errors are added to `fields`. */
  #terms(type, fields) {
    const terms = {};
    const take = (field, { rule, text, value }) => {
      if (rule) fields[field] = rule;
      else if ((text ?? value ?? null) !== null) terms[field] = text ?? value;
    };
    for (const term of termsOf(type)) {
      if (term === "limitPrice" || term === "stopPrice") {
        const written = byId(PLACES[term][2]).value.trim();
        if (written) take(term, readPrice(written, ...this.pair));
        else if (ORDER_TYPES[type].needed.includes(term)) terms.missing = { ...terms.missing, [term]: "is needed" };
      }
      if (term === "slippageBps") take(term, readSlippage());
      if (term === "slices") take(term, readWhole(byId("slices").value, ...SLICES));
      if (term === "intervalSeconds") {
        const unit = Number(byId("interval-unit").value);
        const read = readWhole(byId("interval").value, 1, INTERVAL_SECONDS_MAX / unit);
        take(term, read.rule ? read : { value: read.value * unit });
      }
      if (term === "expiresAt" && byId("expiry").value === "now") terms.timeInForce = "IOC";
      else if (term === "expiresAt") take(term, readExpiry(byId("expiry").value, byId("expiry-time").value, this.#now()));
    }
    // In an order with slices and a limit price, the limit replaces the slippage.
    if (terms.slices && terms.limitPrice) delete terms.slippageBps;
    return terms;
  }

  async #submit(count) {
    const values = this.#values();
    const fields = { ...values.missing, ...values.fields };
    if (Object.keys(fields).length) {
      this.#showFields(fields);
      this.#focusFirst(fields);
      return;
    }
    const submission = this.#submissionOf(count, bodyOf(values));
    this.#tell(count === 1 ? "Submitting…" : `Submitting ${count} orders…`);
    try {
      // A second click waits for the same answer.
      submission.consent ??= this.#consent(values);
      if (!await submission.consent) {
        this.#submission = null;
        this.#tell("Not submitted.");
        return;
      }
      const sent = submission.keys.map((idempotencyKey) => this.#send(submission.body, idempotencyKey));
      const [first] = await Promise.all(sent);
      const made = count === 1 ? `Order ${shortId(first.orderId)} accepted.` : `${count} orders accepted.`;
      this.#tell(made, "done");
      setTimeout(() => { if (this.#submission === submission) this.#submission = null; }, SAME_ORDER_MS);
    } catch (error) {
      if (error.name === "AbortError") return;
      submission.consent = null;
      // The next click sends the same keys, so an accepted order is not repeated.
      this.#showFields(error.fields ?? {});
      this.#tell(isTransient(error) && !error.status ? "No answer. Submit again: it stays one order." : error.message, "error");
    }
  }

  /** Whether the order may be sent: a risky one only if the user agrees. */
  async #consent(values) {
    const route = await this.#quote.of(quoteQuery(values));
    const risks = risksOf(route, values);
    return !risks.length || confirmRisks(risks);
  }

  /** The idempotency keys of the submission: the same for a repeated click. */
  #submissionOf(count, body) {
    if (this.#submission?.keys.length !== count) {
      this.#submission = { keys: Array.from({ length: count }, newIdempotencyKey), body, consent: null };
    }
    return this.#submission;
  }

  async #send(body, idempotencyKey) {
    const order = await call("POST", "api/orders/execute", { body, idempotencyKey });
    this.#onOrder(order);
    return order;
  }

  #tell(text, state = "busy") {
    const status = byId("form-status");
    status.dataset.state = state;
    setText(status, text);
    if (state === "error") announce(text);
  }

  /** Say what the order would do, so that the user notices a wrong number. */
  #showValues(values) {
    this.#showWorth();
    setText(byId("understood"), values.priced && !Object.keys(values.missing).length ? sentence(values) : "");
    byId("fault-venue").disabled = !FAULTS[byId("fault").value];
    setText(byId("simulation-title"), values.simulate ? `Simulated fault: ${faultText(values.simulate)}` : "Simulation");
    byId("simulation").toggleAttribute("data-active", Boolean(values.simulate));
    setText(byId("submit"), ORDER_TYPES[values.type].needed.length ? `Submit ${typeInText(values.type)} order` : "Submit order");
  }

  #showWorth() {
    const [tokenIn, tokenOut] = this.pair;
    const market = marketPrice({ tokenIn, tokenOut });
    const hint = market ? `now ${price(shownPrice({ tokenIn, tokenOut }, market))}` : "";
    for (const id of PRICES) byId(id).placeholder = hint;
    const read = readDecimal(byId("amount").value, Infinity);
    setText(byId("amount-worth"), read.text ? dollars(worth(this.#tokenIn.symbol, read.text)) : "");
    fitText(byId("amount"));
  }

  #showFields(fields) {
    const said = { amount: [], terms: [], slippage: [] };
    for (const [field, rule] of Object.entries(fields)) {
      const [place, name] = PLACES[field] ?? [];
      if (place) said[place].push(`${name} ${rule}.`);
    }
    for (const [place, texts] of Object.entries(said)) setText(byId(`${place}-error`), texts.join(" "));
    for (const [field, [, , input]] of Object.entries(PLACES)) {
      byId(input).setAttribute("aria-invalid", String(field in fields));
    }
  }

  #focusFirst(fields) {
    const first = Object.keys(PLACES).find((field) => field in fields);
    if (first) byId(PLACES[first][2]).focus();
  }
}

/** The query for the quote of an order; a limit order has no slippage of its own. */
const quoteQuery = ({ tokenIn, tokenOut, amount, slippageBps = DEFAULT_SLIPPAGE_BPS }) => ({ tokenIn, tokenOut, amount, slippageBps });

/** The body of an order. */
function bodyOf({ type, fields, missing, priced, simulate, ...body }) {
  return { ...body, type, ...(simulate && { simulate }) };
}

/** What an order would do, in a sentence. */
function sentence({ tokenIn, tokenOut, amount, slippageBps, limitPrice, stopPrice, slices, intervalSeconds }) {
  const { base, quote } = pairOf(tokenIn, tokenOut);
  const at = (text) => `${price(shownPrice({ tokenIn, tokenOut }, text))} ${quote} for 1 ${base}`;
  const better = base === tokenIn ? "or more" : "or less";
  const slippage = `at most ${slippageBps / 100} % less than quoted`;
  const sells = `Sells ${grouped(amount)} ${tokenIn} for ${tokenOut}`;
  const worse = base === tokenIn ? "falls" : "rises";
  if (slices) return `${sells} in ${slices} slices, one each ${intervalSeconds} s${limitPrice ? `, none beyond ${at(limitPrice)}` : ""}.`;
  const when = [limitPrice && ` at ${at(limitPrice)} ${better}`, stopPrice && ` when the price ${worse} to ${at(stopPrice)}`];
  return `${sells}${when.filter(Boolean).join(", or")}${slippageBps === undefined ? "" : `, ${slippage}`}.`;
}

function readSlippage() {
  const choice = chosen("slippage");
  if (choice !== "custom") return { value: Number(choice) };
  const { rule, text } = readDecimal(byId("slippage-percent").value, SLIPPAGE_PLACES);
  if (rule) return { rule };
  if (Number(text) > 100) return { rule: "must be between 0 and 100 %" };
  return { value: Math.round(Number(text) * 100) };
}

function simulated() {
  const fault = byId("fault").value;
  if (!fault || byId("faults").hidden) return null;
  const venue = FAULTS[fault] && byId("fault-venue").value;
  return { fault, attempts: Number(byId("fault-attempts").value), ...(venue && { venue }) };
}

// The live quote, requested while the user types: each venue's offer, and the route.

import { call, isTransient, pause } from "./api.js";
import { learnPrice, onPrice, worth } from "./dollars.js";
import { byId, fitText, h, hopBars, setText, venueBar } from "./dom.js";
import { againstMarket } from "./guard.js";
import { every } from "./pace.js";
import { invertPair, onInvert, pairOf, shownPrice } from "./pairs.js";
import { amount, bps, bpsBetween, branchesOf, countdown, dollars, gain, percent, price, quoteError, sharesText, title } from "./words.js";

const DEBOUNCE_MS = 250;
const REFRESH_MS = 5_000;
const REFRESH_IDLE_MS = 30_000;
const FRESH_MS = 10_000;
const ANSWER_MS_MAX = 5_000;
const WARNING = 0.01;

export class Quote {
  #asked = null;
  #query = null;
  #known = null;
  #onFields;
  #pace;

  /** `onFields` receives the broken rules by field: none if the request was accepted. */
  constructor(onFields) {
    this.#onFields = onFields;
    this.#pace = every(REFRESH_MS, REFRESH_IDLE_MS, () => this.#query && this.#ask());
    setInterval(() => this.#showAge(), 500);
    byId("quote-rate").addEventListener("click", () => {
      if (this.#known) invertPair(this.#known.route.tokenIn, this.#known.route.tokenOut);
    });
    onInvert(() => this.#known && this.#show(this.#known.route));
    onPrice(() => this.#showWorth());
  }

  /** Show quotes for this query from now on; null for none. */
  async request(query) {
    this.#query = query;
    this.#asked?.abort();
    if (!query) return this.#state("empty");
    this.#asked = new AbortController();
    try {
      await pause(DEBOUNCE_MS, this.#asked.signal);
      if (byId("quote").dataset.state !== "ready") this.#state("loading", "Asking the venues…");
      await this.#ask();
    } catch {
      // A later request has replaced this one.
    }
    return undefined;
  }

  /** The quote for a query: the one shown if it is new enough, otherwise a new one; null if there is no
  answer. Throws the API's refusal of the query. */
  async of(query) {
    const known = this.#known;
    if (known && same(known.query, query) && Date.now() - known.at < FRESH_MS) return known.route;
    try {
      return await call("GET", "api/quote", { query, signal: AbortSignal.timeout(ANSWER_MS_MAX) });
    } catch (error) {
      if (isTransient(error)) return null;
      throw error;
    }
  }

  async #ask() {
    const { signal } = this.#asked;
    const query = this.#query;
    try {
      const route = await call("GET", "api/quote", { query, signal });
      this.#known = { query, route, at: Date.now() };
      this.#pace.restart();
      this.#onFields({});
      learnPrice(route.tokenIn, route.tokenOut, route.referencePrice);
      this.#show(route);
      this.#state("ready");
    } catch (error) {
      if (signal.aborted || error.name === "AbortError") return;
      this.#onFields(error.fields ?? {});
      this.#state("error", error.status ? refusal(error) : "No answer; asking again in a moment.");
    }
  }

  #state(name, message = "Enter an amount to see what the venues offer.") {
    byId("quote").dataset.state = name;
    setText(byId("quote-message"), message);
    if (name === "ready") return;
    this.#known = null;
    setText(byId("receive"), name === "loading" ? "…" : "–");
    this.#showWorth();
  }

  #showWorth() {
    const route = this.#known?.route;
    setText(byId("receive-worth"), route ? dollars(worth(route.tokenOut, route.outAmount)) : "");
    fitText(byId("receive"));
  }

  #showAge() {
    if (!this.#known) return;
    const next = this.#pace.next();
    setText(byId("quote-age"), `Quoted ${countdown(Date.now() - this.#known.at)} ago · ${next > 0 ? `again in ${countdown(next)}` : "asking again"}`);
  }

  #show(route) {
    const { tokenIn, tokenOut } = route;
    const { base, quote } = pairOf(tokenIn, tokenOut);
    const rate = Number(route.outAmount) / Number(route.inAmount);
    const gained = againstMarket(route);
    setText(byId("receive"), amount(route.outAmount, tokenOut));
    byId("receive").title = route.outAmount;
    byId("quote-venues").replaceChildren(...venueBars(route));
    byId("quote-route").replaceChildren(routeSteps(route));
    setText(byId("quote-rate"), `1 ${base} = ${price(shownPrice(route, rate))} ${quote} ⇄`);
    byId("quote-rate").setAttribute("aria-label", `1 ${base} = ${price(shownPrice(route, rate))} ${quote}: invert the rate`);
    setText(byId("quote-market"), gain(gained));
    byId("quote-market").classList.toggle("warn", gained < -WARNING);
    setText(byId("quote-impact"), percent(route.priceImpactPct));
    byId("quote-impact").classList.toggle("warn", Number(route.priceImpactPct) > WARNING);
    setText(byId("quote-minimum"), `${amount(route.otherAmountThreshold, tokenOut)} ${tokenOut}`);
    setText(byId("quote-reason"), route.reason);
    this.#showAge();
    this.#showWorth();
  }
}

const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);

/** The message of a refusal; a broken rule is shown beside its field. */
function refusal(error) {
  return Object.keys(error.fields).length ? "No quote for this." : error.message;
}

/** Each venue's offer as a bar: the best one has full length, and each basis point less takes one percent. */
export function venueBars(route) {
  const offered = route.quotes.map((quote) => Number(quote.outAmount ?? 0));
  const best = Math.max(...offered);
  return route.quotes.map((quote, i) => {
    const behind = offered[i] ? bpsBetween(offered[i], best) : 0;
    const offer = quote.error ? quoteError(quote.error) : amount(quote.outAmount, route.tokenOut ?? route.routePlan.at(-1).tokenOut);
    const rank = quote.error ? "" : behind === 0 ? "best alone" : bps(behind);
    const bar = venueBar(quote.venue, quote.error ? 0 : Math.max(4, 100 + behind));
    return h("li", { "data-failed": Boolean(quote.error) || null },
      h("b", {}, title(quote.venue)), h("span", { class: "bar-track" }, bar),
      h("span", { class: "offer" }, offer), h("small", {}, rank));
  });
}

/** A route as bars and words: its parallel branches, each with its hops in order. */
export function routeSteps(route) {
  const branches = branchesOf(route);
  const steps = branches.map((branch) => h("li", {}, hopBars(branch), branchText(branch, branches.length)));
  return h("div", { class: "route" }, h("ul", {}, ...steps));
}

function branchText({ part, hops }, branches) {
  const words = hops.flatMap((hop, i) => [
    i ? ", then " : "", h("b", {}, `${hop.tokenIn} → ${hop.tokenOut}`), ` ${sharesText(hop)}`,
  ]);
  return h("span", { class: "text" }, branches > 1 && h("b", {}, `${part} % `), ...words);
}

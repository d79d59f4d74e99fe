// The live quote: asked for while one types, shown as all venues' offers and the route between.

import { call, pause } from "./api.js";
import { byId, h, say, share } from "./dom.js";
import { bps, bpsBetween, number, percent, quoteError, splitOf, splitText, title } from "./words.js";

const DEBOUNCE_MS = 250;
const REFRESH_MS = 5_000;
const IMPACT_WARNING = 0.01;

export class Quote {
  #asked = null;
  #wish = null;
  #onFields;

  /** `onFields` is told the problem with a field by name, or nothing when all is well. */
  constructor(onFields) {
    this.#onFields = onFields;
    setInterval(() => document.visibilityState === "visible" && this.#wish && this.#ask(), REFRESH_MS);
  }

  /** Quote this request from now on; null for none. */
  async want(wish) {
    this.#wish = wish;
    this.#asked?.abort();
    if (!wish) return this.#state("empty");
    this.#asked = new AbortController();
    try {
      await pause(DEBOUNCE_MS, this.#asked.signal);
      if (byId("quote").dataset.state !== "ready") this.#state("loading", "Asking all venues…");
      await this.#ask();
    } catch {
      // A later wish has taken over.
    }
    return undefined;
  }

  async #ask() {
    const { signal } = this.#asked;
    const wish = this.#wish;
    try {
      const route = await call("GET", "api/quote", { query: wish, signal });
      this.#onFields({});
      this.#show(route);
      this.#state("ready");
    } catch (error) {
      if (signal.aborted) return;
      this.#onFields(error.fields ?? {});
      this.#state("error", error.status ? refusal(error) : "No answer; asking again in a moment.");
    }
  }

  #state(name, message = "Enter an amount to see what all venues offer.") {
    byId("quote").dataset.state = name;
    say(byId("quote-message"), message);
    if (name !== "ready") say(byId("receive"), name === "loading" ? "…" : "–");
  }

  #show(route) {
    const { tokenIn, tokenOut } = route;
    const rate = Number(route.outAmount) / Number(route.inAmount);
    say(byId("receive"), number(route.outAmount));
    byId("receive").title = route.outAmount;
    byId("quote-venues").replaceChildren(...venueBars(route));
    byId("quote-split").replaceChildren(splitBar(route));
    say(byId("quote-rate"), `1 ${tokenIn} = ${number(String(rate))} ${tokenOut}`);
    say(byId("quote-impact"), percent(route.priceImpactPct));
    byId("quote-impact").classList.toggle("warn", Number(route.priceImpactPct) > IMPACT_WARNING);
    say(byId("quote-minimum"), `${number(route.otherAmountThreshold)} ${tokenOut}`);
    say(byId("quote-advantage"), advantage(route.advantageBps));
    say(byId("quote-reason"), route.reason);
  }
}

/** What is wrong with a field is said next to it. */
function refusal(error) {
  return Object.keys(error.fields).length ? "No quote for this." : error.message;
}

function advantage(gainBps) {
  if (!gainBps) return "no venue could do it alone";
  return Number(gainBps) ? bps(Number(gainBps)) : "none";
}

/** Each venue's offer as a bar: the best one is whole, a basis point less is a percent shorter. */
export function venueBars(route) {
  const offered = route.quotes.map((quote) => Number(quote.outAmount ?? 0));
  const best = Math.max(...offered);
  return route.quotes.map((quote, i) => {
    const behind = offered[i] ? bpsBetween(offered[i], best) : 0;
    const offer = quote.error ? quoteError(quote.error) : number(quote.outAmount);
    const rank = quote.error ? "" : behind === 0 ? "best alone" : bps(behind);
    const bar = share(h("span", { class: "bar-fill", "data-venue": quote.venue }),
      quote.error ? 0 : Math.max(4, 100 + behind));
    return h("li", { "data-failed": Boolean(quote.error) || null },
      h("b", {}, title(quote.venue)), h("span", { class: "bar-track" }, bar),
      h("span", { class: "offer" }, offer), h("small", {}, rank));
  });
}

/** The chosen route as one bar, divided by venue, with its words. */
export function splitBar(route) {
  const split = splitOf(route);
  const parts = split.shares.map(([venue, part]) =>
    share(h("span", { class: "bar-fill", "data-venue": venue }), part));
  return h("div", { class: "split-bar" },
    h("span", { class: "bar-track", "aria-hidden": "true" }, ...parts),
    h("span", { class: "split-text" }, splitText(split)));
}

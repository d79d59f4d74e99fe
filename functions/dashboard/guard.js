// Asks the user to confirm an order that may lose much of its value.

import { byId, h } from "./dom.js";
import { ORDER_TYPES } from "./stack.js";
import { gain, number, percent } from "./words.js";

// The least loss, price impact or slippage, as a fraction, that the user must confirm.
const RISK_MIN = 0.05;

/** The risks of an order with this quote, as sentences; none for an ordinary order. */
export function risksOf(route, { type, limitPrice, stopPrice, slippageBps }) {
  const market = route && Number(route.referencePrice);
  const atOnce = !ORDER_TYPES[type].needed.length;
  const risks = [];
  const given = market && limitPrice ? Number(limitPrice) / market - 1 : 0;
  if (given <= -RISK_MIN) risks.push(`The limit is ${gain(given)} from the market's price: it executes at once and accepts as little as that.`);
  if (market && Number(stopPrice) >= market) risks.push("The stop is not below the market's price: it executes at once.");
  if (atOnce) risks.push(...marketRisks(route));
  const slippage = (slippageBps ?? 0) / 10_000;
  if (slippage >= RISK_MIN) {
    const least = route && atOnce ? `, only ${number(route.otherAmountThreshold)} ${route.tokenOut}` : "";
    risks.push(`With ${percent(slippage)} slippage it accepts that much less than the quote${least}.`);
  }
  return risks;
}

function marketRisks(route) {
  if (!route) return ["There is no quote at the moment, so the price of this order is not known."];
  const risks = [];
  const fair = Number(route.inAmount) * Number(route.referencePrice);
  const lost = againstMarket(route);
  if (lost <= -RISK_MIN) {
    risks.push(`It would receive ${number(route.outAmount)} ${route.tokenOut} for what is worth`
      + ` ${number(fair)} ${route.tokenOut} at the market's price: ${gain(lost)}.`);
  }
  const impact = Number(route.priceImpactPct);
  if (impact >= RISK_MIN) risks.push(`Its price impact is ${percent(impact)}: the pools are not deep enough for it.`);
  return risks;
}

/** The gain of a route against the market's price, as a fraction; a loss is negative. */
export function againstMarket({ inAmount, outAmount, referencePrice }) {
  return Number(outAmount) / (Number(inAmount) * Number(referencePrice)) - 1;
}

/** Ask whether to accept these risks; resolves to the answer. */
export function confirmRisks(risks) {
  const dialog = byId("guard");
  byId("guard-risks").replaceChildren(...risks.map((risk) => h("li", {}, risk)));
  dialog.returnValue = "";
  dialog.showModal();
  byId("guard-back").focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

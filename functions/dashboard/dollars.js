// The present prices of tokens in dollars. Some come with quotes and candles; the others are requested.

import { call } from "./api.js";
import { every } from "./pace.js";
import { isStable } from "./pairs.js";
import { STABLECOINS, TOKENS } from "./stack.js";

const AGAIN_MS = 20_000;
const AGAIN_IDLE_MS = 120_000;

const prices = new Map(); // dollars for one, by symbol
const heard = new Map(); // when a price was last received or requested, by symbol
const listeners = [];
let liveTokens = () => [];
let otherTokens = () => [];

/** The value of an amount in dollars, or null if it is not known. */
export function worth(symbol, amount) {
  const price = isStable(symbol) ? 1 : prices.get(symbol);
  return price === undefined || amount === undefined || amount === "" ? null : Number(amount) * price;
}

/** What one tokenIn is worth in tokenOut now, or null if it is not known. */
export function marketPrice({ tokenIn, tokenOut }) {
  const [one, other] = [worth(tokenIn, 1), worth(tokenOut, 1)];
  return one && other ? one / other : null;
}

/** Store a price that was received: `price` tokenOut for one tokenIn. */
export function learnPrice(tokenIn, tokenOut, price) {
  if (isStable(tokenOut)) set(tokenIn, Number(price));
  else if (isStable(tokenIn)) set(tokenOut, 1 / Number(price));
}

/** Request prices again and again. `live` returns the tokens whose prices must be recent, `rest` those for
which any price will do. */
export function keepPrices(live, rest) {
  [liveTokens, otherTokens] = [live, rest];
  every(AGAIN_MS, AGAIN_IDLE_MS, () => readPrices(AGAIN_MS));
}

/** Request the prices that are unknown, and those that must be recent and are older than `ageMs`. */
export async function readPrices(ageMs = Infinity) {
  const old = (symbol) => !(Date.now() - (heard.get(symbol) ?? 0) < ageMs);
  const symbols = [...liveTokens().filter(old), ...otherTokens().filter((symbol) => !heard.has(symbol))];
  const known = (symbol) => TOKENS.some((token) => token.symbol === symbol);
  for (const symbol of new Set(symbols.filter((each) => known(each) && !isStable(each)))) {
    heard.set(symbol, Date.now()); // so that it is not requested twice
    try {
      const { points } = await call("GET", "api/prices", { query: { tokenIn: symbol, tokenOut: STABLECOINS[0], minutes: 1 } });
      if (points.length) set(symbol, Number(points.at(-1).reference));
    } catch {
      heard.delete(symbol); // only a value in dollars is missing
    }
  }
}

/** Call `act` when a price has become known or has changed. */
export function onPrice(act) {
  listeners.push(act);
}

function set(symbol, price) {
  heard.set(symbol, Date.now());
  if (!isStable(symbol) && prices.get(symbol) !== price) {
    prices.set(symbol, price);
    listeners.forEach((act) => act());
  }
}

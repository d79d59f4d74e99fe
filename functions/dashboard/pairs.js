// A pair has one direction on the whole page, whichever of its tokens is sold: SOL/USDC is USDC for
// one SOL. The user can invert it.

import { STABLECOINS, TOKENS } from "./stack.js";

// A pair is priced in the token that comes first in this list.
const MONEY = [...new Set([...STABLECOINS, ...TOKENS.map(({ symbol }) => symbol)])];

const inverted = new Set();
const listeners = [];

/** Whether a token is worth a dollar. */
export const isStable = (symbol) => STABLECOINS.includes(symbol);

/** The pair of two tokens as it is shown: `base` is priced in `quote`. */
export function pairOf(one, other) {
  const rank = (symbol) => (MONEY.indexOf(symbol) + 1 || MONEY.length + 1);
  const [quote, base] = [one, other].sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
  const pair = inverted.has(`${base}/${quote}`) ? { base: quote, quote: base } : { base, quote };
  return { ...pair, name: `${pair.base}/${pair.quote}` };
}

/** A price of tokenOut for one tokenIn in the direction in which the pair is shown, and back. */
export function shownPrice({ tokenIn, tokenOut }, price) {
  return pairOf(tokenIn, tokenOut).base === tokenIn ? Number(price) : 1 / Number(price);
}

/** Invert the direction in which the pair of these tokens is shown. */
export function invertPair(one, other) {
  const { base, quote } = pairOf(one, other);
  if (!inverted.delete(`${base}/${quote}`) && !inverted.delete(`${quote}/${base}`)) inverted.add(`${base}/${quote}`);
  listeners.forEach((act) => act());
}

/** Call `act` when a pair has been inverted. */
export function onInvert(act) {
  listeners.push(act);
}

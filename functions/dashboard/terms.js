// Reads the terms of an order (prices, expiry, slices) from the form and from the dialog that changes an
// order.

import { readDecimal } from "./decimal.js";
import { byId } from "./dom.js";
import { pairOf } from "./pairs.js";
import { EXPIRY_DAYS_MAX, ORDER_TYPES, PRICE_PLACES_MAX } from "./stack.js";

const SCALE = 10n ** BigInt(PRICE_PLACES_MAX);
const SECONDS = { minute: 60, hour: 3600, day: 86_400 };

/** The fields that a type of order has in addition to tokens and amount. */
export const termsOf = (type) => [...ORDER_TYPES[type].needed, ...ORDER_TYPES[type].optional];

/** Convert a price from the direction in which its pair is shown to that of the engine (tokenOut for one
tokenIn), rounded in the user's favour. Returns `text`, or the `rule` that the price breaks. */
export function readPrice(written, tokenIn, tokenOut) {
  const read = readDecimal(written, PRICE_PLACES_MAX);
  if (read.rule) return read;
  if (!Number(read.text)) return { rule: "must be greater than 0" };
  if (pairOf(tokenIn, tokenOut).base === tokenIn) return read;
  const [whole, fraction = ""] = read.text.split(".");
  const units = BigInt(whole + fraction.padEnd(PRICE_PLACES_MAX, "0"));
  return { text: decimalText((SCALE * SCALE + units - 1n) / units) };
}

/** A price of the engine as decimal text in the direction in which its pair is shown. */
export function writtenPrice(text, tokenIn, tokenOut) {
  if (pairOf(tokenIn, tokenOut).base === tokenIn) return text;
  return String(Number((1 / Number(text)).toPrecision(12)));
}

/** The timestamp of a chosen expiry as `text`, null for none; or the `rule` that it breaks. */
export function readExpiry(choice, ownTime, now) {
  if (!choice) return { text: null };
  if (choice !== "custom") {
    const [count, unit] = choice.split(" ");
    return { text: new Date(now + Number(count) * SECONDS[unit] * 1000).toISOString() };
  }
  const time = Date.parse(ownTime);
  if (!Number.isFinite(time)) return { rule: "needs a day and a time" };
  if (time <= now) return { rule: "must be in the future" };
  if (time > now + EXPIRY_DAYS_MAX * SECONDS.day * 1000) return { rule: `must be within ${EXPIRY_DAYS_MAX} days` };
  return { text: new Date(time).toISOString() };
}

/** A whole number from `least` to `most` as `value`, or the `rule` that it breaks. */
export function readWhole(written, least, most) {
  const text = written.trim();
  const value = Number(text);
  if (!/^\d+$/.test(text) || value < least || value > most) return { rule: `must be a whole number from ${least} to ${most.toLocaleString("en-US")}` };
  return { value };
}

/** Show only the fields of a type. */
export function showTerms(type) {
  for (const element of byId("terms").children) element.hidden = !termsOf(type).includes(element.dataset.term);
}

function decimalText(units) {
  const digits = String(units).padStart(PRICE_PLACES_MAX + 1, "0");
  return `${digits.slice(0, -PRICE_PLACES_MAX)}.${digits.slice(-PRICE_PLACES_MAX)}`.replace(/\.?0+$/, "");
}

// Numbers, times and codes as a person reads them.

import { FAILURES, QUOTE_ERRORS } from "./stack.js";

const LOCALE = "en-US";
const twoDecimals = new Intl.NumberFormat(LOCALE, { maximumFractionDigits: 2 });
const fourDecimals = new Intl.NumberFormat(LOCALE, { maximumFractionDigits: 4 });
const sixDigits = new Intl.NumberFormat(LOCALE, { maximumSignificantDigits: 6 });
const clock = new Intl.DateTimeFormat(LOCALE, { timeStyle: "medium", hourCycle: "h23" });
const day = new Intl.DateTimeFormat(LOCALE, { month: "short", day: "numeric" });

/** An amount or a price, given as decimal text, shortened for reading. */
export function number(text) {
  const size = Math.abs(Number(text));
  if (size >= 1000) return twoDecimals.format(text);
  return (size >= 1 ? fourDecimals : sixDigits).format(text);
}

/** A fraction such as "0.0042" as percent. */
export function percent(fraction) {
  const value = Number(fraction) * 100;
  if (value > 0 && value < 0.01) return "< 0.01 %";
  return `${twoDecimals.format(value)} %`;
}

/** By how many basis points `one` is above `other`, with its sign. */
export function bpsBetween(one, other) {
  return (Number(one) / Number(other) - 1) * 10_000;
}

export function bps(value) {
  const rounded = Math.abs(value) < 0.05 ? 0 : value;
  const sign = rounded < 0 ? "−" : rounded > 0 ? "+" : "±";
  return `${sign}${Math.abs(rounded).toFixed(1)} bps`;
}

export function duration(ms) {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
  const seconds = Math.floor(ms / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} m ${String(seconds % 60).padStart(2, "0")} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} m`;
}

/** The time of day, and the date where that is not today. */
export function timeOf(timestamp) {
  const date = new Date(timestamp);
  const today = new Date().toDateString() === date.toDateString();
  return today ? clock.format(date) : `${day.format(date)}, ${clock.format(date)}`;
}

export const shortId = (id) => id.slice(-8);
export const shortHash = (hash) => `${hash.slice(0, 4)}…${hash.slice(-4)}`;
export const title = (word) => word.charAt(0).toUpperCase() + word.slice(1);

/** Why an order or an attempt failed, in a few words. */
export function reason(error) {
  return FAILURES[error.code] ?? error.message;
}

export const quoteError = (code) => QUOTE_ERRORS[code] ?? code;

/** Each venue's share of a route in percent, and the tokens on the way; of two hops each counts half. */
export function splitOf(route) {
  const [from, to] = [route.routePlan[0].tokenIn, route.routePlan.at(-1).tokenOut];
  const through = new Map([[from, 100]]); // percent of the order that goes through each token
  const shares = new Map();
  for (const { venue, tokenIn, tokenOut, percent } of route.routePlan) {
    const part = through.get(tokenIn) * percent / 100;
    if (tokenOut !== to) through.set(tokenOut, (through.get(tokenOut) ?? 0) + part);
    const direct = tokenIn === from && tokenOut === to;
    shares.set(venue, (shares.get(venue) ?? 0) + (direct ? part : part / 2));
  }
  return { shares: [...shares].sort().reverse(), via: [...through.keys()].slice(1) };
}

/** A split in words: "Raydium 60 % · Meteora 40 % via SOL". */
export function splitText({ shares, via }) {
  const whole = shares.map(([, part]) => Math.round(part));
  whole[0] += 100 - whole.reduce((sum, part) => sum + part, 0); // 17.5 and 82.5 are not 101
  const parts = shares.map(([venue], i) => `${title(venue)} ${whole[i]} %`);
  return parts.join(" · ") + (via.length ? ` via ${via.join(", ")}` : "");
}

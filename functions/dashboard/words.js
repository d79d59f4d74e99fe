// Numbers, times and codes as text for people.

import { isStable } from "./pairs.js";
import { FAILURES, FAULTS, QUOTE_ERRORS } from "./stack.js";

const LOCALE = "en-US";
const twoDecimals = new Intl.NumberFormat(LOCALE, { maximumFractionDigits: 2 });
const fourDecimals = new Intl.NumberFormat(LOCALE, { maximumFractionDigits: 4 });
const sixDigits = new Intl.NumberFormat(LOCALE, { maximumSignificantDigits: 6 });
const fourDigits = new Intl.NumberFormat(LOCALE, { maximumSignificantDigits: 4 });
const compact = new Intl.NumberFormat(LOCALE, { notation: "compact", minimumSignificantDigits: 5, maximumSignificantDigits: 5 });
const placesFormats = new Map();
const clock = new Intl.DateTimeFormat(LOCALE, { timeStyle: "medium", hourCycle: "h23" });
const day = new Intl.DateTimeFormat(LOCALE, { month: "short", day: "numeric" });

/** A format with exactly this many decimal places. */
function places(count) {
  if (!placesFormats.has(count)) {
    placesFormats.set(count, new Intl.NumberFormat(LOCALE, { minimumFractionDigits: count, maximumFractionDigits: count }));
  }
  return placesFormats.get(count);
}

/** An amount or a price, given as decimal text, shortened for reading. */
export function number(text) {
  const size = Math.abs(Number(text));
  if (size >= 1000) return twoDecimals.format(text);
  return (size >= 1 ? fourDecimals : sixDigits).format(text);
}

/** An amount in a column, with decimal places that depend on its size, so that amounts line up. */
export function amount(text, symbol) {
  const size = Math.abs(Number(text));
  if (size >= 1e7) return compact.format(text);
  if (size >= 1e5) return places(0).format(text);
  if (size >= 1000 || (size >= 1 && isStable(symbol))) return places(2).format(text);
  return (size >= 0.01 || size === 0 ? places(4) : fourDigits).format(text);
}

/** A price with six significant digits, or five below 0.01, so that prices of a pair line up. */
export function price(value) {
  const size = Math.abs(Number(value));
  if (!Number.isFinite(size) || size === 0) return "–";
  const digits = size < 0.01 ? 4 : 5;
  return places(Math.min(14, Math.max(2, digits - Math.floor(Math.log10(size))))).format(value);
}

/** A value in dollars, or "" if it is not known. */
export function dollars(value) {
  if (value === null || !Number.isFinite(value)) return "";
  if (value > 0 && value < 0.01) return "< $0.01";
  return `$${(value >= 1e7 ? compact : value >= 1e5 ? places(0) : places(2)).format(value)}`;
}

/** A fraction such as "0.0042" as percent. */
export function percent(fraction) {
  const value = Number(fraction) * 100;
  if (value > 0 && value < 0.01) return "< 0.01 %";
  return `${twoDecimals.format(value)} %`;
}

/** A gain or loss such as "-0.0042" as percent with its sign. */
export function gain(fraction) {
  const size = percent(Math.abs(fraction));
  if (size === "0 %") return size;
  return fraction < 0 ? `−${size.replace("< ", "")}` : `+${size.replace("< ", "")}`;
}

/** By how many basis points `one` is above `other`; negative if it is below. */
export function bpsBetween(one, other) {
  return (Number(one) / Number(other) - 1) * 10_000;
}

export function bps(value) {
  if (Math.abs(value) < 0.05) return "0 bps";
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(1)} bps`;
}

/** A duration that is left, in whole seconds. */
export function countdown(ms) {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  return duration(seconds * 1000);
}

export function duration(ms) {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
  const seconds = Math.floor(ms / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} m ${String(seconds % 60).padStart(2, "0")} s`;
  const hours = Math.floor(seconds / 3600);
  return hours < 48 ? `${hours} h ${Math.floor((seconds % 3600) / 60)} m` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** The time of day, with the date if that is not today. */
export function timeOf(timestamp) {
  const date = new Date(timestamp);
  const today = new Date().toDateString() === date.toDateString();
  return today ? clock.format(date) : `${day.format(date)}, ${clock.format(date)}`;
}

/** The time of an order in a column: the date, if it is not today, replaces the seconds. */
export function timeInColumn(timestamp) {
  const date = new Date(timestamp);
  const today = new Date().toDateString() === date.toDateString();
  return today ? clock.format(date) : `${day.format(date)} ${clock.format(date).slice(0, 5)}`;
}

export const shortId = (id) => id.slice(-8);
export const shortHash = (hash) => `${hash.slice(0, 4)}…${hash.slice(-4)}`;
/** A simulated fault; `venue` and `attempts` say where and how often. */
export function faultText({ fault, venue, attempts }) {
  const where = FAULTS[fault] ? `, ${venue ? title(venue) : "all venues"}` : "";
  return `${statusName(fault)}${where}, ${attemptsText(attempts)}`;
}

export const attemptsText = (count) => (count === 1 ? "first attempt" : `first ${count} attempts`);
export const title = (word) => word.charAt(0).toUpperCase() + word.slice(1);

/** A type of order within a sentence, and as a heading. */
export const typeInText = (type) => ({ oco: "OCO", twap: "TWAP" }[type] ?? type);
export const typeName = (type) => title(typeInText(type));

/** The name of a status or a fault, also of one that this page does not know. */
export const statusName = (status) => title(String(status).replaceAll("_", " "));

/** Why an order or an attempt failed, in a few words. */
export function reason(error) {
  return FAILURES[error?.code] ?? error?.message ?? "";
}

export const quoteError = (code) => QUOTE_ERRORS[code] ?? code;

/** The parallel branches of a route, greatest first. Each has its `part` of the order in percent and its
`hops` in order. A hop has its tokens and `shares`: its venues, greatest first, each with its percent of the
hop. */
export function branchesOf({ routePlan }) {
  const from = routePlan[0].tokenIn;
  const branches = new Map();
  for (const { venue, tokenIn, tokenOut, percent: part } of routePlan) {
    // A leg from another token belongs to the branch that leads to that token.
    const key = tokenIn === from ? tokenOut : tokenIn;
    if (!branches.has(key)) branches.set(key, { part: 0, hops: [] });
    const branch = branches.get(key);
    if (tokenIn === from) branch.part += part;
    let hop = branch.hops.find((each) => each.tokenIn === tokenIn);
    if (!hop) branch.hops.push(hop = { tokenIn, tokenOut, shares: [] });
    const share = hop.shares.find(([name]) => name === venue);
    if (share) share[1] += part;
    else hop.shares.push([venue, part]);
  }
  for (const { hops } of branches.values()) for (const hop of hops) hop.shares = wholePercents(hop.shares);
  return [...branches.values()].sort((one, other) => other.part - one.part);
}

/** Shares as whole percents of their sum, greatest first. */
function wholePercents(shares) {
  const sum = shares.reduce((total, [, part]) => total + part, 0);
  const whole = shares.map(([name, part]) => [name, Math.round((part * 100) / sum)]);
  whole.sort((one, other) => other[1] - one[1]);
  whole[0][1] += 100 - whole.reduce((total, [, part]) => total + part, 0); // 17.5 and 82.5 round to 101
  return whole;
}

/** A hop's venues in words: "Meteora 60 % · Raydium 40 %". */
export const sharesText = ({ shares }) => shares.map(([venue, part]) => `${title(venue)} ${part} %`).join(" · ");

/** A route in a few words: its venues, its tokens, or how much of it goes over other tokens. */
export function routeText(branches) {
  const [{ hops }] = branches;
  if (branches.length === 1) {
    return hops.length === 1 ? sharesText(hops[0]) : [...hops.map(({ tokenIn }) => tokenIn), hops.at(-1).tokenOut].join(" → ");
  }
  const direct = branches.find((branch) => branch.hops.length === 1);
  const others = branches.filter((branch) => branch !== direct);
  const over = others.length === 1 ? others[0].hops[0].tokenOut : `${others.length} tokens`;
  return direct ? `${direct.part} % direct, the rest over ${over}` : `over ${over}`;
}

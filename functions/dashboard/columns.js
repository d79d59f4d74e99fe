// The columns of the list of orders and of the exported CSV file.

import { worth } from "./dollars.js";
import { feeOf, isOpen, prices } from "./orders.js";
import { isStable, pairOf, shownPrice } from "./pairs.js";
import { CSV_COLUMNS } from "./stack.js";
import { amount, bps, bpsBetween, branchesOf, dollars, price, statusName, timeInColumn, title, typeName } from "./words.js";

const difference = (order) => {
  const { executed, quoted } = prices(order);
  return executed && quoted ? bpsBetween(executed, quoted) : null;
};
const executedShown = (order) => (order.executedPrice ? shownPrice(order, order.executedPrice) : null);

/** The value of an amount of tokenIn in dollars: at the order's own price if that is in dollars. */
export function worthThen(order, amountIn) {
  const { executed, quoted } = prices(order);
  if (isStable(order.tokenOut) && (executed ?? quoted)) return Number(amountIn) * Number(executed ?? quoted);
  return worth(order.tokenIn, amountIn);
}

const valueOf = (order) => (isStable(order.tokenOut) && order.outAmount && !isOpen(order) ? Number(order.outAmount) : worthThen(order, order.amount));

/** The type of an order, or "Slice" for a slice of a TWAP order. */
const typeText = (order) => (order.parentId ? "Slice" : typeName(order.type));

/** The pools' fees of an order in dollars. */
function feeText(order) {
  if (!order.route) return "–";
  const fee = feeOf(order.route);
  const value = worthThen(order, fee);
  return dollars(value) || "–";
}

/** The venues of a route: the one with the greatest share, and the number of others. */
export function venuesText(order) {
  if (!order.route) return order.slices ? `${order.slices} slices` : "–";
  const shares = new Map();
  for (const { part, hops } of branchesOf(order.route)) {
    for (const { shares: venues } of hops) {
      for (const [venue, percent] of venues) shares.set(venue, (shares.get(venue) ?? 0) + (part * percent) / hops.length);
    }
  }
  const [first, ...others] = [...shares.entries()].sort((one, other) => other[1] - one[1]).map(([venue]) => title(venue));
  return others.length ? `${first} +${others.length}` : first;
}

/** By id: the column's name (`head`), its text for an order (`text`), and its sort key (`key`). */
export const COLUMNS = {
  time: { head: "Time", text: (o) => timeInColumn(o.createdAt), key: (o) => o.createdAt },
  pair: { head: "Pair", text: (o) => pairOf(o.tokenIn, o.tokenOut).name, key: (o) => pairOf(o.tokenIn, o.tokenOut).name },
  type: { head: "Type", text: typeText, key: typeText },
  sold: { head: "Sold", text: (o) => `${amount(o.amount, o.tokenIn)} ${o.tokenIn}`, key: (o) => Number(o.amount) },
  value: { head: "Value", text: (o) => dollars(valueOf(o)) || "–", key: (o) => valueOf(o) ?? -1 },
  received: { head: "Received", text: (o) => (o.outAmount ? `${amount(o.outAmount, o.tokenOut)} ${o.tokenOut}` : "–"), key: (o) => Number(o.outAmount ?? -1) },
  price: { head: "Avg. price", text: (o) => (o.executedPrice ? price(executedShown(o)) : "–"), key: (o) => executedShown(o) ?? -1 },
  quote: { head: "Vs. quote", text: (o) => (difference(o) === null ? "–" : bps(difference(o))), key: (o) => difference(o) ?? -Infinity },
  fee: { head: "Fee", text: feeText, key: (o) => (o.route ? worthThen(o, feeOf(o.route)) ?? -1 : -1) },
  venue: { head: "Venue", text: venuesText, key: venuesText },
  status: { head: "Status", text: (o) => statusName(o.status), key: (o) => `${isOpen(o) ? 0 : 1}${o.status}` },
};

/** An executed price compared with its quote: "better", "worse" or "same". */
export function quality(order) {
  const apart = difference(order);
  return apart === null || Math.abs(apart) < 0.05 ? "same" : apart < 0 ? "worse" : "better";
}

// The columns that the page adds to those of the engine's own CSV.
const OWN_COLUMNS = {
  againstQuoteBps: (o) => difference(o)?.toFixed(2),
  feeInTokenIn: (o) => o.route && feeOf(o.route),
  dollars: valueOf,
  venues: (o) => o.route && [...new Set(o.route.routePlan.map(({ venue }) => venue))].join(" "),
};

/** Orders as CSV (RFC 4180) with exact decimals. */
export function csvOf(orders) {
  const rows = orders.map((order) => {
    const whole = { ...order, endedAt: isOpen(order) ? null : order.updatedAt };
    const engines = Object.values(CSV_COLUMNS).map((path) => path.reduce((value, name) => value?.[name], whole));
    return [...engines, ...Object.values(OWN_COLUMNS).map((value) => value(order))].map(cell);
  });
  const heads = [...Object.keys(CSV_COLUMNS), ...Object.keys(OWN_COLUMNS)];
  return [heads, ...rows].map((row) => `${row.join(",")}\r\n`).join("");
}

/** A CSV cell, escaped so that a spreadsheet does not run it as a formula. */
function cell(value) {
  const text = String(value ?? "");
  const safe = typeof value === "string" && /^[=+\-@\t\r]/.test(text) && !/^-?[\d.]+$/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

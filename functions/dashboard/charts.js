// Three plots: prices of the chosen pair, outcomes by the minute, and time to confirm.

import { call } from "./api.js";
import { byId, h, say } from "./dom.js";
import { every } from "./pace.js";
import { VENUES } from "./stack.js";
import { duration, number, title } from "./words.js";

const MINUTES = 15;
const POINTS_MAX = 300;
const PRICES_EVERY_MS = 10_000;
const PRICES_IDLE_EVERY_MS = 30_000;
const OUTCOMES_EVERY_MS = 1_000;
const HEIGHT = 132;
const DASHES = [undefined, [6, 4], [2, 3]];

const NO_PRICES = [[], [], ...VENUES.map(() => [])]; // times, the reference, each venue

export class Charts {
  #orders;
  #pair = null;
  #points = [];
  #dirty = true;
  #prices = chart("Price", "prices");
  #outcomes = chart("Orders ended per minute", "outcomes");
  #latency = chart("Time to confirm", "latency");

  constructor(orders) {
    this.#orders = orders;
    orders.onChange(() => { this.#dirty = true; });
    byId("charts").append(...this.#all().map(({ element }) => element));
    new ResizeObserver(() => this.#resize()).observe(byId("charts"));
    for (const query of ["(prefers-color-scheme: dark)", "(forced-colors: active)"]) {
      matchMedia(query).addEventListener("change", () => this.#build());
    }
    this.#build();
    every(PRICES_EVERY_MS, PRICES_IDLE_EVERY_MS, () => this.#loadPrices());
    every(OUTCOMES_EVERY_MS, OUTCOMES_EVERY_MS, () => this.#drawOutcomes());
  }

  /** Plot this pair's prices from now on. */
  follow(tokenIn, tokenOut) {
    if (this.#pair?.tokenIn === tokenIn && this.#pair.tokenOut === tokenOut) return;
    this.#pair = { tokenIn, tokenOut };
    this.#points = [];
    this.#loadPrices();
  }

  /** Show nothing any more. */
  clear() {
    this.#pair = null;
    this.#points = [];
    this.#prices.plot.setData(NO_PRICES);
    this.#prices.tell({});
    this.#dirty = true;
    this.#drawOutcomes();
  }

  #all() {
    return [this.#prices, this.#outcomes, this.#latency];
  }

  async #loadPrices() {
    const pair = this.#pair;
    if (!pair) return;
    try {
      const last = this.#points.at(-1)?.timestamp;
      const query = { ...pair, minutes: MINUTES, ...(last && { since: last }) };
      const answer = await call("GET", "api/prices", { query });
      if (pair !== this.#pair) return;
      const latest = this.#points.at(-1)?.timestamp ?? "";
      this.#points.push(...answer.points.filter(({ timestamp }) => timestamp > latest));
      const points = this.#points = this.#points.slice(-POINTS_MAX);
      if (!points.length) return;
      const column = (name) => points.map((point) => (name in point ? Number(point[name]) : null));
      const times = points.map(({ timestamp }) => Date.parse(timestamp) / 1000);
      this.#prices.plot.setData([times, ...["reference", ...VENUES].map(column)]);
      const { reference, ...offered } = points.at(-1);
      say(this.#prices.title, `${pair.tokenIn} in ${pair.tokenOut}`);
      const venues = VENUES.map((venue) => [title(venue), offered[venue] && number(offered[venue])]);
      this.#prices.tell({ Market: number(reference), ...Object.fromEntries(venues) });
    } catch (error) {
      if (pair === this.#pair && error.name !== "AbortError") this.#prices.tell({ "": "No prices; asking again." });
    }
  }

  #drawOutcomes() {
    const minute = Math.floor(this.#orders.now() / 60_000);
    if (!this.#dirty && this.#drawnAt === minute) return;
    this.#dirty = false;
    this.#drawnAt = minute;
    const first = minute - MINUTES + 1;
    const minutes = Array.from({ length: MINUTES }, (_, i) => ({ confirmed: [], failed: 0, at: (first + i) * 60 }));
    for (const order of this.#orders.byId.values()) {
      const ended = order.confirmedAt ?? order.failedAt;
      const at = ended ? minutes[Math.floor(Date.parse(ended) / 60_000) - first] : null;
      if (at && order.status === "confirmed") at.confirmed.push(Date.parse(ended) - Date.parse(order.createdAt));
      else if (at) at.failed += 1;
    }
    const times = minutes.map(({ at }) => at);
    const confirmed = minutes.map((each) => each.confirmed.length);
    const failed = minutes.map((each) => each.failed);
    this.#outcomes.plot.setData([times, confirmed.map((count, i) => count + failed[i]), confirmed]);
    this.#outcomes.tell({ Confirmed: String(sum(confirmed)), Failed: String(sum(failed)) });
    const quantiles = [0.5, 0.95].map((part) => minutes.map((each) => quantile(each.confirmed, part)));
    this.#latency.plot.setData([times, ...quantiles]);
    const all = minutes.flatMap((each) => each.confirmed);
    const said = (part) => (all.length ? duration(quantile(all, part) * 1000) : "–");
    this.#latency.tell({ p50: said(0.5), p95: said(0.95) });
  }

  #drawnAt = 0;

  #build() {
    const data = this.#all().map(({ plot }) => plot?.data);
    for (const { plot } of this.#all()) plot?.destroy();
    const venues = VENUES.map((venue, i) => line(`--${venue}`, { dash: DASHES[i] }));
    this.#prices.draw([line("--reference", { width: 6 }), ...venues], data[0] ?? NO_PRICES,
      { format: number, window: () => pastMinutes(this.#orders.now()) });
    const bars = globalThis.uPlot.paths.bars({ size: [0.6, 14] });
    const wholeMinutes = () => {
      const minute = Math.floor(this.#orders.now() / 60_000) * 60;
      return [minute - (MINUTES - 0.5) * 60, minute + 30];
    };
    this.#outcomes.draw([bar("--bad", bars), bar("--good", bars)],
      data[1] ?? [[], [], []], { format: wholeOnly, fromZero: true, least: 4, window: wholeMinutes });
    this.#latency.draw([line("--accent", { points: true }), line("--muted", { points: true, dash: [4, 4] })],
      data[2] ?? [[], [], []], { format: (s) => `${s} s`, fromZero: true, least: 1, window: wholeMinutes });
    this.#dirty = true;
  }

  #resize() {
    for (const { plot, box } of this.#all()) plot.setSize({ width: box.clientWidth, height: HEIGHT });
  }
}

function chart(name, kind) {
  const title = h("h3", {}, name);
  const values = h("p", { class: "values" });
  const box = h("div", { class: "plot", "aria-hidden": "true" });
  const made = { title, box, element: h("figure", { class: "chart", "data-kind": kind }, h("figcaption", {}, title, values), box) };
  made.tell = (words) => values.replaceChildren(...Object.entries(words).filter(([, text]) => text)
    .map(([word, text]) => h("span", { "data-series": word.toLowerCase() }, `${word} `, h("b", {}, text))));
  made.draw = (series, data, { format, window, fromZero, least = 0 }) => {
    const axis = { stroke: color("--muted"), grid: { stroke: color("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
    const range = fromZero ? (_, __, most) => [0, Math.max(least, (most ?? 0) * 1.15)] : undefined;
    made.plot = new globalThis.uPlot({
      width: box.clientWidth || 300,
      height: HEIGHT,
      legend: { show: false },
      cursor: { show: false },
      padding: [8, 20, 0, 0], // the last label of the time axis stands half beside it
      scales: { x: { range: window }, y: { range } },
      axes: [
        { ...axis, grid: { show: false }, size: 22, space: 60, values: (_, at) => at.map(hourAndMinute) },
        { ...axis, size: widthOf, space: 28, values: (_, at) => at.map(format) },
      ],
      series: [{}, ...series],
    }, data, box);
  };
  return made;
}

/** Pixels that an axis needs for its labels. */
function widthOf(_plot, labels) {
  return 14 + 6.6 * Math.max(3, ...(labels ?? []).map((label) => label.length));
}

const wholeOnly = (count) => (Number.isInteger(count) ? String(count) : "");

function line(variable, { dash, width = 1.5, points = false } = {}) {
  return { stroke: color(variable), width, dash, points: { show: points, size: 5 }, spanGaps: true };
}

function bar(variable, paths) {
  return { fill: color(variable), stroke: color(variable), width: 0, paths, points: { show: false } };
}

function color(variable) {
  return getComputedStyle(document.documentElement).getPropertyValue(variable).trim();
}

function pastMinutes(now) {
  return [now / 1000 - MINUTES * 60, now / 1000];
}

function hourAndMinute(seconds) {
  const date = new Date(seconds * 1000);
  return `${String(date.getHours()).padStart(2, "0")}:${String(date.getMinutes()).padStart(2, "0")}`;
}

/** In seconds, of durations in milliseconds; null of none. */
function quantile(durations, part) {
  if (!durations.length) return null;
  const sorted = durations.toSorted((one, other) => one - other);
  return sorted[Math.ceil(part * sorted.length) - 1] / 1000;
}

const sum = (numbers) => numbers.reduce((total, each) => total + each, 0);

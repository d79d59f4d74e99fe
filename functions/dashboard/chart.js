// The chart of the form's pair: candles or a line, the venues, own fills and resting orders.

import { call } from "./api.js";
import { learnPrice } from "./dollars.js";
import { byId, choose, chosen, h, ofVenue, setText, venueColor } from "./dom.js";
import { every } from "./pace.js";
import { onInvert, pairOf, shownPrice } from "./pairs.js";
import { CHART_LIBRARY, VENUES } from "./stack.js";
import { keep, kept } from "./storage.js";
import { gain, price, title } from "./words.js";

const MINUTE = 60, HOUR = 3600, DAY = 86_400;
// By range: the seconds shown, and the interval of a candle by name and in seconds.
const RANGES = {
  "5m": [5 * MINUTE, "second", 1],
  "15m": [15 * MINUTE, "second", 1],
  "1h": [HOUR, "minute", MINUTE],
  "6h": [6 * HOUR, "minute", MINUTE],
  "1d": [DAY, "minute", MINUTE],
  "7d": [7 * DAY, "hour", HOUR],
};
// The seconds of a shown candle, which merges several of the API's so that it is wide enough to be seen.
const WIDTHS = { "5m": 5, "15m": 15, "1h": MINUTE, "6h": 5 * MINUTE, "1d": 15 * MINUTE, "7d": HOUR };
const ANSWERED_MAX = 1000;
const AGAIN_MS = 5_000;
const AGAIN_IDLE_MS = 30_000;
const VENUE_STYLES = [0, 2, 1]; // solid, dashed, dotted: colour is not the only difference
const CHOICE = "oee.chart";

export class Chart {
  #orders;
  #pair = null;
  #asked = new AbortController();
  #candles = new Map(); // the API's candles, by second
  #bars = []; // the shown candles, oldest first
  #at = null; // the candle under the crosshair
  #chart = null;
  #series = null;
  #lines = [];
  #venues = new Map();
  #markers = null;
  #changed = false;
  #onLast;

  /** `onLast` receives the pair's name and its latest price. */
  constructor(orders, onLast) {
    this.#orders = orders;
    this.#onLast = onLast;
    const [range, form, venues] = (kept(CHOICE) ?? "").split(" ");
    choose("range", range);
    choose("form", form);
    byId("chart-venues").checked = venues !== "false";
    byId("chart-tools").addEventListener("change", (event) => {
      keep(CHOICE, [chosen("range"), chosen("form"), byId("chart-venues").checked].join(" "));
      if (event.target.name === "range") this.#begin();
      else this.#build();
    });
    byId("chart-retry").addEventListener("click", () => this.load());
    // The library's licence asks for its notice and this link.
    byId("chart-credit").append("TradingView Lightweight Charts™, copyright © 2026 TradingView, Inc. ",
      h("a", { href: "https://www.tradingview.com/", target: "_blank", rel: "noopener noreferrer" }, "www.tradingview.com"));
    for (const query of ["(prefers-color-scheme: dark)", "(forced-colors: active)"]) {
      matchMedia(query).addEventListener("change", () => this.#build());
    }
    orders.onChange(() => { this.#changed = true; });
    onInvert(() => this.#pair && this.#begin());
    every(AGAIN_MS, AGAIN_IDLE_MS, () => this.#read());
    setInterval(() => this.#changed && this.#drawOrders(), 500);
  }

  /** Load the library, which is larger than the rest of the page; nothing else waits for it. */
  async load() {
    if (globalThis.LightweightCharts) return this.#build();
    this.#showMessage("Loading the chart…");
    const script = h("script", { src: CHART_LIBRARY });
    const loaded = new Promise((resolve) => {
      script.onload = () => resolve(Boolean(globalThis.LightweightCharts));
      script.onerror = () => resolve(false);
    });
    document.head.append(script);
    if (await loaded) this.#build();
    else {
      script.remove();
      this.#showMessage("The chart could not be loaded.", true);
    }
    return undefined;
  }

  /** Chart this pair from now on. */
  follow(tokenIn, tokenOut) {
    if (this.#pair?.tokenIn === tokenIn && this.#pair.tokenOut === tokenOut) return;
    const before = this.#pair && pairOf(this.#pair.tokenIn, this.#pair.tokenOut).name;
    this.#pair = { tokenIn, tokenOut };
    if (before !== pairOf(tokenIn, tokenOut).name) this.#begin();
  }

  /** Clear the chart. */
  clear() {
    this.#pair = null;
    this.#asked.abort();
    this.#candles.clear();
    this.#draw(true);
    setText(byId("chart-title"), "Price");
    byId("chart-values").replaceChildren();
  }

  #begin() {
    this.#asked.abort();
    this.#asked = new AbortController();
    this.#candles.clear();
    this.#at = null;
    this.#build();
    this.#read(true);
  }

  async #read(first = false) {
    if (!this.#pair) return;
    const { signal } = this.#asked;
    const { base, quote } = pairOf(this.#pair.tokenIn, this.#pair.tokenOut);
    const [seconds, interval, step] = RANGES[chosen("range")];
    const now = Math.floor(this.#orders.now() / 1000 / step) * step;
    const newest = Math.max(...this.#candles.keys());
    const from = Math.max(now - seconds + step, Number.isFinite(newest) ? newest : 0); // the newest was still open
    try {
      for (let start = from; start <= now; start += ANSWERED_MAX * step) {
        const to = Math.min(now + step, start + ANSWERED_MAX * step);
        const query = { tokenIn: base, tokenOut: quote, interval, from: iso(start), to: iso(to) };
        const { candles } = await call("GET", "api/candles", { query, signal });
        if (signal.aborted) return;
        for (const candle of candles) this.#candles.set(Date.parse(candle.timestamp) / 1000, read(candle));
      }
      for (const time of this.#candles.keys()) if (time <= now - seconds) this.#candles.delete(time);
      this.#draw(first);
      if (this.#chart) this.#showMessage("");
    } catch (error) {
      if (!signal.aborted && error.name !== "AbortError" && !this.#candles.size) this.#showMessage("No prices; asking again in a moment.");
    }
  }

  #build() {
    const library = globalThis.LightweightCharts;
    if (!library) return;
    this.#chart?.remove();
    const muted = color("--muted");
    this.#chart = library.createChart(byId("chart"), {
      autoSize: true,
      layout: {
        background: { type: "solid", color: color("--surface") },
        textColor: muted,
        fontSize: 11,
        fontFamily: "system-ui, sans-serif",
        attributionLogo: false, // it needs a style element, which the security policy forbids; the page has a link
      },
      grid: { vertLines: { color: color("--line") }, horzLines: { color: color("--line") } },
      crosshair: { mode: library.CrosshairMode.Normal },
      rightPriceScale: { borderVisible: false, scaleMargins: { top: 0.16, bottom: 0.08 } }, // the values stand above
      timeScale: {
        borderVisible: false, timeVisible: true, secondsVisible: RANGES[chosen("range")][0] <= HOUR, rightOffset: 2,
        tickMarkFormatter: (time, kind) => tick(time, kind, library.TickMarkType),
      },
      localization: { timeFormatter: (time) => new Date(time * 1000).toLocaleString("en-US", { dateStyle: "medium", timeStyle: "medium", hourCycle: "h23" }), priceFormatter: price },
      handleScroll: { vertTouchDrag: false },
    });
    const [up, down, accent] = ["--good", "--bad", "--accent"].map(color);
    this.#series = chosen("form") === "candles"
      ? this.#chart.addSeries(library.CandlestickSeries, { upColor: up, borderUpColor: up, wickUpColor: up, downColor: color("--surface"), borderDownColor: down, wickDownColor: down })
      : this.#chart.addSeries(library.LineSeries, { color: accent, lineWidth: 2 });
    this.#venues.clear();
    if (byId("chart-venues").checked) {
      VENUES.forEach((venue, i) => this.#venues.set(venue, this.#chart.addSeries(library.LineSeries, {
        color: color(venueColor(venue)), lineWidth: 1, lineStyle: VENUE_STYLES[i % VENUE_STYLES.length], lastValueVisible: false, priceLineVisible: false, crosshairMarkerVisible: false,
      })));
    }
    this.#markers = library.createSeriesMarkers(this.#series, []);
    this.#lines = [];
    this.#chart.subscribeCrosshairMove(({ time }) => {
      this.#at = time ?? null;
      this.#legend();
    });
    this.#draw(true);
  }

  #draw(whole) {
    const width = WIDTHS[chosen("range")];
    const bars = merged([...this.#candles.entries()].sort(([one], [other]) => one - other), width);
    this.#bars = bars;
    this.#legend();
    if (!this.#chart) return;
    const asLine = chosen("form") === "line";
    this.#series.setData(bars.map(({ time, open, high, low, close }) => (asLine ? { time, value: close } : { time, open, high, low, close })));
    for (const [venue, series] of this.#venues) {
      series.setData(bars.filter(({ venues }) => venue in venues).map(({ time, venues }) => ({ time, value: venues[venue] })));
    }
    this.#drawOrders();
    if (whole) this.#chart.timeScale().fitContent();
  }

  /** Own fills as arrows at their time, resting orders as lines at their prices. */
  #drawOrders() {
    this.#changed = false;
    if (!this.#chart || !this.#pair) return;
    const { base, quote } = pairOf(this.#pair.tokenIn, this.#pair.tokenOut);
    const own = [...this.#orders.byId.values()].filter(({ tokenIn, tokenOut }) => (tokenIn === base && tokenOut === quote) || (tokenIn === quote && tokenOut === base));
    const width = WIDTHS[chosen("range")];
    const first = this.#bars[0]?.time ?? Infinity;
    const last = this.#bars.at(-1)?.time ?? -Infinity;
    const fills = new Map(); // one mark for each side and candle
    for (const order of own) {
      if (order.status !== "confirmed" || !order.confirmedAt) continue;
      const time = Math.floor(Date.parse(order.confirmedAt) / 1000 / width) * width;
      if (time < first || time > last + width) continue;
      const sold = order.tokenIn === base;
      const key = `${time}${sold}`;
      fills.set(key, { time: Math.min(time, last), sold, count: (fills.get(key)?.count ?? 0) + 1 });
    }
    this.#markers.setMarkers([...fills.values()].sort((one, other) => one.time - other.time).map(({ time, sold, count }) => ({
      time, position: sold ? "aboveBar" : "belowBar", shape: sold ? "arrowDown" : "arrowUp", size: 0.7,
      color: color(sold ? "--bad" : "--good"), text: `${sold ? "S" : "B"}${count > 1 ? ` ${count}` : ""}`,
    })));
    for (const line of this.#lines) this.#series.removePriceLine(line);
    this.#lines = own.filter(({ status }) => status === "resting").flatMap((order) => [["Limit", order.limitPrice], ["Stop", order.stopPrice]]
      .filter(([, at]) => at)
      .map(([name, at]) => this.#series.createPriceLine({
        price: shownPrice(order, at), color: color(name === "Limit" ? "--accent" : "--warn"), lineWidth: 1, lineStyle: 2, axisLabelVisible: true,
        title: `${name} ${order.tokenIn === base ? "sell" : "buy"}`,
      })));
    byId("chart").dataset.fills = String(fills.size);
    byId("chart").dataset.resting = String(this.#lines.length);
  }

  /** Show the values under the crosshair, else the latest price and the change over the range. */
  #legend() {
    if (!this.#pair || !this.#bars.length) return;
    const { name, base, quote } = pairOf(this.#pair.tokenIn, this.#pair.tokenOut);
    const last = this.#bars.at(-1);
    const bar = this.#bars.find(({ time }) => time === this.#at) ?? last;
    const values = bar === last && this.#at === null
      ? { "": price(last.close), Change: gain(last.close / this.#bars[0].open - 1), High: price(Math.max(...this.#bars.map(({ high }) => high))), Low: price(Math.min(...this.#bars.map(({ low }) => low))) }
      : { Open: price(bar.open), High: price(bar.high), Low: price(bar.low), Close: price(bar.close) };
    const venues = byId("chart-venues").checked ? VENUES.filter((venue) => venue in bar.venues).map((venue) => [title(venue), price(bar.venues[venue]), venue]) : [];
    setText(byId("chart-title"), name);
    byId("chart-values").replaceChildren(...[...Object.entries(values), ...venues].map(([word, text, venue]) =>
      h("span", venue && ofVenue(venue), `${word} `, h("b", {}, text))));
    learnPrice(base, quote, last.close);
    this.#onLast(name, price(last.close));
  }

  #showMessage(text, retry = false) {
    setText(byId("chart-message"), text);
    byId("chart-retry").hidden = !retry;
    byId("chart-state").hidden = !text;
  }
}

const iso = (seconds) => new Date(seconds * 1000).toISOString();

function read({ open, high, low, close, venues = {} }) {
  const numbers = Object.entries(venues).filter(([, text]) => text).map(([venue, text]) => [venue, Number(text)]);
  return { open: Number(open), high: Number(high), low: Number(low), close: Number(close), venues: Object.fromEntries(numbers) };
}

/** Candles of `width` seconds, merged from narrower ones that are sorted by time. */
function merged(candles, width) {
  const bars = [];
  for (const [time, candle] of candles) {
    const start = Math.floor(time / width) * width;
    const bar = bars.at(-1);
    if (bar?.time === start) {
      Object.assign(bar, { high: Math.max(bar.high, candle.high), low: Math.min(bar.low, candle.low), close: candle.close, venues: candle.venues });
    } else bars.push({ time: start, ...candle });
  }
  return bars;
}

function tick(time, kind, kinds) {
  const date = new Date(time * 1000);
  if (kind <= kinds.DayOfMonth) return date.toLocaleDateString("en-US", { month: "short", day: "numeric" });
  const style = kind === kinds.TimeWithSeconds ? "medium" : "short";
  return date.toLocaleTimeString("en-US", { timeStyle: style, hourCycle: "h23" });
}

function color(variable) {
  const value = getComputedStyle(document.documentElement).getPropertyValue(variable).trim();
  if (/^(#|rgb)/.test(value)) return value;
  // The library does not know the names of system colours. A venue without a colour is grey.
  const probe = h("i", { hidden: true });
  probe.style.setProperty("color", value || "var(--muted)");
  document.body.append(probe);
  const known = getComputedStyle(probe).color;
  probe.remove();
  return known;
}

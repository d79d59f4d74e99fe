// The dashboard: makes the parts, and hands each what the others learn.

import { apiKey, call, onKeyChangedElsewhere, onRefused, setApiKey, takeKeyFromUrl } from "./api.js";
import { Charts } from "./charts.js";
import { Detail } from "./detail.js";
import { announce, byId, say } from "./dom.js";
import { Form } from "./form.js";
import { isOpen, Orders } from "./orders.js";
import { Rows } from "./rows.js";
import { Stream } from "./stream.js";
import { Sync } from "./sync.js";
import { reason, shortId } from "./words.js";

const EMPTY = {
  "": "No orders yet. Submit one and watch it go.",
  open: "No order is open.",
  confirmed: "No order has been confirmed.",
  failed: "No order has failed.",
  cancelled: "No order was cancelled.",
};
const EMPTY_PAGES_MAX = 5;

const own = new Set(); // ids of orders submitted here
let shown = 0;
let session = 0;

const orders = new Orders();
const stream = new Stream({ onOpen: () => sync.follow(), onMessage: take, onState: showConnection });
const sync = new Sync(orders, stream);
const detail = new Detail(orders);
const rows = new Rows(orders, { onOpen: (id) => detail.open(id), onCount: showCount });
// The chart library refuses a few odd browsers; orders matter more than plots.
const charts = globalThis.uPlot ? new Charts(orders) : null;
byId("market").hidden = !charts;
const form = new Form({
  onOrder: (order) => { own.add(order.orderId); orders.merge(order); },
  onPair: (tokenIn, tokenOut) => charts?.follow(tokenIn, tokenOut),
});

// --- the key and what depends on it

function begin() {
  if (!apiKey()) return openGate("");
  byId("gate").close();
  detail.close();
  rows.clear();
  own.clear();
  session += 1;
  stream.start();
  settle(sync.begin());
  offer();
  return undefined;
}

async function offer() {
  const mine = session;
  try {
    const [{ tokens }, { simulateAllowed }] = await Promise.all([call("GET", "api/tokens"), call("GET", "api/health")]);
    if (mine === session) form.offer(tokens, simulateAllowed);
  } catch {
    if (mine === session && !byId("gate").open) setTimeout(offer, 3000);
  }
}

function openGate(error) {
  stream.stop();
  say(byId("gate-error"), error);
  byId("gate-cancel").hidden = Boolean(error) || !apiKey();
  byId("gate-key").value = "";
  if (!byId("gate").open) byId("gate").showModal();
}

byId("gate-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const key = byId("gate-key").value.trim();
  if (!key) return say(byId("gate-error"), "Enter a key; it begins with oee_.");
  setApiKey(key);
  return begin();
});
byId("gate-cancel").addEventListener("click", () => { byId("gate").close(); stream.start(); });
byId("gate").addEventListener("cancel", (event) => {
  if (byId("gate-cancel").hidden) event.preventDefault();
  else stream.start();
});
byId("change-key").addEventListener("click", () => openGate(""));
onRefused(() => openGate("This key is not valid here, or no longer."));
onKeyChangedElsewhere(begin);
addEventListener("hashchange", () => takeKeyFromUrl() && begin());

// --- the connection

async function take(message) {
  try {
    await sync.take(message);
    refilter();
    if (byId("list-state").dataset.state === "error") settle(null); // it has been loaded after all
  } catch (error) {
    if (error.name !== "AbortError" && error.status !== 401) stream.again(); // and catch up anew
  }
}

const CONNECTION = {
  connecting: "Connecting…",
  live: "Live",
  offline: "Offline: waiting for the network",
};
let retryAt = 0;

function showConnection(state) {
  const element = byId("connection");
  if (state.name === "live" && element.dataset.state === "waiting") announce("Connected again");
  if (state.name === "waiting" && element.dataset.state === "live") announce("Connection lost, reconnecting");
  element.dataset.state = state.name;
  retryAt = state.retryAt ?? 0;
  tellConnection();
}

function tellConnection() {
  const { state } = byId("connection").dataset;
  const seconds = Math.max(0, Math.ceil((retryAt - Date.now()) / 1000));
  say(byId("connection-text"), CONNECTION[state] ?? `Reconnecting in ${seconds} s`);
}

setInterval(tellConnection, 500);

// --- the list

const chosen = () => document.querySelector("input[name=filter]:checked").value;
const listOf = (filter) => (filter === "open" ? "" : filter);

function refilter() {
  rows.filter(chosen(), sync.horizon(listOf(chosen())));
}

/** Show what the first load brings, then go on. */
async function settle(loading) {
  const mine = session;
  showList("loading", "Loading orders…");
  try {
    await loading;
    if (mine !== session) return;
    refilter();
    showList("idle");
    await fill();
  } catch (error) {
    complain(mine, error);
  }
}

let filling = false;

/** Load older pages for as long as the list's end is in sight. */
async function fill() {
  if (filling) return; // and notices by itself that another filter was chosen
  filling = true;
  const mine = session;
  try {
    for (let filter = null; filter !== chosen() && mine === session;) {
      filter = chosen();
      await fillFor(filter);
    }
  } catch (error) {
    complain(mine, error);
  } finally {
    filling = false;
  }
}

async function fillFor(filter) {
  for (let without = 0; nearEnd() && filter === chosen();) {
    if (filter === "open" || !sync.hasOlder(listOf(filter))) return showList("end");
    if (without === EMPTY_PAGES_MAX) return showList("more");
    showList("loading", "Loading older orders…");
    const before = shown;
    await sync.older(listOf(filter));
    refilter();
    await new Promise(requestAnimationFrame); // the rows are there
    without = shown > before ? 0 : without + 1;
  }
  if (filter === chosen()) showList("idle");
  return undefined;
}

function complain(mine, error) {
  if (mine !== session || error.name === "AbortError" || error.status === 401) return;
  showList("error", "The orders could not be loaded.");
}

function nearEnd() {
  return byId("list-state").getBoundingClientRect().top < innerHeight + 600;
}

function showList(state, message = "") {
  const action = byId("list-action");
  byId("list-state").dataset.state = state;
  action.hidden = state !== "error" && state !== "more";
  say(action, state === "more" ? "Search further back" : "Try again");
  const empty = state === "end" && !shown ? EMPTY[chosen()] : "";
  const end = state === "end" && shown ? "These are all." : "";
  say(byId("list-message"), message || empty || end || (state === "more" ? "None among the newer ones." : ""));
}

function showCount(count) {
  shown = count;
  byId("list-state").toggleAttribute("data-empty", !count);
  const { state } = byId("list-state").dataset;
  if (state === "end") showList("end");
}

byId("filters").addEventListener("change", () => {
  refilter();
  showList("idle");
  fill();
});
byId("list-action").addEventListener("click", () => settle(null));
addEventListener("scroll", () => {
  if (byId("list-state").dataset.state === "idle" && nearEnd()) fill();
}, { passive: true });

// --- what a screen reader is told of one's own orders

orders.onChange((order) => {
  if (isOpen(order) || !own.delete(order.orderId)) return;
  announce(`Order ${shortId(order.orderId)} ${order.status}${order.error ? `: ${reason(order.error)}` : ""}`);
});

takeKeyFromUrl();
begin();

// The dashboard: makes the parts, and hands each what the others learn.

import { pause } from "./api.js";
import { Charts } from "./charts.js";
import { Connection } from "./connection.js";
import { Detail } from "./detail.js";
import { announce, byId, say } from "./dom.js";
import { Form } from "./form.js";
import { Gate } from "./gate.js";
import { List } from "./list.js";
import { isOpen, Orders } from "./orders.js";
import { Rows } from "./rows.js";
import { Session, takeKeyFromUrl } from "./session.js";
import { Stream } from "./stream.js";
import { Sync } from "./sync.js";
import { reason, shortId } from "./words.js";

const QUOTE_AFTER_MS_MAX = 1_500;

const own = new Set(); // ids of orders submitted here
let reading = null;
let sessions = 0;

const orders = new Orders();
const connection = new Connection(orders);
const sync = new Sync(orders);
const stream = new Stream({
  onState: connected,
  onLive: () => learn(sync.catchUp()),
  onUpdate: (update) => learn(sync.take(update)),
  onHeard: () => sync.heard(),
});
const detail = new Detail(orders);
const rows = new Rows(orders, { onOpen: (id) => detail.open(id), onCount: (shown) => list.count(shown) });
const list = new List(rows, sync);
// The chart library refuses a few odd browsers; orders matter more than plots.
const charts = globalThis.uPlot ? new Charts(orders) : null;
byId("market").hidden = !charts;
const form = new Form({
  onOrder: (order) => { own.add(order.orderId); orders.merge(order); },
  onPair: (tokenIn, tokenOut) => charts?.follow(tokenIn, tokenOut),
});
const session = new Session({ onIn: begin, onOut: end });
const gate = new Gate(session);

function begin(owner) {
  forget();
  byId("main").hidden = byId("connection").hidden = byId("change-key").hidden = false;
  say(byId("change-key"), owner ? `Key of ${owner}` : "API key");
  gate.close();
  const loading = sync.begin();
  list.begin(loading);
  stream.start();
  // Orders come first: a new account runs few functions at once.
  const mine = sessions;
  Promise.race([loading.catch(() => {}), pause(QUOTE_AFTER_MS_MAX)]).then(() => mine === sessions && form.begin());
}

function end(why) {
  forget();
  byId("main").hidden = byId("connection").hidden = byId("change-key").hidden = true;
  say(byId("change-key"), "API key");
  gate.open(why);
}

/** Show nothing of the owner before, and end what is under way for that owner. */
function forget() {
  sessions += 1;
  stream.stop();
  readNoMore();
  sync.end();
  own.clear();
  rows.clear();
  detail.close();
  form.end();
  charts?.clear();
  connection.reset();
  announce("");
}

/** Show what was learnt of orders; if learning failed, connect anew, which catches up. */
async function learn(learning) {
  try {
    await learning;
    list.refilter();
  } catch (error) {
    if (error.name !== "AbortError" && error.status !== 401) stream.again();
  }
}

/** While updates are not pushed they are read. */
function connected(state) {
  if (state.name === "live" || state.name === "offline") readNoMore();
  else if (!reading) {
    reading = new AbortController();
    sync.read(reading.signal, (works) => {
      connection.read(works);
      if (works) list.refilter();
    });
  }
  connection.show(state);
}

function readNoMore() {
  reading?.abort();
  reading = null;
  connection.read(null);
}

byId("change-key").addEventListener("click", () => gate.open());
addEventListener("hashchange", offerKey);

/** A key in a link is used only after the user has been told whose it is. */
function offerKey() {
  const key = takeKeyFromUrl();
  if (key && !session.has(key)) gate.offer(key);
}

// What a screen reader is told of one's own orders.
orders.onChange((order) => {
  if (isOpen(order) || !own.delete(order.orderId)) return;
  announce(`Order ${shortId(order.orderId)} ${order.status}${order.error ? `: ${reason(order.error)}` : ""}`);
});

byId("boot").remove();
session.start();
offerKey();

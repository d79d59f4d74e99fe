// The dashboard: creates the parts and connects them.

import { Actions } from "./actions.js";
import { pause } from "./api.js";
import { Change } from "./change.js";
import { Chart } from "./chart.js";
import { Connection } from "./connection.js";
import { Detail } from "./detail.js";
import { keepPrices } from "./dollars.js";
import { announce, byId, setText } from "./dom.js";
import { Form } from "./form.js";
import { Gate } from "./gate.js";
import { List } from "./list.js";
import { News } from "./news.js";
import { Orders } from "./orders.js";
import { isStable } from "./pairs.js";
import { Rows } from "./rows.js";
import { Session, takeKeyFromUrl } from "./session.js";
import { Stream } from "./stream.js";
import { Sync } from "./sync.js";
import { clearUrlParams } from "./url.js";

const QUOTE_AFTER_MS_MAX = 1_500;
const NAME = document.title;

let reading = null;
let sessions = 0;
let signedIn = false;

const orders = new Orders();
const connection = new Connection(orders);
const sync = new Sync(orders);
const stream = new Stream({
  onState: followConnection,
  onLive: () => showAfterRead(sync.catchUp()),
  onUpdate: (update) => showAfterRead(sync.take(update)),
  onHeard: () => sync.heard(),
});
const news = new News(orders, (id) => detail.open(id));
const actions = new Actions(orders, news);
const change = new Change(orders);
const form = new Form({
  now: () => orders.now(),
  onOrder: (order) => {
    orders.merge(order);
    news.submitted(orders.byId.get(order.orderId));
  },
  onPair: (tokenIn, tokenOut) => chart.follow(tokenIn, tokenOut),
});
const repeat = (order) => form.repeat(order);
const detail = new Detail(orders, sync, { actions, onChange: (order) => change.open(order), onRepeat: repeat });
const rows = new Rows(orders, {
  onAct: (act, order, button) => ({
    open: () => detail.open(order.orderId),
    cancel: () => actions.cancelInRow(order, button),
    change: () => change.open(order),
    repeat: () => repeat(order),
  })[act](),
  onShown: () => list.count(),
});
const list = new List(orders, rows, sync);
const chart = new Chart(orders, (pair, price) => news.title(`${price} ${pair} · ${NAME}`));
const tokensOf = (some) => some.flatMap(({ tokenIn, tokenOut }) => [tokenIn, tokenOut]);
// Live prices for the form's tokens and the resting orders; any price for the values of the other orders.
keepPrices(() => [...form.pair, ...tokensOf(orders.open().filter(({ status }) => status === "resting"))],
  () => tokensOf([...orders.byId.values()].filter(({ tokenIn, tokenOut }) => !isStable(tokenIn) && !isStable(tokenOut))));
const session = new Session({ onIn: begin, onOut: end });
const gate = new Gate(session);

function begin(owner) {
  clearOwner();
  byId("main").hidden = byId("connection").hidden = byId("change-key").hidden = false;
  setText(byId("change-key"), owner ? `Key of ${owner}` : "API key");
  gate.close();
  signedIn = true;
  const loading = sync.begin();
  list.begin(loading);
  stream.start();
  // The orders are loaded first, because a new AWS account can run few functions at once.
  const mine = sessions;
  Promise.race([loading.catch(() => {}), pause(QUOTE_AFTER_MS_MAX)]).then(() => {
    if (mine !== sessions) return;
    form.begin();
    detail.follow();
    chart.load();
  });
}

function end(why) {
  clearOwner();
  byId("main").hidden = byId("connection").hidden = byId("change-key").hidden = true;
  setText(byId("change-key"), "API key");
  gate.open(why);
}

/** Remove the previous owner's data from the page, and stop what is under way for that owner. */
function clearOwner() {
  sessions += 1;
  // Keep a link's parameters until somebody signs in, but do not show one owner's to the next owner.
  if (signedIn) clearUrlParams();
  signedIn = false;
  stream.stop();
  stopReading();
  sync.end();
  rows.clear();
  list.end();
  detail.leave();
  change.close();
  form.end();
  chart.clear();
  news.clear();
  news.title(NAME);
  connection.reset();
  announce("");
}

/** Show the orders after they were read; if reading failed, reconnect, which reads them again. */
async function showAfterRead(read) {
  try {
    await read;
    list.refilter();
  } catch (error) {
    if (error.name !== "AbortError" && error.status !== 401) stream.again();
  }
}

/** Read updates by HTTP while the WebSocket is down. */
function followConnection(state) {
  if (state.name === "live" || state.name === "offline") stopReading();
  else if (!reading) {
    reading = new AbortController();
    sync.read(reading.signal, (works) => {
      connection.read(works);
      if (works) list.refilter();
    });
  }
  connection.show(state);
}

function stopReading() {
  reading?.abort();
  reading = null;
  connection.read(null);
}

byId("change-key").addEventListener("click", () => gate.open());
addEventListener("hashchange", offerKey);

/** Show the owner of a key that a link brings, and use the key only after the user agrees. */
function offerKey() {
  const key = takeKeyFromUrl();
  if (key && !session.has(key)) gate.offer(key);
}

byId("boot").remove();
session.start();
offerKey();

// Reports the ends of orders: in a corner of the page, in its title and icon while the user looks elsewhere,
// and as a system notification if the user has allowed that.

import { announce, byId, h, setText } from "./dom.js";
import { isOpen } from "./orders.js";
import { pairOf, shownPrice } from "./pairs.js";
import { keep, kept } from "./storage.js";
import { urlWith } from "./url.js";
import { amount, number, price, reason, shortId, statusName } from "./words.js";

const SHOWN_MAX = 4;
const SHOWN_MS = 8_000;
const GATHER_MS = 400;
const EACH_MAX = 3;
const WANTED = "oee.notify";
const COLORS = { good: "#147a4a", bad: "#c0322b" };

export class News {
  #toasts = new Map();
  #ended = [];
  // Since the user last looked: how many orders have ended, and the last news as text.
  #unseen = 0;
  #latest = "";
  #ownTitle = document.title;
  #plainIcon = byId("icon").href;
  #onOpen;
  // The orders that were submitted on this page; a screen reader hears of these only.
  #own = new Set();

  /** `onOpen` receives the id of an order that the user wants to see. */
  constructor(orders, onOpen) {
    this.#onOpen = onOpen;
    orders.onChange((order, before) => {
      if (before && isOpen(before) && !isOpen(order)) this.#end(order);
      else if (this.#toasts.has(order.orderId) && isOpen(order)) this.submitted(order);
    });
    for (const sign of ["focus", "visibilitychange", "pointerdown", "keydown"]) addEventListener(sign, () => this.#seen(), true);
    byId("notify").hidden = !("Notification" in globalThis);
    byId("notify").addEventListener("click", () => this.#askToNotify());
    this.#showNotify();
  }

  /** Set the title for the time without news. */
  title(text) {
    this.#ownTitle = text;
    this.#showTitle();
  }

  /** Show an order that was submitted on this page, or that has changed since. */
  submitted(order) {
    this.#own.add(order.orderId);
    if (isOpen(order)) this.#toast(order.orderId, `${asked(order)}: ${statusName(order.status).toLowerCase()}`, "open");
    else this.#end(order); // its last update came before the answer to its submission
  }

  /** Show and announce a text about an order; `kind` is "good", "bad" or "open". */
  tell(orderId, text, kind) {
    this.#toast(orderId, text, kind);
    announce(text);
  }

  clear() {
    for (const { element, timer } of this.#toasts.values()) {
      clearTimeout(timer);
      element.remove();
    }
    this.#toasts.clear();
    this.#own.clear();
    this.#ended = [];
    this.#seen();
  }

  #end(order) {
    if (order.parentId || this.#ended.includes(order)) return; // a slice is reported by its parent
    if (!this.#ended.length) setTimeout(() => this.#tellEnded(), GATHER_MS);
    this.#ended.push(order);
  }

  /** Report orders that ended together in one message. */
  #tellEnded() {
    const ended = this.#ended;
    this.#ended = [];
    if (!ended.length) return;
    const own = ended.filter(({ orderId }) => this.#own.delete(orderId));
    if (ended.length > EACH_MAX) {
      for (const { orderId } of ended) this.#drop(orderId);
      const text = summary(ended);
      this.#toast("summary", text, ended.some(({ status }) => status === "failed") ? "bad" : "good");
      if (own.length) announce(text);
      this.#unseenNews(text, ended.length, "");
      return;
    }
    for (const order of ended) {
      const text = outcome(order);
      this.#toast(order.orderId, text, order.status === "confirmed" ? "good" : order.status === "failed" ? "bad" : "open");
      if (own.includes(order)) announce(`Order ${shortId(order.orderId)} ${order.status}${order.error ? `: ${reason(order.error)}` : ""}`);
      this.#unseenNews(text, 1, order.orderId, order.status !== "confirmed");
    }
  }

  #toast(id, text, kind) {
    const known = this.#toasts.get(id);
    clearTimeout(known?.timer);
    const timer = setTimeout(() => this.#fade(id), SHOWN_MS);
    if (known) {
      known.element.dataset.kind = kind;
      setText(known.text, text);
      this.#toasts.set(id, { ...known, timer });
      return;
    }
    const isOrder = id.length > 20;
    const words = isOrder
      ? h("a", { href: urlWith({ order: id }), onclick: (event) => { event.preventDefault(); this.#onOpen(id); } }, text)
      : h("span", {}, text);
    const close = h("button", { type: "button", class: "quiet", "aria-label": `Dismiss: ${isOrder ? shortId(id) : id}`, onclick: () => this.#drop(id) }, "✕");
    const element = h("li", { "data-kind": kind }, words, close);
    byId("news").append(element);
    this.#toasts.set(id, { element, text: words, timer });
    while (this.#toasts.size > SHOWN_MAX) this.#drop(this.#toasts.keys().next().value);
  }

  /** Remove a message, but not while the pointer or the focus is on it. */
  #fade(id) {
    const toast = this.#toasts.get(id);
    if (toast?.element.matches(":hover, :focus-within")) toast.timer = setTimeout(() => this.#fade(id), SHOWN_MS);
    else this.#drop(id);
  }

  #drop(id) {
    const toast = this.#toasts.get(id);
    if (!toast) return;
    clearTimeout(toast.timer);
    toast.element.remove();
    this.#toasts.delete(id);
  }

  #unseenNews(text, count, orderId, bad = false) {
    if (!document.hidden && document.hasFocus()) return;
    this.#unseen += count;
    this.#latest = text;
    this.#showTitle();
    byId("icon").href = dotted(bad ? COLORS.bad : COLORS.good);
    if (!this.#notifies) return;
    try {
      const shown = new Notification(text, { tag: orderId || "orders" });
      shown.onclick = () => {
        focus();
        if (orderId) this.#onOpen(orderId);
      };
    } catch {
      // Mobile browsers show no notification without a service worker.
    }
  }

  #seen() {
    if (document.hidden || !this.#unseen) return;
    this.#unseen = 0;
    byId("icon").href = this.#plainIcon;
    this.#showTitle();
  }

  #showTitle() {
    document.title = this.#unseen ? `(${this.#unseen}) ${this.#latest}` : this.#ownTitle;
  }

  get #notifies() {
    return "Notification" in globalThis && Notification.permission === "granted" && kept(WANTED) === "yes";
  }

  async #askToNotify() {
    const now = !this.#notifies && await Notification.requestPermission() === "granted";
    keep(WANTED, now ? "yes" : "no");
    if (!now && Notification.permission === "denied") this.tell("notify", "Your browser does not allow notifications from this page.", "bad");
    this.#showNotify();
  }

  #showNotify() {
    byId("notify").setAttribute("aria-pressed", String(this.#notifies));
  }
}

const asked = ({ amount: sold, tokenIn, tokenOut }) => `${number(sold)} ${tokenIn} → ${tokenOut}`;

/** The outcome of an order, in a sentence. */
function outcome(order) {
  const { tokenIn, tokenOut, outAmount, executedPrice, status, error } = order;
  if (status === "confirmed" && outAmount) {
    const at = executedPrice ? ` at ${price(shownPrice(order, executedPrice))} ${pairOf(tokenIn, tokenOut).name}` : "";
    return `Sold ${number(order.filledAmount ?? order.amount)} ${tokenIn} for ${amount(outAmount, tokenOut)} ${tokenOut}${at}`;
  }
  return `${asked(order)}: ${statusName(status).toLowerCase()}${error ? `. ${reason(error)}` : ""}`;
}

function summary(ended) {
  const counts = new Map();
  for (const { status } of ended) counts.set(status, (counts.get(status) ?? 0) + 1);
  return `${ended.length} orders ended: ${[...counts].map(([status, count]) => `${count} ${status}`).join(", ")}`;
}

/** The page's icon with a dot. */
function dotted(color) {
  return `data:image/svg+xml,${encodeURIComponent(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="8" fill="#1f5fd6"/><circle cx="22" cy="10" r="9" fill="${color}" stroke="#fff" stroke-width="2"/></svg>`)}`;
}

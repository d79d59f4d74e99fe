// Shows how current the page is: live, read by HTTP, or as of the last answer of the engine.

import { announce, byId, setText } from "./dom.js";
import { timeOf } from "./words.js";

// A shorter interruption does not turn the page grey.
const STALE_AFTER_MS = 4_000;

export class Connection {
  #orders;
  #state = { name: "connecting" };
  #reading = null;
  #shown = "";
  #stale = null;

  constructor(orders) {
    this.#orders = orders;
    setInterval(() => this.#draw(), 500);
  }

  /** Show the state of the WebSocket that Stream reports. */
  show(state) {
    this.#state = state;
    this.#update();
  }

  /** Show whether reading by HTTP works; null while the page does not read. */
  read(works) {
    this.#reading = works;
    this.#update();
  }

  reset() {
    this.#state = { name: "connecting" };
    this.#reading = null;
    this.#markCurrent();
    this.#draw();
  }

  get #name() {
    const { name } = this.#state;
    return this.#reading && name !== "live" && name !== "offline" ? "reading" : name;
  }

  #update() {
    if (this.#name === "live" || this.#name === "reading") this.#markCurrent();
    else if (this.#name === "offline") this.#markStale();
    else this.#stale ??= setTimeout(() => this.#markStale(), STALE_AFTER_MS);
    this.#draw();
  }

  #markCurrent() {
    clearTimeout(this.#stale);
    this.#stale = null;
    this.#orders.thaw();
    delete document.body.dataset.stale;
  }

  #markStale() {
    this.#orders.freeze();
    document.body.dataset.stale = "";
    this.#draw();
  }

  #draw() {
    const name = this.#name;
    const known = "stale" in document.body.dataset ? `, last known ${timeOf(this.#orders.now())}` : "";
    const seconds = Math.max(0, Math.ceil(((this.#state.retryAt ?? 0) - Date.now()) / 1000));
    const words = {
      connecting: "Connecting…",
      live: "Live",
      reading: "Not live: reading every few seconds",
      waiting: `Reconnecting in ${seconds} s`,
      offline: "Offline",
    };
    setText(byId("connection-text"), words[name] + known);
    if (name === this.#shown) return;
    this.#announce(this.#shown, name);
    this.#shown = name;
    byId("connection").dataset.state = name;
  }

  #announce(before, now) {
    if (now === "live" && before && before !== "connecting") announce("Live again");
    if (now === "reading") announce("Live updates do not arrive; orders are read every few seconds instead");
    if (now === "offline") announce("Offline");
    if (now === "waiting" && before === "live") announce("Connection lost, reconnecting");
  }
}

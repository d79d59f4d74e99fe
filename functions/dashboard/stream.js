// The WebSocket: connects with a ticket, follows every order, notices a dead connection, and reconnects
// with backoff.

import { call } from "./api.js";

const BACKOFF_MS = 500;
const BACKOFF_MS_MAX = 30_000;
const PING_EVERY_MS = 25_000;
const SILENCE_MS_MAX = 8_000;
const SUBSCRIBE_MS_MAX = 5_000;
const SUBSCRIBE_TRIES = 3;
// A list that is read at once may lack an order that ended just before the answer: see functions/README.md.
const LIVE_AGAIN_MS = 3_000;

/** Calls `onState` with { name: "connecting" | "live" | "waiting" | "offline", retryAt }; `onLive` when every
update is pushed from then on, and once more some seconds later; `onUpdate` with each update; and `onHeard`
for each message while it is live. */
export class Stream {
  #socket = null;
  #failures = 0;
  #heardAt = 0;
  #state = "";
  #timers = [];
  #session = null;
  #handlers;

  constructor(handlers) {
    this.#handlers = handlers;
    const wake = () => this.#wake();
    for (const sign of ["online", "offline", "pageshow", "focus"]) addEventListener(sign, wake);
    document.addEventListener("visibilitychange", wake);
  }

  start() {
    this.stop();
    this.#failures = 0;
    this.#session = new AbortController();
    this.#connect();
  }

  stop() {
    this.#session?.abort();
    this.#session = null;
    this.#state = "";
    this.#drop();
  }

  /** Reconnect, as after a failure. */
  again() {
    if (this.#session) this.#retry();
  }

  async #connect() {
    const { signal } = this.#session;
    this.#drop();
    if (!navigator.onLine) return this.#tell("offline");
    this.#tell("connecting");
    try {
      const { ticket, webSocketUrl } = await call("POST", "api/tickets", { signal });
      if (signal.aborted) return;
      this.#open(`${webSocketUrl}?ticket=${encodeURIComponent(ticket)}`);
    } catch (error) {
      if (!signal.aborted && error.status !== 401) this.#retry();
    }
  }

  #open(url) {
    const socket = new WebSocket(url);
    this.#socket = socket;
    this.#after(SILENCE_MS_MAX, () => this.#isOpen || this.#retry());
    socket.onopen = () => this.#subscribe(1);
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = () => this.#retry();
  }

  get #isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  /** Follow every order; send the subscription again if its answer does not come. */
  #subscribe(attempt) {
    this.#send({ action: "subscribe", orderId: "*" });
    this.#after(SUBSCRIBE_MS_MAX, () => {
      if (this.#state === "live") return;
      if (attempt < SUBSCRIBE_TRIES) this.#subscribe(attempt + 1);
      else this.#retry();
    });
  }

  #receive(data) {
    this.#heardAt = Date.now();
    const message = parsed(data);
    if (message.type === "subscribed" && message.orderId === "*") this.#subscribed();
    // Any other message is a pong, or an error of the engine or of API Gateway ({"message", "requestId"}).
    else if (message.orderId && message.status) this.#handlers.onUpdate(message);
    if (this.#state === "live") this.#handlers.onHeard();
  }

  #subscribed() {
    if (this.#state === "live") return; // the answer to an earlier try
    this.#failures = 0;
    this.#tell("live");
    this.#after(PING_EVERY_MS, () => this.#ping());
    this.#handlers.onLive();
    this.#after(LIVE_AGAIN_MS, this.#handlers.onLive);
  }

  #ping() {
    const askedAt = Date.now();
    this.#send({ action: "ping" });
    this.#after(SILENCE_MS_MAX, () => {
      if (this.#heardAt < askedAt) this.#retry();
      else this.#after(PING_EVERY_MS, () => this.#ping());
    });
  }

  #send(message) {
    if (this.#isOpen) this.#socket.send(JSON.stringify(message));
  }

  #retry() {
    this.#drop();
    if (!navigator.onLine) return this.#tell("offline");
    const ceiling = Math.min(BACKOFF_MS_MAX, BACKOFF_MS * 2 ** this.#failures++);
    const delay = ceiling * (0.5 + Math.random() / 2);
    this.#tell("waiting", Date.now() + delay);
    this.#after(delay, () => this.#connect());
  }

  /** Check the connection after the machine was asleep, the page hidden or the network gone. */
  #wake() {
    if (!this.#session || document.visibilityState === "hidden") return;
    if (!navigator.onLine) {
      this.#drop();
      this.#tell("offline");
    } else if (this.#state === "waiting" || this.#state === "offline") {
      this.#connect();
    } else if (this.#state === "live" && Date.now() - this.#heardAt > SILENCE_MS_MAX) {
      this.#clearTimers();
      this.#ping();
    }
  }

  #tell(name, retryAt) {
    this.#state = name;
    this.#handlers.onState({ name, retryAt });
  }

  #drop() {
    this.#clearTimers();
    if (!this.#socket) return;
    this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket.close();
    this.#socket = null;
  }

  #after(ms, act) {
    this.#timers.push(setTimeout(act, ms));
  }

  #clearTimers() {
    this.#timers.forEach(clearTimeout);
    this.#timers = [];
  }
}

function parsed(data) {
  try {
    return JSON.parse(data) ?? {};
  } catch {
    return {};
  }
}

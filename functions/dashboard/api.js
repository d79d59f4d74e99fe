// The HTTP API: one key, relative URLs, problems as errors, retries where they are safe.

const KEY_NAME = "oee.apiKey";
const RETRIES_MAX = 3;
const RETRY_AFTER_SECONDS_MAX = 10;
const ANSWER_MS_MAX = 15_000;

/** An answer that is no success: `status`, `code`, and the fields at fault by name. */
export class Problem extends Error {
  constructor(status, body, retryAfterSeconds) {
    super(body.detail || body.message || `The server answered ${status}.`);
    this.status = status;
    this.code = body.code ?? "";
    this.fields = Object.fromEntries((body.errors ?? []).map(({ field, rule }) => [field, rule]));
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

let heldKey = null;
let refusedKey = null;

export function apiKey() {
  try {
    heldKey ??= localStorage.getItem(KEY_NAME);
  } catch {
    // A browser that keeps nothing still has it until the page is closed.
  }
  return heldKey;
}

export function setApiKey(key) {
  heldKey = key;
  refusedKey = null;
  try {
    localStorage.setItem(KEY_NAME, key);
  } catch {
    // As above.
  }
}

/** Take the key out of the URL's fragment, where nobody else sees it; whether there was one. */
export function takeKeyFromUrl() {
  const key = new URLSearchParams(location.hash.slice(1)).get("key");
  if (!key) return false;
  history.replaceState(null, "", location.pathname + location.search);
  setApiKey(key);
  return true;
}

/** Tell when another tab has changed the key. */
export function onKeyChangedElsewhere(act) {
  addEventListener("storage", (event) => {
    if (event.key !== KEY_NAME || event.newValue === heldKey) return;
    heldKey = event.newValue;
    refusedKey = null;
    act();
  });
}

const refusals = new Set();

/** Tell when a key is refused. */
export const onRefused = (act) => refusals.add(act);

/** Call the API and parse its answer; throws Problem, a network's TypeError, or AbortError.

A key that was refused, or none, is not sent again and again. */
export async function call(method, path, { query, body, idempotencyKey, signal } = {}) {
  const safe = method === "GET" || method === "DELETE" || idempotencyKey;
  for (let attempt = 0; ; attempt++) {
    const key = apiKey();
    if (!key || key === refusedKey) throw new Problem(401, { detail: "There is no valid API key." });
    try {
      return await send(method, path, { query, body, idempotencyKey, signal });
    } catch (error) {
      if (error.status === 401) refuse(key);
      if (!safe || attempt >= RETRIES_MAX || !isPassing(error)) throw error;
      await pause(delayMs(attempt, error), signal);
    }
  }
}

function refuse(key) {
  if (key !== apiKey() || key === refusedKey) return; // another one is in use by now
  refusedKey = key;
  refusals.forEach((act) => act());
}

async function send(method, path, { query, body, idempotencyKey, signal }) {
  const headers = { Authorization: `Bearer ${apiKey()}` };
  if (body) headers["Content-Type"] = "application/json";
  if (idempotencyKey) headers["Idempotency-Key"] = idempotencyKey;
  const url = query ? `${path}?${new URLSearchParams(query)}` : path;
  const inTime = AbortSignal.timeout(ANSWER_MS_MAX);
  const answer = await fetch(url, {
    method,
    headers,
    body: body && JSON.stringify(body),
    signal: signal ? AbortSignal.any([signal, inTime]) : inTime,
  });
  const parsed = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Problem(answer.status, parsed, Number(answer.headers.get("Retry-After")));
  return parsed;
}

function isPassing(error) {
  const unanswered = error instanceof TypeError || error.name === "TimeoutError";
  return unanswered || error.status === 429 || error.status >= 500;
}

function delayMs(attempt, error) {
  const asked = Math.min(error.retryAfterSeconds || 0, RETRY_AFTER_SECONDS_MAX) * 1000;
  return Math.max(asked, 300 * 2 ** attempt * (0.5 + Math.random() / 2));
}

/** Resolve after `ms`; reject with AbortError when `signal` says so before. */
export function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}

/** A new idempotency key. */
export function newIdempotencyKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

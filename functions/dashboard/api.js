// Calls the HTTP API: with relative URLs, problems as errors, and retries if they are safe.

const RETRIES_MAX = 3;
const RETRY_AFTER_SECONDS_MAX = 10;
const ANSWER_MS_MAX = 15_000;

/** An error answer: its `status`, its `code`, and the broken rules by field. */
class Problem extends Error {
  constructor(status, body, retryAfterSeconds) {
    super(body.detail || body.message || `The server answered ${status}.`);
    this.status = status;
    this.code = body.code ?? "";
    this.fields = Object.fromEntries((body.errors ?? []).map(({ field, rule }) => [field, rule]));
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

let heldKey = null;
let calls = new AbortController();
let onRefused = () => {};

/** Use this key for calls from now on; calls under way with the previous key are aborted. */
export function useKey(key) {
  if (key === heldKey) return;
  calls.abort(new DOMException("The key has changed.", "AbortError"));
  calls = new AbortController();
  heldKey = key;
}

/** `act` is called when the API refuses the key in use. */
export function whenRefused(act) {
  onRefused = act;
}

/** Call the API with the key in use, or with another key `as`, and parse the answer.

Throws Problem, TypeError if the network fails, TimeoutError, or AbortError. */
export async function call(method, path, { query, body, idempotencyKey, signal, as = heldKey } = {}) {
  if (!as) throw new Problem(401, { detail: "There is no API key." });
  const safe = method === "GET" || method === "DELETE" || idempotencyKey;
  const until = AbortSignal.any([signal, as === heldKey && calls.signal].filter(Boolean));
  for (let attempt = 0; ; attempt++) {
    try {
      return await send(method, path, { query, body, idempotencyKey, key: as, until });
    } catch (error) {
      if (error.status === 401 && as === heldKey) onRefused();
      if (!safe || attempt >= RETRIES_MAX || until.aborted || !isTransient(error)) throw error;
      await pause(delayMs(attempt, error), until);
    }
  }
}

async function send(method, path, { query, body, idempotencyKey, key, until }) {
  const headers = { Authorization: `Bearer ${key}` };
  if (body) headers["Content-Type"] = "application/json";
  if (idempotencyKey) headers["Idempotency-Key"] = idempotencyKey;
  const url = query ? `${path}?${new URLSearchParams(query)}` : path;
  const answer = await fetch(url, {
    method,
    headers,
    body: body && JSON.stringify(body),
    signal: AbortSignal.any([until, AbortSignal.timeout(ANSWER_MS_MAX)]),
  });
  const parsed = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Problem(answer.status, parsed, Number(answer.headers.get("Retry-After")));
  return parsed;
}

/** Whether the same request may succeed later: there was no answer, or a 429 or a 5xx. */
export function isTransient(error) {
  const unanswered = error instanceof TypeError || error.name === "TimeoutError";
  return unanswered || error.status === 429 || error.status >= 500;
}

function delayMs(attempt, error) {
  const asked = Math.min(error.retryAfterSeconds || 0, RETRY_AFTER_SECONDS_MAX) * 1000;
  return Math.max(asked, 300 * 2 ** attempt * (0.5 + Math.random() / 2));
}

/** Resolve after `ms`; reject with the signal's reason if it is aborted before. */
export function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const aborted = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", aborted);
      resolve();
    }, ms);
    if (signal?.aborted) aborted();
    else signal?.addEventListener("abort", aborted, { once: true });
  });
}

export function newIdempotencyKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// The HTTP API: relative URLs, problems as errors, retries where they are safe.

const RETRIES_MAX = 3;
const RETRY_AFTER_SECONDS_MAX = 10;
const ANSWER_MS_MAX = 15_000;

/** An answer that is no success: `status`, `code`, and the fields at fault by name. */
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

/** Call the API with this key from now on; calls under way with the one before are aborted. */
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

/** Call the API and parse its answer, with the key in use or with another key, `as`.

Throws Problem, a network's TypeError, TimeoutError, or AbortError. */
export async function call(method, path, { query, body, idempotencyKey, signal, as = heldKey } = {}) {
  if (!as) throw new Problem(401, { detail: "There is no API key." });
  const safe = method === "GET" || method === "DELETE" || idempotencyKey;
  const until = AbortSignal.any([signal, as === heldKey && calls.signal].filter(Boolean));
  for (let attempt = 0; ; attempt++) {
    try {
      return await send(method, path, { query, body, idempotencyKey, key: as, until });
    } catch (error) {
      if (error.status === 401 && as === heldKey) onRefused();
      if (!safe || attempt >= RETRIES_MAX || until.aborted || !isPassing(error)) throw error;
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

/** Whether the same request may succeed later: no answer came, or one that says so. */
export function isPassing(error) {
  const unanswered = error instanceof TypeError || error.name === "TimeoutError";
  return unanswered || error.status === 429 || error.status >= 500;
}

function delayMs(attempt, error) {
  const asked = Math.min(error.retryAfterSeconds || 0, RETRY_AFTER_SECONDS_MAX) * 1000;
  return Math.max(asked, 300 * 2 ** attempt * (0.5 + Math.random() / 2));
}

/** Resolve after `ms`; reject with the signal's reason when it is aborted before. */
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

/** A new idempotency key. */
export function newIdempotencyKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

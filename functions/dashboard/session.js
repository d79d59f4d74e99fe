// The owner whose orders are shown: signed out without a key, signed in with one.

import { call, useKey, whenRefused } from "./api.js";
import { keep, kept } from "./storage.js";

const KEY = "oee.apiKey";
const OWNER = "oee.owner";

/** Calls `onIn` with the owner whenever somebody signs in, and `onOut` with the reason after a sign-out. */
export class Session {
  #key = undefined; // null when signed out, undefined before `start`
  #onIn;
  #onOut;
  owner = "";

  constructor({ onIn, onOut }) {
    this.#onIn = onIn;
    this.#onOut = onOut;
    whenRefused(() => this.signOut("This key is not valid here, or no longer."));
    // Another tab may sign in or out, and the user may delete the browser's stored data.
    addEventListener("storage", ({ key }) => (key === null || key === KEY) && this.start());
    for (const sign of ["pageshow", "focus"]) addEventListener(sign, () => this.start());
  }

  get signedIn() {
    return Boolean(this.#key);
  }

  /** Whether this key is in use. */
  has(key) {
    return key === this.#key;
  }

  /** Sign in or out as the browser's stored data says, if that differs from the present state. */
  start() {
    const key = kept(KEY) || null;
    if (key === this.#key) return;
    if (key) this.#enter(key, kept(OWNER) ?? "");
    else this.#leave("");
  }

  /** Sign in with a key that is known to work. */
  signIn(key, owner) {
    keep(OWNER, owner);
    keep(KEY, key);
    this.#enter(key, owner);
  }

  signOut(why = "") {
    keep(KEY, null);
    keep(OWNER, null);
    this.#leave(why);
  }

  #enter(key, owner) {
    this.#key = key;
    this.owner = owner;
    useKey(key);
    this.#onIn(owner);
  }

  #leave(why) {
    this.#key = null;
    this.owner = "";
    useKey(null);
    this.#onOut(why);
  }
}

/** The owner of a key, which need not be the key in use. Throws as `call` does. */
export async function ownerOf(key, signal) {
  const { owner } = await call("GET", "api/me", { as: key, signal });
  return owner;
}

/** Remove the key from the URL's fragment, which browsers do not send, and return it; null if there is none. */
export function takeKeyFromUrl() {
  const key = new URLSearchParams(location.hash.slice(1)).get("key");
  if (key) history.replaceState(null, "", location.pathname + location.search);
  return key;
}

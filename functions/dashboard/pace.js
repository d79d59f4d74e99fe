// Repeats requests: often while the page is used, seldom while it is idle, and never while it is hidden.

const IDLE_AFTER_MS = 60_000;
const CHECK_EVERY_MS = 1_000;
const SIGNS = ["pointerdown", "pointermove", "keydown", "scroll", "focus"];

let usedAt = Date.now();
for (const sign of SIGNS) addEventListener(sign, () => { usedAt = Date.now(); }, { capture: true, passive: true });

/** Call `act` every `busyMs` while the page is used, and every `idleMs` while it is not. Returns `next`, which
tells the milliseconds until the next call, and `restart`, which restarts the wait. */
export function every(busyMs, idleMs, act) {
  let actedAt = Date.now();
  const next = () => actedAt + (Date.now() - usedAt < IDLE_AFTER_MS ? busyMs : idleMs) - Date.now();
  const restart = () => { actedAt = Date.now(); };
  const check = () => {
    if (document.visibilityState === "hidden" || next() > 0) return;
    restart();
    act();
  };
  setInterval(check, CHECK_EVERY_MS);
  document.addEventListener("visibilitychange", check);
  return { next, restart };
}

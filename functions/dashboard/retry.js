// Reloads the page if its script or its style sheet could not be loaded, for example because Lambda throttled
// the request. It is a file of its own, so that it works if one of these two is missing.

const LOADS_MAX = 6;
let lost = false;

addEventListener("error", ({ target }) => { if (target.tagName === "SCRIPT") lost = true; }, true);
addEventListener("load", () => {
  const unstyled = !getComputedStyle(document.documentElement).getPropertyValue("--page");
  const loads = (history.state?.loads ?? 0) + 1;
  if (!lost && !unstyled) {
    if (history.state?.loads) history.replaceState(null, "");
    return;
  }
  if (loads >= LOADS_MAX) return;
  history.replaceState({ loads }, "");
  setTimeout(() => location.reload(), 500 * 2 ** loads * (0.75 + Math.random() / 2));
});

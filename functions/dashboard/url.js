// Keeps what the page shows in its URL: the order in full, the form's pair and amount, and the filters.

const listeners = [];

/** A parameter of the URL; "" if it is absent. */
export const urlParam = (name) => new URLSearchParams(location.search).get(name) ?? "";

/** Set parameters of the URL, and remove those that are empty. With `newEntry`, the user can go back to the
previous URL. */
export function setUrlParams(changes, { newEntry = false } = {}) {
  const url = urlWith(changes);
  if (url === location.href) return;
  if (newEntry) history.pushState(null, "", url);
  else history.replaceState(history.state, "", url);
}

/** Remove all parameters from the URL. */
export function clearUrlParams() {
  if (location.search) history.replaceState(history.state, "", location.pathname);
}

/** The page's URL with these parameters changed. */
export function urlWith(changes) {
  const url = new URL(location.href);
  for (const [name, value] of Object.entries(changes)) {
    if (value) url.searchParams.set(name, value);
    else url.searchParams.delete(name);
  }
  url.hash = "";
  return url.href;
}

/** Call `act` when the user goes back or forward. */
export function onHistoryMove(act) {
  listeners.push(act);
}

addEventListener("popstate", () => listeners.forEach((act) => act()));

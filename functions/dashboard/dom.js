// Creates elements from data. Text is set as text, never as markup.

/** An element: h("button", { type: "button", onclick: act }, "Copy", child, …). */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null && child !== false));
  return element;
}

/** The element with this id, which index.html has. */
export const byId = (id) => document.getElementById(id);

/** Set an element's text, if it differs. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Set the share (in percent) that the style sheet uses. The security policy allows no style attributes. */
export function share(element, percent) {
  element.style.setProperty("--share", `${percent}%`);
  return element;
}

/** Choose the largest size at which the whole number is visible. */
export function fit(element) {
  for (const size of ["", "small", "smaller", "smallest"]) {
    element.dataset.size = size;
    if (element.scrollWidth <= element.clientWidth) return;
  }
}

/** A branch of a route as bars: one bar for each hop, divided by venue. */
export function hopBars({ hops }) {
  const bars = hops.map(({ shares }) => h("span", { class: "bar-track" }, ...shares.map(([venue, part]) =>
    share(h("span", { class: "bar-fill", "data-venue": venue }), part))));
  return h("span", { class: "hops", "aria-hidden": "true" }, ...bars.flatMap((bar, i) => (i ? ["›", bar] : [bar])));
}

/** A button that copies `text` and says so for a moment. */
export function copyButton(text, label, shown) {
  const button = h("button", { type: "button", class: "copy", "data-key": label });
  button.title = text;
  const named = (words) => {
    button.textContent = words;
    button.setAttribute("aria-label", `Copy ${label}: ${words}`);
  };
  named(shown);
  button.addEventListener("click", async (event) => {
    event.stopPropagation();
    const done = await copy(text);
    announce(done ? `Copied ${label}` : `Your browser does not allow copying; ${label}: ${text}`);
    named(done ? "Copied" : shown);
    setTimeout(() => named(shown), 1200);
  });
  return button;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}

/** Announce a text to screen readers, without moving the focus. */
export function announce(text) {
  byId("announcer").textContent = text;
}

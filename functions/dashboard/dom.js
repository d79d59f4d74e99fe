// Creates and changes the elements of the page. Text is set as text, never as markup.

import { VENUES } from "./stack.js";

/** An element: h("button", { type: "button", onclick: act }, "Copy", child, …). An attribute such as "--share"
becomes a variable of the style sheet, because the security policy allows no style attributes. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (name.startsWith("--")) element.style.setProperty(name, value);
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null && child !== false));
  return element;
}

/** The element with this id, which index.html has. */
export const byId = (id) => document.getElementById(id);

/** Set an element's text, if it differs. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Choose the largest size at which the whole number is visible. */
export function fitText(element) {
  for (const size of ["", "small", "smaller", "smallest"]) {
    element.dataset.size = size;
    if (element.scrollWidth <= element.clientWidth) return;
  }
}

/** The value of the chosen radio button of this name. */
export const chosen = (name) => document.querySelector(`input[name=${name}]:checked`).value;

/** Choose the radio button with this value; returns whether there is one. */
export function choose(name, value) {
  const input = document.querySelector(`input[name=${name}][value="${CSS.escape(value)}"]`);
  if (input) input.checked = true;
  return Boolean(input);
}

/** The variable of the style sheet that contains a venue's colour. */
export const venueColor = (venue) => `--venue-${VENUES.indexOf(venue)}`;

/** The attributes of an element in a venue's colour. */
export const ofVenue = (venue) => ({ "data-venue": venue, "--venue": `var(${venueColor(venue)})` });

/** A bar in a venue's colour, `percent` long. */
export const venueBar = (venue, percent) => h("span", { class: "bar-fill", ...ofVenue(venue), "--share": `${percent}%` });

/** A branch of a route as bars: one bar for each hop, divided by venue. */
export function hopBars({ hops }) {
  const bars = hops.map(({ shares }) => h("span", { class: "bar-track" }, ...shares.map(([venue, part]) => venueBar(venue, part))));
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

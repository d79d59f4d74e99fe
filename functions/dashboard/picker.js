// A token to choose: a combobox with search by symbol, name and mint (ARIA pattern "combobox").

import { h } from "./dom.js";

const AVATAR_HUES = 8;

/** Turn `input` into a combobox over `tokens`; `onPick` is told each choice. */
export class Picker {
  #input;
  #list;
  #badge;
  #tokens = [];
  #shown = [];
  #active = 0;
  #onPick;
  symbol;

  constructor(input, onPick) {
    this.#input = input;
    this.#onPick = onPick;
    this.symbol = input.dataset.token;
    this.#list = h("ul", { role: "listbox", id: `${input.id}-list`, "aria-label": "Tokens", hidden: true });
    this.#badge = badge(this.symbol);
    input.before(this.#badge);
    input.after(this.#list);
    const attributes = {
      role: "combobox", autocomplete: "off", spellcheck: "false", "aria-autocomplete": "list",
      "aria-expanded": "false", "aria-controls": this.#list.id,
    };
    for (const [name, value] of Object.entries(attributes)) input.setAttribute(name, value);
    input.value = this.symbol;
    input.addEventListener("focus", () => input.select());
    input.addEventListener("click", () => this.#open(""));
    input.addEventListener("input", () => this.#open(input.value));
    input.addEventListener("blur", () => this.#close());
    input.addEventListener("keydown", (event) => this.#key(event));
    this.#list.addEventListener("pointerdown", (event) => {
      event.preventDefault(); // the input keeps the focus
      const option = event.target.closest("[role=option]");
      if (option) this.pick(option.dataset.symbol);
    });
  }

  offer(tokens) {
    this.#tokens = tokens;
  }

  /** How many decimal places an amount of the chosen token may have. */
  get decimals() {
    return this.#tokens.find(({ symbol }) => symbol === this.symbol)?.decimals ?? Infinity;
  }

  pick(symbol) {
    this.show(symbol);
    this.#close();
    this.#onPick(this);
  }

  /** Show a choice that was made elsewhere. */
  show(symbol) {
    this.symbol = symbol;
    this.#input.value = symbol;
    const changed = badge(symbol);
    this.#badge.replaceWith(changed);
    this.#badge = changed;
  }

  #open(search) {
    const sought = search.trim().toLowerCase();
    this.#shown = this.#tokens.filter(({ symbol, name, mint }) =>
      `${symbol} ${name}`.toLowerCase().includes(sought) || mint.toLowerCase() === sought);
    const current = this.#shown.findIndex(({ symbol }) => symbol === this.symbol);
    this.#active = Math.max(0, sought ? 0 : current);
    this.#list.replaceChildren(...this.#shown.map((token, i) => this.#option(token, i)));
    if (!this.#shown.length) {
      this.#list.append(h("li", { class: "none", role: "option", "aria-disabled": "true" }, "No such token"));
    }
    this.#list.hidden = false;
    this.#input.setAttribute("aria-expanded", "true");
    this.#mark();
  }

  #option({ symbol, name }, i) {
    return h("li", { role: "option", id: `${this.#list.id}-${i}`, "data-symbol": symbol },
      badge(symbol), h("b", {}, symbol), h("span", {}, name));
  }

  #mark() {
    [...this.#list.children].forEach((option, i) => {
      option.setAttribute("aria-selected", String(i === this.#active && this.#shown.length > 0));
    });
    const active = this.#shown.length ? `${this.#list.id}-${this.#active}` : "";
    this.#input.setAttribute("aria-activedescendant", active);
    this.#list.children[this.#active]?.scrollIntoView({ block: "nearest" });
  }

  #key(event) {
    const steps = { ArrowDown: 1, ArrowUp: -1 };
    if (event.key in steps) {
      event.preventDefault();
      if (this.#list.hidden) return this.#open("");
      const count = this.#shown.length || 1;
      this.#active = (this.#active + steps[event.key] + count) % count;
      this.#mark();
    } else if (event.key === "Enter" && !this.#list.hidden) {
      event.preventDefault();
      if (this.#shown.length) this.pick(this.#shown[this.#active].symbol);
    } else if (event.key === "Escape" && !this.#list.hidden) {
      event.preventDefault();
      this.#close();
    }
  }

  #close() {
    this.#list.hidden = true;
    this.#input.value = this.symbol;
    this.#input.setAttribute("aria-expanded", "false");
    this.#input.removeAttribute("aria-activedescendant");
  }
}

/** A token's round sign. */
export function badge(symbol) {
  const hue = [...symbol].reduce((sum, letter) => sum + letter.codePointAt(0), 0) % AVATAR_HUES;
  return h("i", { class: "badge", "data-hue": hue, "aria-hidden": "true" }, symbol.charAt(0).toUpperCase());
}

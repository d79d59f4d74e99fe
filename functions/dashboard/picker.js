// The choice of a token: an editable combobox with a list that is searched by symbol, name and mint.
// https://www.w3.org/WAI/ARIA/apg/patterns/combobox/, list autocomplete with automatic selection.

import { h } from "./dom.js";

const AVATAR_HUES = 8;

/** Turn `input` into a combobox over `tokens`. `onChange` receives the picker whenever the text changes, and
after a choice also the previous symbol. */
export class Picker {
  #input;
  #list;
  #badge;
  #tokens;
  #shown = [];
  #active = 0;
  #onChange;
  symbol;

  constructor(input, tokens, onChange) {
    this.#input = input;
    this.#tokens = tokens;
    this.#onChange = onChange;
    this.#list = h("ul", { role: "listbox", id: `${input.id}-list`, "aria-label": "Tokens", hidden: true });
    this.#badge = badge(input.dataset.token);
    input.before(this.#badge);
    input.after(this.#list);
    const attributes = {
      role: "combobox", autocomplete: "off", autocapitalize: "off", spellcheck: "false",
      "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": this.#list.id,
    };
    for (const [name, value] of Object.entries(attributes)) input.setAttribute(name, value);
    this.reset();
    input.addEventListener("focus", () => input.select());
    input.addEventListener("click", () => this.#list.hidden && this.#open(""));
    input.addEventListener("input", () => {
      this.#open(input.value);
      this.#onChange(this);
    });
    input.addEventListener("blur", () => this.#take());
    input.addEventListener("keydown", (event) => this.#key(event));
    this.#list.addEventListener("pointerdown", (event) => {
      event.preventDefault(); // the input keeps the focus
      const option = event.target.closest("[data-symbol]");
      if (option) this.#pick(option.dataset.symbol);
    });
  }

  /** How many decimal places an amount of the chosen token may have. */
  get decimals() {
    return this.#tokens.find(({ symbol }) => symbol === this.symbol)?.decimals ?? Infinity;
  }

  /** Whether the text is the chosen token, and not a text that is still being typed. */
  get settled() {
    return this.#input.value === this.symbol;
  }

  /** The text in the field. */
  get text() {
    return this.#input.value.trim();
  }

  /** Show a choice that was made elsewhere. */
  show(symbol) {
    this.symbol = symbol;
    this.#input.value = symbol;
    const changed = badge(symbol);
    this.#badge.replaceWith(changed);
    this.#badge = changed;
    this.#close();
  }

  reset() {
    this.show(this.#input.dataset.token);
  }

  #pick(symbol) {
    const before = this.symbol;
    this.show(symbol);
    // The next typed text replaces the choice.
    if (document.activeElement === this.#input) this.#input.select();
    this.#onChange(this, before);
  }

  /** Choose the marked token; a text that matches no token stays in the field. */
  #take() {
    const typed = !this.settled;
    const marked = this.#list.hidden ? undefined : this.#shown[this.#active];
    if (marked && (typed || marked.symbol !== this.symbol)) this.#pick(marked.symbol);
    else this.#close();
  }

  #open(search) {
    this.#shown = found(this.#tokens, search.trim().toLowerCase());
    const current = this.#shown.findIndex(({ symbol }) => symbol === this.symbol);
    this.#active = search ? 0 : Math.max(0, current);
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
      if (event.altKey && event.key === "ArrowUp") return this.#take();
      const count = this.#shown.length || 1;
      this.#active = (this.#active + steps[event.key] + count) % count;
      this.#mark();
    } else if (event.key === "Enter" && !this.#list.hidden) {
      event.preventDefault();
      if (this.#shown.length) this.#pick(this.#shown[this.#active].symbol);
    } else if (event.key === "Escape" && !(this.#list.hidden && this.settled)) {
      event.preventDefault();
      this.show(this.symbol);
      this.#input.select();
      this.#onChange(this);
    }
    return undefined;
  }

  #close() {
    this.#list.hidden = true;
    this.#input.setAttribute("aria-expanded", "false");
    this.#input.removeAttribute("aria-activedescendant");
  }
}

/** The tokens that match the searched text, best first: exact matches, then those that begin with it. */
function found(tokens, sought) {
  const rank = ({ symbol, name, mint }) => {
    const [short, long] = [symbol.toLowerCase(), name.toLowerCase()];
    if (short === sought || mint.toLowerCase() === sought) return 0;
    if (short.startsWith(sought)) return 1;
    if (long.startsWith(sought)) return 2;
    return short.includes(sought) || long.includes(sought) ? 3 : 4;
  };
  const ranked = tokens.map((token) => ({ token, rank: rank(token) })).filter((each) => each.rank < 4);
  return ranked.sort((one, other) => one.rank - other.rank).map(({ token }) => token);
}

/** A token's round badge. */
function badge(symbol) {
  const hue = [...symbol].reduce((sum, letter) => sum + letter.codePointAt(0), 0) % AVATAR_HUES;
  return h("i", { class: "badge", "data-hue": hue, "aria-hidden": "true" }, symbol.charAt(0).toUpperCase());
}

// Filters the list of orders by status, pair, type, days and part of an id. The URL keeps the filter.

import { byId, choose, chosen, h, setText } from "./dom.js";
import { isOpen } from "./orders.js";
import { pairOf } from "./pairs.js";
import { STATUSES } from "./stack.js";
import { setUrlParams, urlParam } from "./url.js";
import { statusName, typeName } from "./words.js";

const FIELDS = { pair: "filter-pair", type: "filter-type", from: "filter-from", to: "filter-to", find: "find" };
const NAMES = { pair: "only", type: "type", from: "from", to: "to", find: "find" }; // in the URL
const DAY_MS = 86_400_000;

/** The two tokens of an order in alphabetical order, whichever is sold. */
const namesOf = ({ tokenIn, tokenOut }) => [tokenIn, tokenOut].sort().join("/");

export class Filter {
  #onChange;

  constructor(onChange) {
    this.#onChange = onChange;
    byId("filters").append(...Object.keys(STATUSES).filter((status) => STATUSES[status].terminal).map((status) => h("label", {},
      h("input", { type: "radio", name: "filter", value: status }), h("span", {}, `${statusName(status)} `, h("b", {})))));
    this.follow();
    byId("filters").addEventListener("change", () => this.#changed());
    for (const id of Object.values(FIELDS)) byId(id).addEventListener("input", () => this.#changed());
    byId("filter-more").addEventListener("click", () => {
      byId("more-filters").hidden = !byId("more-filters").hidden;
      this.#showMore();
    });
    byId("filter-none").addEventListener("click", () => this.reset());
  }

  get status() {
    return chosen("filter");
  }

  /** The filters that the API applies, as a query. "Open" is not one of them: all open orders are loaded. */
  get query() {
    const type = byId("filter-type").value;
    return String(new URLSearchParams({ ...(this.status && this.status !== "open" && { status: this.status }), ...(type && { type }) }));
  }

  /** The searched text, in lower case. */
  get find() {
    return byId("find").value.trim().toLowerCase();
  }

  /** The earliest timestamp of an order that passes the filter; "" if there is no such limit. */
  get since() {
    const from = dayOf("filter-from");
    return from === null ? "" : new Date(from).toISOString();
  }

  /** Whether the list is filtered by more than the status. */
  get narrowed() {
    return this.#narrow || Boolean(this.find);
  }

  get #narrow() {
    return ["pair", "type", "from", "to"].some((field) => byId(FIELDS[field]).value);
  }

  /** A predicate: whether an order passes all filters except that of the status. */
  test() {
    const [pair, type, find] = [byId("filter-pair").value, byId("filter-type").value, this.find];
    const [from, to] = [dayOf("filter-from"), dayOf("filter-to")];
    return (order) => {
      const at = from === null && to === null ? 0 : Date.parse(order.createdAt);
      return (!pair || namesOf(order) === pair)
        && (!type || order.type === type)
        && (from === null || at >= from)
        && (to === null || at < to + DAY_MS)
        && (!find || [order.orderId, order.clientOrderId, order.txHash].some((id) => id?.toLowerCase().includes(find)));
    };
  }

  /** Add the pair and the type of an order to the choices. */
  offer(order) {
    this.#offer(byId("filter-pair"), namesOf(order), pairOf(order.tokenIn, order.tokenOut).name);
    this.#offer(byId("filter-type"), order.type, typeName(order.type));
  }

  /** Remove all filters. */
  reset() {
    choose("filter", "");
    for (const id of Object.values(FIELDS)) byId(id).value = "";
    this.#changed();
  }

  /** Forget an owner's pairs and types, and set the filters from the URL. */
  follow() {
    for (const id of ["filter-pair", "filter-type"]) byId(id).replaceChildren(byId(id).firstElementChild);
    if (!choose("filter", urlParam("show"))) choose("filter", "");
    for (const [field, id] of Object.entries(FIELDS)) {
      const value = urlParam(NAMES[field]);
      if (byId(id).tagName === "SELECT" && value) this.#offer(byId(id), value, value);
      byId(id).value = value;
    }
    byId("more-filters").hidden = !this.#narrow;
    this.#showMore();
  }

  #offer(select, value, text) {
    const known = [...select.options].find((option) => option.value === value);
    if (known) setText(known, text);
    else select.append(h("option", { value }, text));
  }

  #changed() {
    const fields = Object.entries(FIELDS).map(([field, id]) => [NAMES[field], byId(id).value.trim()]);
    setUrlParams({ show: this.status, ...Object.fromEntries(fields) });
    this.#showMore();
    this.#onChange();
  }

  #showMore() {
    byId("filter-more").setAttribute("aria-expanded", String(!byId("more-filters").hidden));
    byId("filter-more").toggleAttribute("data-active", this.#narrow);
  }
}

/** The beginning of the chosen day in local time, in Unix milliseconds; null if none is chosen. */
function dayOf(id) {
  const [year, month, day] = byId(id).value.split("-").map(Number);
  return day ? new Date(year, month - 1, day).getTime() : null;
}

/** Whether an order has the status of a choice: "" is any, "open" all that are not terminal. */
export const hasStatus = (order, status) => !status || (status === "open" ? isOpen(order) : order.status === status);

// Reads decimal numbers. A comma is refused, because 1,500 means 1500 to some people and 1.5 to others.

const FORM = /^(\d+\.?\d*|\.\d+)$/;

/** The written number as `text` such as "0.25", or the `rule` that it breaks. */
export function readDecimal(written, places) {
  const text = written.trim();
  if (/^[\d.,]*,[\d.,]*$/.test(text)) {
    return { rule: "must be a number with a point and without commas, such as 0.25 or 1500.5" };
  }
  if (!FORM.test(text)) return { rule: "must be a number such as 1.5: digits and at most one point" };
  const [whole, fraction = ""] = text.split(".");
  if (fraction.length > places) return { rule: `must have at most ${places} decimal places` };
  return { text: (whole.replace(/^0+(?=\d)/, "") || "0") + (fraction && `.${fraction}`) };
}

/** Decimal text with its digits in groups of three; no locale uses the separator as a decimal sign. */
export function grouped(text) {
  const [whole, fraction] = text.split(".");
  const spaced = whole.replace(/\B(?=(\d{3})+$)/g, "\u202f");
  return fraction ? `${spaced}.${fraction}` : spaced;
}

/** Whether this browser's keypad for decimals has a point. */
export const hasPoint = new Intl.NumberFormat().format(1.5).includes(".");

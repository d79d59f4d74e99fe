// Values that the browser stores for later visits. If it refuses, the page keeps them until it is closed.

const own = new Map();
const refused = new Set();

/** The value that was kept under this name, or null. */
export function kept(name) {
  try {
    if (!refused.has(name)) own.set(name, localStorage.getItem(name));
  } catch {
    // The page's own copy is used.
  }
  return own.get(name) ?? null;
}

/** Keep a value; null removes it. */
export function keep(name, value) {
  own.set(name, value);
  try {
    if (value === null) localStorage.removeItem(name);
    else localStorage.setItem(name, value);
    refused.delete(name);
  } catch {
    refused.add(name);
  }
}

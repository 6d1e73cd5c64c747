/** What a tab keeps over a reload, one value per generation and of a few generations only: a browser gives 5 MB. */
const MAX_KEPT = 4;

/** Keep it. Where the browser has no room or no storage, nothing is kept. */
export function keepInTab(prefix: string, generationId: string, value: unknown): void {
  try {
    dropOthers(prefix, generationId);
    sessionStorage.setItem(prefix + generationId, JSON.stringify(value));
  } catch {
    // it lives as long as the page, then
  }
}

/** What was kept; null where there is nothing that can be read. */
export function keptInTab(prefix: string, generationId: string): unknown {
  try {
    return JSON.parse(sessionStorage.getItem(prefix + generationId) ?? "null");
  } catch {
    return null;
  }
}

export function forgetInTab(prefix: string, generationId: string): void {
  try {
    sessionStorage.removeItem(prefix + generationId);
  } catch {
    // no storage: nothing is kept either
  }
}

function dropOthers(prefix: string, generationId: string): void {
  const keys = Object.keys(sessionStorage).filter((key) => key.startsWith(prefix) && key !== prefix + generationId);
  for (const key of keys.slice(0, Math.max(0, keys.length - MAX_KEPT + 1))) sessionStorage.removeItem(key);
}

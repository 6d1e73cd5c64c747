/** The page's address: `#/PROJECT?show=failures&filter=…`. The project is before the question mark, the rest is its view. */

/** The project of the address; null if it names none. */
export function projectOf(hash: string): string | null {
  if (!hash.startsWith("#/")) return null;
  try {
    return decodeURIComponent(hash.slice(2).split("?", 1)[0] ?? "");
  } catch {
    return null; // half an escape: no address of ours
  }
}

/** The view of the address. */
export function viewOf(hash: string): URLSearchParams {
  const at = hash.indexOf("?");
  return new URLSearchParams(at === -1 ? "" : hash.slice(at + 1));
}

/** Change the view of the project that is shown; empty values are left out. The history gets no entry. */
export function writeView(projectId: string, changes: Record<string, string | string[] | null>): void {
  const before = projectOf(location.hash) === projectId ? viewOf(location.hash) : new URLSearchParams();
  for (const [name, value] of Object.entries(changes)) {
    before.delete(name);
    for (const one of Array.isArray(value) ? value : [value ?? ""]) if (one) before.append(name, one);
  }
  const query = before.toString();
  const hash = `#/${encodeURIComponent(projectId)}${query && `?${query}`}`;
  if (hash === location.hash || (query === "" && location.hash === "")) return;
  history.replaceState(null, "", hash);
}

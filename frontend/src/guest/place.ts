/** Where a guest is: at a share link, or at the preview that it has led to. */
export type GuestPlace = { generationId: string; token: string | null };

/** The place in the address; null if the page is not a guest's. */
export function placeOf(hash: string): GuestPlace | null {
  const found = /^#\/(?:join\/([^/?]+)\/([A-Za-z0-9_.]+)|guest\/([^/?]+))$/.exec(hash);
  if (!found) return null;
  try {
    return { generationId: decodeURIComponent(found[1] ?? found[3] ?? ""), token: found[2] ?? null };
  } catch {
    return null; // half an escape: no address of ours
  }
}

export function addressOf(generationId: string): string {
  return `#/guest/${encodeURIComponent(generationId)}`;
}

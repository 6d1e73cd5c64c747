/**
 * Deeper JSON is not drawn, and not written again: what does that calls itself once a level, and a browser's stack holds
 * some 7,000 calls. Nobody reads more than some tens of levels.
 */
export const MAX_DEPTH = 200;

/** How deep arrays and objects of a JSON text are within each other. It is only looked through: nothing calls itself. */
export function depthOf(json: string): number {
  let depth = 0;
  let deepest = 0;
  let isText = false;
  for (let at = 0; at < json.length; at += 1) {
    const unit = json[at];
    if (isText) {
      if (unit === "\\") at += 1;
      else if (unit === '"') isText = false;
    } else if (unit === '"') isText = true;
    else if (unit === "[" || unit === "{") deepest = Math.max(deepest, (depth += 1));
    else if (unit === "]" || unit === "}") depth -= 1;
  }
  return deepest;
}

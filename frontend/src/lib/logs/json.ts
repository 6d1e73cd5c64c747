/** A JSON object that a program has logged. */
export type JsonLine = Record<string, unknown>;

/** A value in it, with the name that the filter language has for it. */
export interface Leaf {
  /** Such as `user.id`. */
  path: string;
  depth: number;
  name: string;
  /** Null for an object or a list with values of its own. */
  text: string | null;
  /** A term of the filter that selects lines with this value; null where there is none. */
  term: string | null;
  /** Its name as a column; null where it can be none. */
  column: string | null;
}

const MOST_CHARS = 16_384;
const MOST_LEAVES = 200;
const MOST_DEPTH = 8;
const MESSAGE_KEYS = ["message", "msg", "event", "text"];
/** Shown elsewhere: by the row's time and bar. */
const ASIDE = new Set(["time", "timestamp", "ts", "@timestamp", "level", "severity", "lvl", "levelname"]);
const NAME = /^[A-Za-z_][\w-]{0,60}$/;

/** The object of a line that is JSON; null for others. */
export function jsonOf(text: string): JsonLine | null {
  if (text.length > MOST_CHARS || !text.startsWith("{") || !text.endsWith("}")) return null;
  try {
    const found = JSON.parse(text) as JsonLine;
    return Object.keys(found).length > 0 ? found : null;
  } catch {
    return null;
  }
}

/** The value of a column, such as `user.id`; null where the line has none. */
export function columnOf(line: JsonLine, path: string): string | null {
  let found: unknown = line;
  for (const name of path.split(".")) {
    if (typeof found !== "object" || found === null || !Object.hasOwn(found, name)) return null;
    found = (found as JsonLine)[name];
  }
  return typeof found === "string" ? found : JSON.stringify(found);
}

/** Whether an address may name this column. */
export function isColumn(path: string): boolean {
  return path.length <= 200 && path.split(".").every((name) => NAME.test(name));
}

/** The line as a sentence: its message, and the other values of its first level, but for the columns. */
export function sentenceOf(line: JsonLine, columns: readonly string[] = []): { message: string; rest: string } {
  const key = MESSAGE_KEYS.find((one) => typeof line[one] === "string");
  const others = Object.entries(line).filter(([name]) => name !== key && !ASIDE.has(name) && !columns.includes(name));
  const rest = others.map(([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`);
  return { message: key === undefined ? "" : String(line[key]), rest: rest.join(" ") };
}

/** All values of a line, each after what it is in; bounded. */
export function leavesOf(line: JsonLine): Leaf[] {
  const found: Leaf[] = [];
  const walk = (value: object, path: string | null, depth: number): void => {
    for (const [name, one] of Object.entries(value) as [string, unknown][]) {
      if (found.length >= MOST_LEAVES) return;
      const isNamed = !Array.isArray(value) && NAME.test(name) && path !== null;
      const own = isNamed ? (path === "" ? name : `${path}.${name}`) : null;
      const isTree = typeof one === "object" && one !== null && Object.keys(one).length > 0 && depth < MOST_DEPTH;
      const text = isTree ? null : JSON.stringify(one);
      const term = own === null ? null : termOf(own, one);
      found.push({ path: own ?? name, depth, name, text, term, column: isTree ? null : own });
      if (isTree) walk(one, own, depth + 1);
    }
  };
  walk(line, "", 0);
  return found;
}

function termOf(path: string, value: unknown): string | null {
  if (typeof value === "number" || typeof value === "boolean") return `@${path}:${value}`;
  if (typeof value !== "string" || value === "" || value.length > 200 || /["\\\n\r\t]/.test(value)) return null;
  return `@${path}:"${value}"`;
}

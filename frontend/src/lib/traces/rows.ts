import type { TraceSpan } from "../api/traces";

/** Spans of the same name in a row that are shown; the others are folded. */
const SAME = 3;
const DEEPEST = 8;

export interface SpanRow {
  span: TraceSpan;
  depth: number;
}

/** Rows that are folded into one line. */
export interface FoldedRow {
  folded: SpanRow[];
  depth: number;
}

export function isFolded(row: SpanRow | FoldedRow): row is FoldedRow {
  return "folded" in row;
}

/**
 * The spans as a tree, each below the one that it happened in. The application reports them, so ids may be missing, come
 * twice or form a circle.
 */
export function rowsOf(spans: readonly TraceSpan[]): SpanRow[] {
  const known = new Set(spans.map((span) => span.span_id));
  const below = new Map<string | null, TraceSpan[]>();
  for (const span of spans) {
    const hasParent = span.parent_id !== null && span.parent_id !== span.span_id && known.has(span.parent_id);
    const parent = hasParent ? span.parent_id : null;
    below.set(parent, [...(below.get(parent) ?? []), span]);
  }
  const rows: SpanRow[] = [];
  const seen = new Set<TraceSpan>();
  const stack = (below.get(null) ?? []).map((span) => ({ span, depth: 0 })).reverse();
  while (stack.length > 0) {
    const row = stack.pop();
    if (!row || seen.has(row.span)) continue;
    seen.add(row.span);
    rows.push(row);
    const children = (below.get(row.span.span_id) ?? []).filter((span) => !seen.has(span));
    for (const span of children.reverse()) stack.push({ span, depth: Math.min(row.depth + 1, DEEPEST) });
  }
  // What only leads back to itself.
  for (const span of spans) if (!seen.has(span)) rows.push({ span, depth: 0 });
  return rows;
}

/** The rows, with the later ones of many equal neighbours folded. */
export function fold(rows: readonly SpanRow[]): (SpanRow | FoldedRow)[] {
  const shown: (SpanRow | FoldedRow)[] = [];
  let at = 0;
  while (at < rows.length) {
    const first = rows[at];
    if (!first) break;
    let end = at + 1;
    while (rows[end]?.span.name === first.span.name && rows[end]?.depth === first.depth) end += 1;
    const isLong = end - at > SAME + 1;
    shown.push(...rows.slice(at, isLong ? at + SAME : end));
    if (isLong) shown.push({ folded: rows.slice(at + SAME, end), depth: first.depth });
    at = end;
  }
  return shown;
}

import type { PreviewClient } from "./client";
import { of } from "./transport";

export type SpanKind = "request" | "sql" | "call" | "cache" | "other";

/** A piece of work within a request, as the application has reported it. */
export interface TraceSpan {
  span_id: string;
  parent_id: string | null;
  kind: SpanKind;
  name: string;
  /** From the start of the trace. */
  offset_ms: number;
  duration_ms: number;
  /** A statement without its values, or an address. */
  detail: string;
  status: number | null;
  error: string | null;
  source: "launcher" | "otlp";
}

/** Why the request is probably slow. */
export interface TraceHint {
  kind: "repeated_statement" | "slow_statement" | "repeated_call";
  sentence: string;
  statement: string;
  count: number;
  duration_ms: number;
  span_ids: string[];
}

export interface TraceItem {
  trace_id: string;
  number: number;
  name: string;
  request_id: string | null;
  started_at: string;
  duration_ms: number;
  status: number | null;
  failed: boolean;
  span_count: number;
  sql_count: number;
  sql_ms: number;
  call_count: number;
  /** Spans of this trace that were not kept. */
  dropped: number;
  hints: TraceHint[];
}

export interface Trace extends TraceItem {
  spans: TraceSpan[];
}

interface TracePage {
  items: TraceItem[];
  next: number | null;
  tracing: boolean;
  dropped: number;
  removed: number;
}

/** The trace of a request; null if there is none, and whether requests are traced now. */
export async function findTrace(
  client: PreviewClient,
  generationId: string,
  request: { id: string; previewId: string },
  signal?: AbortSignal,
): Promise<{ trace: Trace | null; tracing: boolean }> {
  const options = signal ? { signal } : {};
  const preview = `preview_id=${encodeURIComponent(request.previewId)}`;
  const query = `${preview}&limit=1&request_id=${encodeURIComponent(request.id)}`;
  const page = await client.json<TracePage>(of(generationId, `/preview/traces?${query}`), options);
  const found = page.items[0];
  if (!found) return { trace: null, tracing: page.tracing };
  const address = of(generationId, `/preview/traces/${found.trace_id}?${preview}`);
  return { trace: await client.json<Trace>(address, options), tracing: page.tracing };
}

import type { PreviewClient } from "./client";
import { of } from "./transport";

/** Measurements of one interval; null where nothing was measured. */
export interface MetricsPoint {
  offset_s: number;
  requests: number;
  errors: number;
  p50_ms: number | null;
  p95_ms: number | null;
  p99_ms: number | null;
  memory_mb: number | null;
  cpu_percent: number | null;
}

export interface EndpointMetrics {
  endpoint: string;
  calls: number;
  errors: number;
  p50_ms: number | null;
  p95_ms: number | null;
  slowest_ms: number;
}

export interface Metrics {
  preview_id: string;
  started_at: string;
  interval_s: number;
  memory_limit_mb: number;
  cpu_limit_percent: number;
  points: MetricsPoint[];
  endpoints: EndpointMetrics[];
  findings: string[];
  /** Whether the launch is still live. */
  is_live: boolean;
}

/** Measurements of the newest launch, or of an earlier one. */
export function metricsOf(
  client: PreviewClient,
  generationId: string,
  signal: AbortSignal,
  launch?: string,
): Promise<Metrics> {
  const query = launch === undefined ? "" : `?preview_id=${encodeURIComponent(launch)}`;
  return client.json(of(generationId, `/preview/metrics${query}`), { signal });
}

/** The newest value of a series, as the program has reported it by OpenTelemetry. */
export interface ReportedSeries {
  name: string;
  unit: string;
  kind: "gauge" | "sum" | "counter" | "histogram" | "summary";
  attributes: Record<string, string>;
  /** Null for a histogram or summary, which has a count. */
  value: number | null;
  count: number | null;
  sum: number | null;
  max: number | null;
}

interface ReportedMetrics {
  items: ReportedSeries[];
  /** Values are taken now. */
  receiving: boolean;
  dropped: number;
}

/** Metrics that the program of a launch has reported. */
export function reportedMetricsOf(
  client: PreviewClient,
  generationId: string,
  signal: AbortSignal,
  launch: string,
): Promise<ReportedMetrics> {
  const query = `?preview_id=${encodeURIComponent(launch)}`;
  return client.json(of(generationId, `/preview/metrics/reported${query}`), { signal });
}

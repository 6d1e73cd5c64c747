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

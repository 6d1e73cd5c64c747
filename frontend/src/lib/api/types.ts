/** What the service says, contract v1. */

export type PreviewState = "starting" | "running" | "stopping" | "stopped" | "failed";
export type Health = "unknown" | "healthy" | "unhealthy";
export type Level = "DEBUG" | "INFO" | "WARNING" | "ERROR";
export type Source = "subprocess" | "system";

/** A preview as its owner sees it. Times are RFC 3339. */
export interface PreviewInstance {
  id: string;
  generation_id: string;
  project_id: string;
  user_id: string;
  status: PreviewState;
  health: Health;
  port: number | null;
  base_url: string | null;
  created_at: string;
  started_at: string | null;
  stopped_at: string | null;
  expires_at: string;
  reason: string | null;
  exit_code: number | null;
  exit_signal: number | null;
  /** Open log streams; only where one preview is asked for. */
  watchers?: number;
}

/** Answer to a launch: the only one that carries the preview token. */
export interface Launched {
  id: string;
  generation_id: string;
  status: PreviewState;
  base_url: string | null;
  session_token: string;
  created_at: string;
}

export interface PreviewStatus {
  id: string;
  status: PreviewState;
  port: number | null;
  base_url: string | null;
  uptime_seconds: number;
  memory_usage_mb: number | null;
  cpu_usage_percent: number | null;
  health: Health;
  started_at: string | null;
  reason?: string | null;
  exit_code?: number | null;
  exit_signal?: number | null;
}

export interface PreviewConfig {
  port: number | null;
  base_url: string | null;
  session_timeout: number;
  max_uptime: number;
  memory_limit_mb: number;
  timeout_seconds: number;
}

export interface Generation {
  id: string;
  project_id: string;
  name: string;
  created_at: string;
  file_count: number;
  size_bytes: number;
}

/** An endpoint with everything that is known of it. */
export interface Endpoint {
  method: string;
  path: string;
  summary: string;
  description: string;
  tags: string[];
  query: Record<string, string>;
  body: unknown;
  response: unknown;
}

export interface ProxyRequest {
  method: string;
  path: string;
  query: Record<string, string | string[]>;
  headers: Record<string, string>;
  body: unknown;
}

export interface ProxyResponse {
  status_code: number;
  headers: Record<string, string | string[]>;
  body: string;
  elapsed_ms: number;
  encoding?: "base64";
}

/** One line of a preview's log. */
export interface LogLine {
  seq: number;
  timestamp: string;
  level: Level;
  source: Source;
  message: string;
}

export interface LogPage {
  lines: LogLine[];
  /** Number of the oldest line that is still kept; 0 where there is none. */
  first_kept: number;
}

export interface Session {
  user_id: string;
  tier: string | null;
  expires_at: string | null;
}

/** A change of a preview's state, as the stream tells it. */
export interface StatusEvent {
  id: string;
  status: PreviewState;
  health: Health;
  reason: string | null;
  timestamp: string;
}

/** The end of a preview, as the stream tells it. */
export interface EndEvent {
  id: string;
  status: PreviewState;
  reason: string | null;
  exit_code: number | null;
  exit_signal: number | null;
  timestamp: string;
}

/** Lines that are gone. */
export interface GapEvent {
  first: number;
  last: number;
  reason: string;
}

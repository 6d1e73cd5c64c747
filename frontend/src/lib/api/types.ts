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
  /** Null while it lives, and where it failed. */
  cause?: StopCause | null;
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

/** A change of a generation's files, which is kept, and what became of its preview. */
export interface FilesChanged {
  /** Number of the newest version of the files. */
  version: number;
  changed: string[];
  removed: string[];
  reload: {
    /** `failed`: the process from before serves on. `none`: nothing runs, or nothing has changed. */
    status: "reloaded" | "failed" | "none";
    elapsed_ms: number;
    error: { code: string; detail: string } | null;
  };
}

/** What holds a preview in. */
export interface Isolation {
  runtime: string;
  network: "none" | "loopback-only" | "host";
  /** What holds, a few words each. */
  holds: readonly string[];
}

/** What a preview may use; null: nothing holds it to that. */
export interface Limits {
  memory_mb: number;
  cpu_cores: number | null;
  processes: number | null;
  open_files: number;
  disk_mb: number;
  file_bytes: number;
  temp_bytes: number | null;
  output_bytes_per_s: number;
}

/** A limit that a preview was held to, or ended by. */
export interface ReachedLimit {
  limit: "memory" | "cpu" | "processes" | "disk" | "output";
  message: string;
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
  /** Null where it is not known any more. */
  isolation?: Isolation | null;
  limits?: Limits | null;
  reached?: readonly ReachedLimit[];
  /** The last run of the checks, such as "12 ok, 1 broke since reload 7"; null if there was none. */
  checks?: string | null;
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

/** Best evidence of an endpoint: the source files, the OpenAPI document or the application's own route table. */
export type EndpointSource = "static" | "openapi" | "application";

/** A generation's endpoints, and what may be missing. */
/** A path that takes WebSockets. */
export interface ListedSocket {
  path: string;
  summary: string;
  protocol: "websocket" | "socket.io";
  file: string | null;
  line: number | null;
}

export interface EndpointListing {
  endpoints: Endpoint[];
  /** WebSockets that were found in the source. */
  sockets: ListedSocket[];
  /** False if there may be more endpoints. */
  complete: boolean;
  /** A sentence for each part that could not be read. */
  unread: string[];
}

/** What a service says, of any version. */
export interface ToldListing {
  endpoints: Partial<Endpoint>[];
  sockets?: ListedSocket[];
  complete?: boolean;
  unread?: string[];
}

export interface PlanEndpoint {
  method: string;
  path: string;
  description?: string;
  requestSchema?: { query?: Record<string, string> };
  requestBody?: unknown;
  responseSchema?: unknown;
}

/** A parameter, as the OpenAPI document of the running preview describes it. */
export interface EndpointParameter {
  name: string;
  location: "path" | "query" | "header" | "cookie";
  type: string;
  required: boolean;
  default: string | number | boolean | null;
  choices: (string | number | boolean)[];
  sample: string | number | boolean | null;
  description: string;
}

/** A content type that an endpoint accepts, with a body that its schema accepts. */
export interface EndpointBody {
  content_type: string;
  sample: unknown;
  /** Fields of a form that are files. */
  files: string[];
  required: boolean;
}

export interface EndpointCredential {
  scheme: string;
  kind: "bearer" | "basic" | "key" | "other";
  location: "header" | "query" | "cookie" | "";
  name: string;
}

/** An endpoint with everything that is known of it. */
export interface Endpoint {
  /** The source file and the line in it. */
  file?: string | null;
  line?: number | null;
  parameters?: EndpointParameter[];
  bodies?: EndpointBody[];
  credentials?: EndpointCredential[];
  method: string;
  path: string;
  summary: string;
  description: string;
  tags: string[];
  query: Record<string, string>;
  body: unknown;
  response: unknown;
  source: EndpointSource;
}

export interface ProxyRequest {
  method: string;
  path: string;
  query: Record<string, string | string[]>;
  headers: Record<string, string>;
  body: unknown;
  /** `base64`: the body is text in base64, and its bytes are sent. */
  encoding?: "base64";
}

export interface ProxyResponse {
  status_code: number;
  headers: Record<string, string | string[]>;
  body: string;
  elapsed_ms: number;
  encoding?: "base64";
  /** What the preview got as `X-Request-Id`; lines of its log carry it where it is known. */
  request_id?: string;
  /** Lines that were said while the request was under way, its own or others'. */
  log?: { first_seq: number; last_seq: number } | null;
  /** Why this is only the beginning of the response; absent or null for all of it. */
  cut?: string | null;
}

/** What the service makes of a log to be saved. */
export type ExportFormat = "text" | "jsonl" | "csv";

/** Which lines of a log, in the service's words. */
export interface LogChoice {
  /** At least so severe. */
  level?: Level;
  source?: Source;
  /** In the filter language. */
  filter?: string;
}

/** One line of a preview's log. */
export interface LogLine {
  seq: number;
  timestamp: string;
  level: Level;
  source: Source;
  message: string;
  /** Of the request that it was printed for, where that is known. */
  request_id?: string;
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

/** A step of a launch, as the service tells it. */
export interface ToldStep {
  /** `files`, `environment`, `process`, `answers`, or a step of the project's own, such as `migrations`. */
  name: string;
  state: "waiting" | "running" | "done" | "failed" | "stopped";
  started_at: string | null;
  elapsed_ms: number | null;
  /** A few words for people. */
  detail: string | null;
  /** Whether it took over what an earlier launch had made. */
  reused: boolean;
  /** The first request to the application, and its answer; of the step `answers` alone. */
  answer?: { path: string; status: number };
}

/** Why a preview was stopped. */
export type StopCause = "user" | "expired" | "inactive" | "shutdown";

/** A change of a preview's state or of its launch's steps, as the stream tells it. */
export interface StatusEvent {
  id: string;
  status: PreviewState;
  health: Health;
  reason: string | null;
  timestamp: string;
  steps?: readonly ToldStep[];
  /** How often a new process has taken over since the launch. */
  restarts?: number;
}

/** The end of a preview, as the stream tells it. */
export interface EndEvent {
  id: string;
  status: PreviewState;
  reason: string | null;
  exit_code: number | null;
  exit_signal: number | null;
  timestamp: string;
  /** Null where it failed. */
  cause?: StopCause | null;
  steps?: readonly ToldStep[];
}

/** Lines that are gone. */
export interface GapEvent {
  first: number;
  last: number;
  reason: string;
}

/** A link that opens a preview in this browser, once. */
export interface OpenLink {
  url: string;
  /** Where it leads, without the code. */
  address: string;
  expires_in: number;
}

/** A link to pass on. */
export interface ShareLink {
  id: string;
  url: string;
  /** `open`: the preview itself; `watch` and `use`: its page, to read, or also to send requests and comment. */
  role: "open" | "watch" | "use";
  /** Whether it admits nobody further, because a guest of it was removed. */
  closed?: boolean;
  created_at: string;
  expires_at: string;
}

/** Who may look at a preview in a browser, beside its owner. */
export interface PreviewAccess {
  address: string;
  public: boolean;
  shares: ShareLink[];
}

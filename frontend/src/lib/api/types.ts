/**
 * What the service says, contract v1: its own schemas, as the OpenAPI document has them. A field that a service changes
 * is a compile error here. Fields are optional where a service before this version leaves them out.
 */

import type { components } from "../../client/schema";

type Schemas = components["schemas"];
/** A type in which some fields may be missing. */
type Older<T, Fields extends keyof T> = Omit<T, Fields> & Partial<Pick<T, Fields>>;

export type PreviewState = Schemas["Status"]["status"];
export type Health = Schemas["Status"]["health"];
export type Level = Schemas["Line"]["level"];
export type Source = Schemas["Line"]["source"];
/** Why a preview was stopped. */
export type StopCause = NonNullable<Schemas["Instance"]["cause"]>;

/** A preview as its owner sees it. Times are RFC 3339. */
export type PreviewInstance = Older<Schemas["Instance"], "cause"> &
  Partial<Pick<Schemas["WatchedInstance"], "watchers">>;

/** Answer to a launch: the only one that carries the preview token. */
export type Launched = Pick<
  Schemas["Launched"],
  "id" | "generation_id" | "status" | "base_url" | "session_token" | "created_at"
>;

/** A change of a generation's files, which is kept, and what became of its preview. */
export type FilesChanged = Schemas["FilesChanged"];

/** What holds a preview in. */
export type Isolation = Schemas["Isolation"];

/** What a preview may use; null: nothing holds it to that. */
export type Limits = Schemas["LimitsShape"];

/** A limit that a preview was held to, or ended by. */
export type ReachedLimit = Schemas["ReachedLimit"];

export type PreviewStatus = Older<
  Omit<Schemas["Status"], "steps">,
  "isolation" | "limits" | "reached" | "checks" | "crash"
>;

export type PreviewConfig = Schemas["Config"];

export type Generation = Pick<Schemas["GenerationShape"], "id" | "project_id" | "name" | "created_at"> & {
  file_count: number;
  size_bytes: number;
  /** A service before groups leaves it out. */
  group?: string;
  /** Address of the repository that it was imported from; a service before imports leaves it out. */
  origin?: string;
};

/** Best evidence of an endpoint: the source files, the OpenAPI document or the application's own route table. */
export type EndpointSource = Schemas["ListedEndpoint"]["source"];

/** A path that takes WebSockets. */
export type ListedSocket = Schemas["ListedSocket"];

/** A generation's endpoints, and what may be missing. */
export type EndpointListing = Omit<Schemas["Endpoints"], "endpoints" | "count"> & { endpoints: Endpoint[] };

/** What a service says, of any version. */
export type ToldListing = Partial<Omit<EndpointListing, "endpoints">> & { endpoints: Partial<Endpoint>[] };

export interface PlanEndpoint {
  method: string;
  path: string;
  description?: string;
  requestSchema?: { query?: Record<string, string> };
  requestBody?: unknown;
  responseSchema?: unknown;
}

/** A parameter, as the OpenAPI document of the running preview describes it. */
export type EndpointParameter = Schemas["EndpointParameter"];

/** A content type that an endpoint accepts, with a body that its schema accepts. */
export type EndpointBody = Schemas["EndpointBody"];

export type EndpointCredential = Schemas["EndpointCredential"];

/** An endpoint with everything that is known of it. Its parameters and body are in one form, whichever contract told it. */
export type Endpoint = Older<
  Omit<Schemas["ListedEndpoint"], "summary" | "description">,
  "file" | "line" | "parameters" | "bodies" | "credentials"
> & {
  summary: string;
  description: string;
  query: Record<string, string>;
  body: unknown;
  response: unknown;
};

/** A request as somebody writes it: the method may be one that the service refuses. */
export type ProxyRequest = Pick<Schemas["V1EnvelopeBody"], "path"> & {
  method: string;
  query: Record<string, string | string[]>;
  headers: Record<string, string>;
  body: unknown;
  /** `base64`: the body is text in base64, and its bytes are sent. */
  encoding?: "base64";
  /** Whether the service puts the values of variables in. */
  resolve?: boolean;
};

export type ProxyResponse = Older<Schemas["Proxied"], "request_id" | "log"> & {
  /** Why this is only the beginning of the response; absent or null for all of it. */
  cut?: string | null;
};

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
export type LogLine = Schemas["Line"];

export type LogPage = Schemas["LogPage"];

export type Session = Older<Schemas["Session"], never>;

/** A step of a launch, as the service tells it. */
export type ToldStep = Schemas["LaunchStepShape"];

/** A change of a preview's state or of its launch's steps, as the stream tells it. */
export type StatusEvent = Older<Omit<Schemas["StatusEvent"], "type">, "steps" | "restarts" | "crashes">;

/** The end of a preview, as the stream tells it. */
export type EndEvent = Older<Omit<Schemas["EndEvent"], "type">, "steps" | "cause">;

/** Lines that are gone. */
export type GapEvent = Omit<Schemas["GapEvent"], "type">;

/** A link that opens a preview in this browser, once. */
export type OpenLink = Schemas["OpenLinkShape"];

/** A link to pass on. */
export type ShareLink = Older<Schemas["ShareShape"], "closed">;

/** Who may look at a preview in a browser, beside its owner. */
export type PreviewAccess = Omit<Schemas["AccessShape"], "shares"> & { shares: ShareLink[] };

/** A client of a preview service, for Node and browsers. */
export { Client, type LaunchOptions } from "./client.js";
export { ClientError, InvalidAnswer, InvalidUpload, PreviewProblem, type ProblemCode, Unreachable } from "./errors.js";
export type { Call, ClientOptions } from "./http.js";
export type { Level, LogEvent, LogOptions } from "./logStream.js";
export { Answer, type Files, type LineOptions, Preview, type SendOptions, type StartOptions } from "./preview.js";
export type * as schema from "./schema.js";

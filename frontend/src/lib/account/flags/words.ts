/** A flag's heading, and what it decides. */
export const FLAG_WORDS: Readonly<Record<string, readonly [title: string, about: string]>> = {
  launches: ["Launches", "Whether users may launch previews."],
  isolation: ["Isolation", "How a preview is isolated from the rest of the machine."],
  warm: ["Start", "Warm: from a process that has already imported the packages. Cold: a new process."],
  tracing: ["Tracing", "Whether SQL statements and outgoing requests are traced."],
  capture: ["Recorded requests", "How much of each request is recorded: nothing, no bodies (meta), or everything."],
  contract: ["API", "Which contracts of the HTTP API may be used: both (plan and v1), or only v1."],
};

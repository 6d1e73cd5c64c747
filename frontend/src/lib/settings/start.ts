import type { EnvironmentChange, SettingsLayer } from "../api/settings";

/** Start options as a form has them; an empty text leaves the decision to detection. */
export interface StartFields {
  app: string;
  command: string;
  framework: string;
  network: string;
  directory: string;
  health: string;
  memory: string;
  /** Whether spans of requests are recorded. */
  trace: boolean;
  /** Whether the process is started again after a crash. */
  restarts: boolean;
}

export const FRAMEWORKS = ["fastapi", "starlette", "flask", "django", "express", "node"] as const;
const KEYS = ["app", "command", "framework", "network", "directory", "health"] as const;

/** An option that a person wants to set to what detection has decided. A new object for each click. */
export interface WantedOption {
  key: (typeof KEYS)[number];
  value: string;
}

export function isOption(kind: string): kind is WantedOption["key"] {
  return KEYS.some((one) => one === kind);
}

/** The fields with a wanted option; an application and a command exclude each other. */
export function withWanted(fields: StartFields, { key, value }: WantedOption): StartFields {
  return {
    ...fields,
    ...(key === "app" && { command: "" }),
    ...(key === "command" && { app: "" }),
    [key]: value,
  };
}

export function fieldsOf({ start, memory_mb }: SettingsLayer): StartFields {
  return {
    app: text(start["app"]),
    command: text(start["command"]),
    framework: text(start["framework"]),
    network: text(start["network"]),
    directory: text(start["directory"]),
    health: text(start["health"]),
    memory: memory_mb === null ? "" : String(memory_mb),
    trace: start["trace"] === true,
    restarts: start["on_crash"] === "restart",
  };
}

/** What saves the fields. Options that the form does not have stay. */
export function changeOf(fields: StartFields, layer: SettingsLayer): EnvironmentChange {
  const own = ["trace", "on_crash", ...KEYS];
  const kept = Object.entries(layer.start).filter(([key]) => !own.includes(key));
  const given = KEYS.flatMap((key) => {
    const value = fields[key].trim();
    // A command that was stored as words stays so if nobody changed it.
    return value === "" ? [] : [[key, value === text(layer.start[key]) ? layer.start[key] : value] as const];
  });
  const isKept = fields.trace === (layer.start["trace"] === true) && "trace" in layer.start;
  const trace = isKept || fields.trace ? [["trace", fields.trace] as const] : [];
  const isSaid = fields.restarts || "on_crash" in layer.start;
  const onCrash = isSaid ? [["on_crash", fields.restarts ? "restart" : "stay"] as const] : [];
  const start = Object.fromEntries([...kept, ...given, ...trace, ...onCrash]);
  return { start, memory_mb: Number(fields.memory) || 0 };
}

export function isSame(a: StartFields, b: StartFields): boolean {
  const isSwitchedSame = a.trace === b.trace && a.restarts === b.restarts;
  return a.memory === b.memory && isSwitchedSame && KEYS.every((key) => a[key].trim() === b[key].trim());
}

function text(value: unknown): string {
  if (Array.isArray(value)) return value.map(String).join(" ");
  return typeof value === "string" ? value : "";
}

import type { AlertDraft, AlertRule, Condition, PreviewEvent, Subject } from "../api/alerts";

/** The fields of the form, as texts. Those that a kind does not have keep what was written. */
export interface Fields {
  name: string;
  kind: Condition["kind"];
  filter: string;
  on: Subject;
  count: string;
  seconds: string;
  event: PreviewEvent;
  exitCode: string;
  percent: string;
  atLeast: string;
  scope: "generation" | "all" | "project";
  cooldown: string;
  url: string;
  secret: string;
}

const NEW: Omit<Fields, "scope"> = {
  name: "",
  kind: "matches",
  filter: "error",
  on: "lines",
  count: "1",
  seconds: "60",
  event: "failed",
  exitCode: "",
  percent: "50",
  atLeast: "10",
  cooldown: "60",
  url: "",
  secret: "",
};

/** The fields of a rule; of a new one for null. */
export function fieldsOf(rule: AlertRule | null, generationId: string): Fields {
  if (rule === null) return { ...NEW, scope: "generation" };
  const { condition, scope } = rule;
  return {
    ...NEW,
    name: rule.name === rule.summary ? "" : rule.name,
    scope: scope.generation_id === generationId ? "generation" : isAll(rule) ? "all" : "project",
    cooldown: String(rule.cooldown_s),
    url: rule.webhook?.url ?? "",
    kind: condition.kind,
    ...fieldsOfCondition(condition),
  };
}

function isAll({ scope }: AlertRule): boolean {
  return scope.generation_id === null && scope.project_id === null;
}

function fieldsOfCondition(condition: Condition): Partial<Fields> {
  switch (condition.kind) {
    case "matches":
      return { filter: condition.filter, on: condition.on, count: String(condition.count), seconds: String(condition.within_s) }; // prettier-ignore
    case "absent":
      return { filter: condition.filter, on: condition.on, seconds: String(condition.for_s) };
    case "event":
      return { event: condition.event, exitCode: condition.exit_code === null ? "" : String(condition.exit_code) };
    case "error_rate":
      return {
        percent: String(Math.round(condition.share * 100)),
        seconds: String(condition.within_s),
        atLeast: String(condition.at_least),
      };
    case "memory":
      return { percent: String(Math.round(condition.share * 100)) };
  }
}

/** The condition that the fields say. */
export function conditionOf(fields: Fields): Condition {
  const seconds = Number(fields.seconds);
  const share = Number(fields.percent) / 100;
  switch (fields.kind) {
    case "matches":
      return { kind: "matches", filter: fields.filter, on: fields.on, count: Number(fields.count), within_s: seconds };
    case "absent":
      return { kind: "absent", filter: fields.filter, on: fields.on, for_s: seconds };
    case "event": {
      const hasCode = fields.event === "exited" && fields.exitCode !== "";
      return { kind: "event", event: fields.event, exit_code: hasCode ? Number(fields.exitCode) : null };
    }
    case "error_rate":
      return { kind: "error_rate", share, within_s: seconds, at_least: Number(fields.atLeast) };
    case "memory":
      return { kind: "memory", share };
  }
}

/** The rule that the fields say. `before` is the one that they replace. */
export function draftOf(fields: Fields, generationId: string, before: AlertRule | null): AlertDraft {
  const { url, secret } = fields;
  const isSame = before?.webhook?.url === url;
  const projectId = before?.scope.project_id;
  const otherId = before?.scope.generation_id;
  const webhook =
    url === "" ? null : { url, ...(isSame && { body: before.webhook?.body }), ...(secret !== "" && { secret }) };
  return {
    name: fields.name.trim(),
    condition: conditionOf(fields),
    scope:
      fields.scope === "generation"
        ? { generation_id: generationId }
        : fields.scope === "all"
          ? {}
          : { ...(projectId && { project_id: projectId }), ...(otherId && { generation_id: otherId }) },
    cooldown_s: Number(fields.cooldown),
    enabled: before?.enabled ?? true,
    webhook,
  };
}

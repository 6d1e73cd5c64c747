import { type ReactNode, type SubmitEvent, useState } from "react";

import { addAlert, type AlertRule, type AlertTrial, replaceAlert, tryAlert } from "../api/alerts";
import type { PreviewClient } from "../api/client";
import { useTranslate } from "../texts/translate";
import { Button } from "../ui/controls";
import controls from "../ui/controls.module.css";
import { News } from "../ui/News";
import panel from "../ui/panel.module.css";
import { useAction } from "../ui/useAction";
import { visible } from "../ui/visible";
import { ConditionFields } from "./ConditionFields";
import { conditionOf, draftOf, type Fields, fieldsOf } from "./fields";
import { TrialResult } from "./TrialResult";

interface RuleFormProps {
  client: PreviewClient;
  generationId: string;
  /** What people call the project. */
  name: string;
  /** The rule that is edited; null for a new one. */
  rule: AlertRule | null;
  hasPreview: boolean;
  onShow: (seq: number) => void;
  onDone: (id: string | null) => void;
}

/** A rule being written, with what it would have matched. */
export function RuleForm(props: RuleFormProps): ReactNode {
  const t = useTranslate();
  const { client, generationId, rule } = props;
  const [fields, setFields] = useState(() => fieldsOf(rule, generationId));
  const [trial, setTrial] = useState<AlertTrial | null>(null);
  const action = useAction();
  const set = (change: Partial<Fields>): void => setFields({ ...fields, ...change });
  const submit = (event: SubmitEvent): void => {
    event.preventDefault();
    void action.run(t("Saving…"), async () => {
      const draft = draftOf(fields, generationId, rule);
      const saved = await (rule ? replaceAlert(client, rule.id, draft) : addAlert(client, draft));
      props.onDone(saved.id);
      return undefined;
    });
  };
  const attempt = (): void =>
    void action.run(t("Searching the stored lines…"), async () => {
      setTrial(null);
      setTrial(await tryAlert(client, generationId, conditionOf(fields), Number(fields.cooldown)));
      return undefined;
    });
  const canTry = props.hasPreview && (fields.kind === "matches" || fields.kind === "absent") && fields.on === "lines";
  return (
    <div className={panel.scroll}>
      <div className={panel.bar}>
        <Button small icon="left" onClick={() => props.onDone(rule?.id ?? null)}>
          {t("Alerts")}
        </Button>
        <h3>{rule ? t("Edit {name}", { name: visible(rule.name) }) : t("A new rule")}</h3>
      </div>
      <form className={panel.form} aria-label={t("Alert rule")} onSubmit={submit}>
        <label>
          {t("Name (optional)")}
          <input
            className={controls.field}
            autoFocus
            maxLength={100}
            value={fields.name}
            onChange={(event) => set({ name: event.target.value })}
          />
        </label>
        <ConditionFields fields={fields} onFields={set} />
        <div className={panel.pair}>
          <label>
            {t("Applies to")}
            <select
              className={controls.field}
              value={fields.scope}
              onChange={(event) => set({ scope: event.target.value as Fields["scope"] })}
            >
              <option value="generation">{visible(props.name)}</option>
              <option value="all">{t("all of my previews")}</option>
              {fields.scope === "project" && <option value="project">{t("its project (unchanged)")}</option>}
            </select>
          </label>
          <label>
            {t("Cool-down (seconds)")}
            <input
              className={controls.field}
              type="number"
              min={1}
              max={86_400}
              required
              value={fields.cooldown}
              onChange={(event) => set({ cooldown: event.target.value })}
            />
          </label>
        </div>
        <label>
          {t("Webhook (optional)")}
          <input
            className={controls.field}
            type="url"
            placeholder="https://…"
            value={fields.url}
            onChange={(event) => set({ url: event.target.value })}
          />
        </label>
        {fields.url !== "" && (
          <label>
            {rule?.webhook?.has_secret ? t("Secret (empty: keep the current one)") : t("Signing secret (optional)")}
            <input
              className={controls.field}
              type="password"
              autoComplete="off"
              value={fields.secret}
              onChange={(event) => set({ secret: event.target.value })}
            />
          </label>
        )}
        <div className={panel.wrap}>
          <Button kind="primary" type="submit" disabled={action.busy !== null}>
            {rule ? t("Save") : t("Add the rule")}
          </Button>
          <Button disabled={!canTry || action.busy !== null} onClick={attempt}>
            {t("Try it on this preview")}
          </Button>
        </div>
      </form>
      <News action={action} />
      {trial && <TrialResult trial={trial} onShow={props.onShow} />}
    </div>
  );
}

import { type ReactNode, useState } from "react";

import { type AlertRule, draftOfRule, listFirings, removeAlert, replaceAlert, testAlert } from "../api/alerts";
import type { PreviewClient } from "../api/client";
import { useTranslate } from "../texts/translate";
import { Button, Notice } from "../ui/controls";
import { Ask } from "../ui/Dialog";
import { duration } from "../ui/format";
import { News } from "../ui/News";
import panel from "../ui/panel.module.css";
import { useAction } from "../ui/useAction";
import { useLoad } from "../ui/useLoad";
import { visible } from "../ui/visible";
import styles from "./alerts.module.css";
import { Firings, type Links } from "./Firings";
import { scopeWords, State } from "./RuleList";

interface RuleViewProps {
  client: PreviewClient;
  generationId: string;
  rule: AlertRule;
  /** Another one when something has fired. */
  version: string;
  links: Links;
  onBack: () => void;
  onEdit: () => void;
  /** The rule, or the list of rules, has changed. */
  onChanged: () => void;
}

/** One rule: what it watches, its state, and its firings. */
export function RuleView(props: RuleViewProps): ReactNode {
  const t = useTranslate();
  const { client, rule, links, onBack, onEdit, onChanged } = props;
  const action = useAction();
  const [isAsking, ask] = useState(false);
  const firings = useLoad(rule.id, (signal) => listFirings(client, rule.id, null, signal), props.version);
  const isBusy = action.busy !== null;
  const test = (): void =>
    void action.run(t("Sending a test…"), async () => {
      const { delivery } = await testAlert(client, rule.id);
      firings.refresh();
      if (delivery.state === "none") return t("A test was added to the firings. The rule has no webhook.");
      if (delivery.state === "delivered") return t("The webhook answered {status}.", { status: delivery.status ?? "" });
      return t("The webhook failed: {problem}", { problem: visible(delivery.problem ?? t("no response")) });
    });
  const turn = (): void =>
    void action.run(rule.enabled ? t("Pausing…") : t("Resuming…"), async () => {
      await replaceAlert(client, rule.id, draftOfRule(rule, { enabled: !rule.enabled }));
      onChanged();
      return rule.enabled ? t("Off: it does not fire until you resume it.") : t("On: the rule can fire again.");
    });
  const remove = (): void =>
    void action.run(t("Deleting…"), async () => {
      await removeAlert(client, rule.id);
      onBack();
      return undefined;
    });
  return (
    <div className={panel.scroll}>
      <div className={panel.bar}>
        <Button small autoFocus icon="left" onClick={onBack}>
          {t("Alerts")}
        </Button>
        <h3 className={styles.name}>{visible(rule.name)}</h3>
        <State rule={rule} />
      </div>
      <dl className={panel.facts}>
        <dt>{t("Fires when")}</dt>
        <dd>{visible(rule.summary)}</dd>
        <dt>{t("Applies to")}</dt>
        <dd>{scopeWords(t, rule, props.generationId)}</dd>
        <dt>{t("Cool-down")}</dt>
        <dd>{duration(rule.cooldown_s)}</dd>
        <dt>{t("Webhook")}</dt>
        <dd>
          {rule.webhook
            ? `${visible(rule.webhook.url)} (${rule.webhook.has_secret ? t("signed") : t("not signed")})`
            : t("none")}
        </dd>
      </dl>
      {rule.problem && (
        <div className={panel.pad}>
          <Notice tone="bad">{visible(rule.problem)}</Notice>
        </div>
      )}
      <div className={panel.actions}>
        <Button small icon="bell" disabled={isBusy} onClick={test}>
          {t("Test")}
        </Button>
        <Button small disabled={isBusy} onClick={onEdit}>
          {t("Edit…")}
        </Button>
        <Button small icon={rule.enabled ? "stop" : "play"} disabled={isBusy} onClick={turn}>
          {rule.enabled ? t("Pause") : t("Resume")}
        </Button>
        <Button small kind="danger" icon="clear" disabled={isBusy} onClick={() => ask(true)}>
          {t("Delete…")}
        </Button>
      </div>
      <News action={action} />
      <section className={panel.section} aria-label={t("Firings of the rule")}>
        <h4>{t("Fired")}</h4>
        {firings.value ? (
          <Firings page={firings.value} links={links} />
        ) : (
          <p className={panel.hint}>{firings.problem?.message ?? t("Loading…")}</p>
        )}
      </section>
      {isAsking && (
        <Ask
          title={t("Delete “{name}”?", { name: visible(rule.name) })}
          action={t("Delete")}
          onYes={remove}
          onClose={() => ask(false)}
        >
          <p>{t("The rule and its firings are deleted. You cannot undo this.")}</p>
        </Ask>
      )}
    </div>
  );
}

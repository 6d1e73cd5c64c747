import { type ReactNode, useState } from "react";

import type { AlertRule, FiringPage } from "../api/alerts";
import { useTranslate, type Translate } from "../texts/translate";
import { Button, IconButton, Notice } from "../ui/controls";
import panel from "../ui/panel.module.css";
import type { Loaded } from "../ui/useLoad";
import { visible } from "../ui/visible";
import styles from "./alerts.module.css";
import { Firings, type Links } from "./Firings";

const MOST_RULES = 500;
/** Firings above the rules, until the person wants to see more of them. */
const FEW_FIRINGS = 3;

interface RuleListProps {
  generationId: string;
  rules: Loaded<AlertRule[]>;
  firings: Loaded<FiringPage>;
  links: Links;
  /** False if there never was a preview of this generation. */
  hasPreview: boolean;
  /** The rule that was open last: it has the focus. */
  last: string | null;
  onRefresh: () => void;
  onAdd: () => void;
  onOpen: (id: string) => void;
}

/** All rules with their state, and what fired for this preview. */
export function RuleList(props: RuleListProps): ReactNode {
  const t = useTranslate();
  const { rules, firings } = props;
  const problem = rules.problem ?? firings.problem;
  const [isWhole, setWhole] = useState(false);
  const page = firings.value;
  const shown = page && !isWhole ? { ...page, items: page.items.slice(0, FEW_FIRINGS), next: null } : page;
  const fired = (
    <section className={panel.section} aria-label={t("Alerts fired for this preview")}>
      <h4>{t("Fired for this preview")}</h4>
      {shown ? (
        <Firings page={shown} links={props.links} hasNames />
      ) : (
        <p className={panel.hint}>
          {props.hasPreview ? t("Loading…") : t("No alerts yet: this project has not been launched.")}
        </p>
      )}
      {page && shown !== page && (page.items.length > FEW_FIRINGS || page.next !== null) && (
        <div className={panel.pad}>
          <Button small onClick={() => setWhole(true)}>
            {page.next === null
              ? t("All {items}", { items: page.items.length })
              : t("The newest {items}", { items: page.items.length })}
          </Button>
        </div>
      )}
    </section>
  );
  const hasFired = page !== null && page.items.length > 0;
  return (
    <div className={panel.scroll}>
      <div className={panel.bar}>
        <h3>{t("Alerts")}</h3>
        <span className={panel.spring} />
        <Button small kind="primary" icon="plus" onClick={props.onAdd}>
          {t("Add a rule")}
        </Button>
        <IconButton icon="restart" label={t("Refresh")} onClick={props.onRefresh} />
      </div>
      {problem && (
        <div className={panel.pad}>
          <Notice tone="bad" role="alert">
            {problem.message}
          </Notice>
        </div>
      )}
      {!rules.value && !rules.problem && <p className={panel.none}>{t("Loading…")}</p>}
      {rules.value?.length === 0 && (
        <p className={panel.none}>
          {t(
            "There are no rules yet. A rule fires when lines or requests match a filter, when they are missing, or when the preview ends; it can call a webhook.",
          )}
        </p>
      )}
      {hasFired && fired}
      {hasFired && <h4 className={styles.heading}>{t("Rules")}</h4>}
      <ul className={panel.list}>
        {rules.value?.slice(0, MOST_RULES).map((rule) => (
          <li key={rule.id}>
            <button
              type="button"
              className={styles.rule}
              autoFocus={rule.id === props.last}
              onClick={() => props.onOpen(rule.id)}
            >
              <span className={styles.name}>{visible(rule.name)}</span>
              <State rule={rule} />
              <span className={styles.summary}>
                {rule.name !== rule.summary && `${visible(rule.summary)} · `}
                {scopeWords(t, rule, props.generationId)}
              </span>
            </button>
          </li>
        ))}
      </ul>
      {!hasFired && fired}
    </div>
  );
}

const TONES = { active: "good", off: undefined, paused: "warn" } as const;

export function State({ rule }: { rule: AlertRule }): ReactNode {
  const t = useTranslate();
  const pause = rule.problem ? visible(rule.problem) : t("Checking this rule took too long; it resumes in a minute");
  const title = rule.state === "paused" ? pause : undefined;
  return (
    <span className={panel.badge} data-tone={TONES[rule.state]} title={title}>
      {rule.state}
    </span>
  );
}

export function scopeWords(t: Translate, { scope }: AlertRule, generationId: string): string {
  if (scope.generation_id !== null)
    return scope.generation_id === generationId ? t("this project") : t("another project");
  return scope.project_id === null ? t("all my projects") : t("all versions of one project");
}

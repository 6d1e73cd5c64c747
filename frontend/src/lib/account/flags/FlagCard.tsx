import { type ReactNode, useState } from "react";

import type { PreviewClient } from "../../api/client";
import type { Flag, FlagContent, FlagRule } from "../../api/flags";
import { useTranslate } from "../../texts/translate";
import { Button, IconButton, Notice } from "../../ui/controls";
import controls from "../../ui/controls.module.css";
import { ago } from "../../ui/format";
import panel from "../../ui/panel.module.css";
import { visible } from "../../ui/visible";
import { CanaryView } from "./CanaryView";
import type { Change } from "./ChangeQuestion";
import styles from "./flags.module.css";
import { RuleDialog } from "./RuleDialog";
import { contentOf, isCompared, ruleWords } from "./rules";
import { FLAG_WORDS } from "./words";

interface FlagCardProps {
  client: PreviewClient;
  flag: Flag;
  isBusy: boolean;
  onAsk: (change: Change) => void;
}

/** One flag: its rules in order, the value of everyone else, and the comparison of its values. */
export function FlagCard({ client, flag, isBusy, onAsk }: FlagCardProps): ReactNode {
  const t = useTranslate();
  /** The place of the rule that is edited; the number of rules for a new one. */
  const [place, setPlace] = useState<number | null>(null);
  const [title, about] = FLAG_WORDS[flag.name] ?? [flag.name, ""];
  const isSet = flag.value !== null || flag.rules.length > 0;
  const ask = (content: FlagContent, question: string, action: string, kind: Change["kind"] = "primary"): void =>
    onAsk({ flag, content, title: question, action, kind });
  const withRules = (rules: FlagRule[]): FlagContent => ({ ...contentOf(flag), rules });
  const moveUp = (at: number): void => {
    const rules = [...flag.rules];
    rules.splice(at - 1, 2, ...rules.slice(at - 1, at + 1).reverse());
    ask(withRules(rules), "Move this rule up?", "Move");
  };
  return (
    <section className={styles.card} aria-label={title}>
      <div className={styles.head}>
        <h4>{title}</h4>
        <span className={panel.badge} data-tone={isSet ? "info" : undefined}>
          {isSet ? "changed" : "default"}
        </span>
        {flag.updated_at !== null && (
          <span className={styles.muted}>
            by {visible(flag.updated_by)}, {ago(t, flag.updated_at)}
          </span>
        )}
      </div>
      <p className={styles.muted}>{about}</p>
      {flag.problem && <Notice tone="warn">{flag.problem}</Notice>}
      {flag.rules.length > 0 && (
        <ol className={styles.rules} aria-label={`Rules of ${title}, the first match applies`}>
          {flag.rules.map((rule, at) => (
            <li key={at}>
              <span>{ruleWords(rule)}</span>
              {at > 0 && (
                <IconButton
                  icon="up"
                  label={`Move up: ${ruleWords(rule)}`}
                  disabled={isBusy}
                  onClick={() => moveUp(at)}
                />
              )}
              <IconButton
                icon="sliders"
                label={`Edit: ${ruleWords(rule)}`}
                disabled={isBusy}
                onClick={() => setPlace(at)}
              />
              <IconButton
                icon="clear"
                label={`Remove: ${ruleWords(rule)}`}
                disabled={isBusy}
                onClick={() =>
                  ask(withRules(flag.rules.filter((_, other) => other !== at)), "Remove this rule?", "Remove", "danger")
                }
              />
            </li>
          ))}
        </ol>
      )}
      <div className={styles.row}>
        <label className={styles.inline}>
          {flag.rules.length > 0 ? "Everyone else" : "Everyone"}
          <select
            className={controls.field}
            aria-label={`${title} for ${flag.rules.length > 0 ? "everyone else" : "everyone"}`}
            value={flag.value ?? ""}
            disabled={isBusy}
            onChange={(event) =>
              ask({ ...contentOf(flag), value: event.target.value || null }, `Change “${title}”?`, "Change")
            }
          >
            <option value="">{flag.default} (default)</option>
            {flag.values.map((one) => (
              <option key={one}>{one}</option>
            ))}
          </select>
        </label>
        <Button
          small
          icon="plus"
          disabled={isBusy || flag.values.length < 2}
          onClick={() => setPlace(flag.rules.length)}
        >
          Add a rule
        </Button>
        {isSet && (
          <Button
            small
            kind="danger"
            disabled={isBusy}
            onClick={() =>
              ask({ value: null, rules: [], reason: "" }, `Set “${title}” back to its default?`, "Reset", "danger")
            }
          >
            Reset
          </Button>
        )}
      </div>
      {Object.entries(flag.not_offered).map(([value, why]) => (
        <p key={value} className={styles.muted}>
          Not available: <code>{value}</code> ({visible(why)}).
        </p>
      ))}
      {isCompared(flag) && <CanaryView client={client} flag={flag} isBusy={isBusy} onAsk={onAsk} />}
      {place !== null && (
        <RuleDialog
          flag={flag}
          rule={flag.rules[place] ?? null}
          onClose={() => setPlace(null)}
          onDone={(rule) => {
            setPlace(null);
            const isNew = place >= flag.rules.length;
            // As in the command line, a new rule comes before the others.
            const rules = isNew ? [rule, ...flag.rules] : flag.rules.map((one, at) => (at === place ? rule : one));
            ask(withRules(rules), isNew ? "Add this rule?" : "Change this rule?", isNew ? "Add" : "Change");
          }}
        />
      )}
    </section>
  );
}

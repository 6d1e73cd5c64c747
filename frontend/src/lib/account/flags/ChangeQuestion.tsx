import { type ReactNode, useState } from "react";

import type { PreviewClient } from "../../api/client";
import { type Flag, type FlagContent, type FlagReach, flagReach } from "../../api/flags";
import { Notice } from "../../ui/controls";
import controls from "../../ui/controls.module.css";
import { Ask } from "../../ui/Dialog";
import { useLoad } from "../../ui/useLoad";
import { visible } from "../../ui/visible";
import styles from "./flags.module.css";
import { contentOf, flagWords } from "./rules";

/** A change that waits for a yes. */
export interface Change {
  flag: Flag;
  content: FlagContent;
  title: string;
  action: string;
  kind: "primary" | "danger";
  text?: string;
  /** A reason not to, which the operator may overrule. */
  warning?: string | null;
  /** Whether users whose launch is refused read a sentence of the operator. */
  withReason?: boolean;
}

interface ChangeQuestionProps {
  client: PreviewClient;
  change: Change;
  onClose: () => void;
  onYes: (content: FlagContent) => void;
}

const MOST_REASON = 300;

/** Asks before a flag changes: its rules before and after, and how many users get each value. */
export function ChangeQuestion({ client, change, onClose, onYes }: ChangeQuestionProps): ReactNode {
  const { flag, content } = change;
  const [reason, setReason] = useState(content.reason);
  const key = `${flag.name} ${JSON.stringify(content)}`;
  const reach = useLoad(key, async (signal) => ({
    before: await flagReach(client, flag.name, contentOf(flag), signal),
    after: await flagReach(client, flag.name, content, signal),
  }));
  const [before, after] = [flagWords(flag, contentOf(flag)), flagWords(flag, content)];
  return (
    <Ask
      title={change.title}
      action={change.action}
      kind={change.kind}
      onClose={onClose}
      onYes={() => onYes(change.withReason ? { ...content, reason: reason.trim() } : content)}
    >
      <div className={styles.question}>
        {change.text && <p>{change.text}</p>}
        {change.warning && <Notice tone="warn">{change.warning}</Notice>}
        <div className={styles.sides}>
          <Side title="Before" mark="−" words={before} others={after} />
          <Side title="After" mark="+" words={after} others={before} />
        </div>
        {reach.value && <Reach before={reach.value.before} after={reach.value.after} />}
        {reach.problem && <p className={styles.muted}>The users cannot be counted: {reach.problem.message}</p>}
        {!reach.value && !reach.problem && (
          <p className={styles.muted} role="status">
            Counting the users…
          </p>
        )}
        {change.withReason && (
          <label className={styles.field}>
            Reason shown to users (optional)
            <input
              className={controls.field}
              maxLength={MOST_REASON}
              placeholder="A disk is being replaced until noon."
              value={reason}
              onChange={(event) => setReason(event.target.value)}
            />
          </label>
        )}
      </div>
    </Ask>
  );
}

interface SideProps {
  title: string;
  mark: string;
  words: readonly string[];
  others: readonly string[];
}

/** One side of the change; what only this side has is marked, not by colour alone. */
function Side({ title, mark, words, others }: SideProps): ReactNode {
  return (
    <section aria-label={title}>
      <h4>{title}</h4>
      <ol className={styles.words}>
        {words.map((one, at) => {
          const isOwn = !others.includes(one);
          return (
            <li key={at} data-own={isOwn ? mark : undefined}>
              {one}
            </li>
          );
        })}
      </ol>
    </section>
  );
}

function Reach({ before, after }: { before: FlagReach; after: FlagReach }): ReactNode {
  const values = [...new Set([...Object.keys(before.by_value), ...Object.keys(after.by_value)])];
  const shown = values.filter((one) => (before.by_value[one] ?? 0) + (after.by_value[one] ?? 0) > 0);
  if (after.users === 0) return <p className={styles.muted}>The service has no users yet.</p>;
  return (
    <div role="group" aria-label="Affected users">
      <ul className={styles.reach}>
        {shown.map((one) => {
          const [was, is] = [before.by_value[one] ?? 0, after.by_value[one] ?? 0];
          return (
            <li key={one}>
              <strong>{visible(one)}</strong>: {was === is ? was : `${was} → ${is}`} of {users(after.users)}
            </li>
          );
        })}
      </ul>
      {!after.is_whole && <p className={styles.muted}>Only the newest users were counted.</p>}
    </div>
  );
}

const users = (number: number): string => (number === 1 ? "1 user" : `${number.toLocaleString("en")} users`);

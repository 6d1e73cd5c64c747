import { type ReactNode, useState } from "react";

import { TIERS } from "../../api/account";
import type { Flag, FlagRule } from "../../api/flags";
import { Button, Notice } from "../../ui/controls";
import controls from "../../ui/controls.module.css";
import { Dialog } from "../../ui/Dialog";
import panel from "../../ui/panel.module.css";
import styles from "./flags.module.css";
import { idsOf } from "./rules";

interface RuleDialogProps {
  flag: Flag;
  /** The rule that is edited; null for a new one. */
  rule: FlagRule | null;
  onClose: () => void;
  onDone: (rule: FlagRule) => void;
}

/** A rule being written; what it changes is asked afterwards. */
export function RuleDialog({ flag, rule, onClose, onDone }: RuleDialogProps): ReactNode {
  const [value, setValue] = useState(rule?.value ?? flag.values.find((one) => one !== flag.default) ?? "");
  const [users, setUsers] = useState(rule?.users.join(", ") ?? "");
  const [projects, setProjects] = useState(rule?.projects.join(", ") ?? "");
  const [tiers, setTiers] = useState<readonly string[]>(rule?.tiers ?? []);
  const [percent, setPercent] = useState(rule?.percent?.toString() ?? "");
  const [by, setBy] = useState<FlagRule["by"]>(rule?.by ?? "user");
  const made: FlagRule = {
    value,
    users: idsOf(users),
    tiers: TIERS.filter((one) => tiers.includes(one)),
    projects: idsOf(projects),
    percent: percent.trim() === "" ? null : Number(percent),
    by,
  };
  const isForAll = made.users.length + made.tiers.length + made.projects.length === 0 && made.percent === null;
  return (
    <Dialog title={rule ? "Edit the rule" : "Add a rule"} onClose={onClose}>
      <form
        className={styles.rule}
        onSubmit={(event) => {
          event.preventDefault();
          // Closed first, so that the focus returns before the next question takes it.
          event.currentTarget.closest("dialog")?.close();
          onDone(made);
        }}
      >
        <label className={styles.field}>
          Value
          <select className={controls.field} value={value} onChange={(event) => setValue(event.target.value)}>
            {flag.values.map((one) => (
              <option key={one}>{one}</option>
            ))}
          </select>
        </label>
        <fieldset className={styles.tiers}>
          <legend>Tiers</legend>
          {TIERS.map((one) => (
            <label key={one} className={panel.check}>
              <input
                type="checkbox"
                checked={tiers.includes(one)}
                onChange={(event) =>
                  setTiers(event.target.checked ? [...tiers, one] : tiers.filter((other) => other !== one))
                }
              />
              {one}
            </label>
          ))}
        </fieldset>
        <label className={styles.field}>
          Users
          <input
            className={controls.field}
            placeholder="ann, bob"
            value={users}
            onChange={(event) => setUsers(event.target.value)}
          />
        </label>
        <label className={styles.field}>
          Projects
          <input
            className={controls.field}
            placeholder="gen_…"
            value={projects}
            onChange={(event) => setProjects(event.target.value)}
          />
        </label>
        <div className={styles.share}>
          <label className={styles.field}>
            Percentage
            <input
              className={controls.field}
              type="number"
              min={0}
              max={100}
              step={0.01}
              placeholder="100"
              value={percent}
              onChange={(event) => setPercent(event.target.value)}
            />
          </label>
          <label className={styles.field}>
            Of all
            <select
              className={controls.field}
              value={by}
              disabled={made.percent === null}
              onChange={(event) => setBy(event.target.value as FlagRule["by"])}
            >
              <option value="user">users</option>
              <option value="project">projects</option>
            </select>
          </label>
        </div>
        <p className={styles.muted}>All conditions must hold. An empty field allows any user, tier or project.</p>
        {isForAll && <Notice tone="warn">Without a condition, the rule applies to everyone.</Notice>}
        <div className={controls.dialogButtons}>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit">
            Review the change
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

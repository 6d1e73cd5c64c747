import { type ReactNode, useState } from "react";

import { type ApiToken, createToken, listTokens, revokeToken } from "../api/account";
import type { PreviewClient } from "../api/client";
import { Button, CopyButton, IconButton, Notice } from "../ui/controls";
import controls from "../ui/controls.module.css";
import { Ask } from "../ui/Dialog";
import { News } from "../ui/News";
import { useAction } from "../ui/useAction";
import { useLoad } from "../ui/useLoad";
import { visible } from "../ui/visible";
import styles from "./account.module.css";

const DAY_S = 24 * 3_600;
const LIVES: readonly [string, number][] = [
  ["30 days", 30 * DAY_S],
  ["90 days", 90 * DAY_S],
  ["1 year", 365 * DAY_S],
];
/** Each contains the ones before it. */
export const ROLES: readonly [ApiToken["role"], string][] = [
  ["read", "read only"],
  ["use", "read and send requests"],
  ["launch", "launch and change files"],
  ["admin", "do everything"],
];
const MOST_NAME = 100;

interface TokensViewProps {
  client: PreviewClient;
  onChanged: () => void;
}

/** The person's API tokens: make one, see it once, revoke it. */
export function TokensView({ client, onChanged }: TokensViewProps): ReactNode {
  const tokens = useLoad("tokens", (signal) => listTokens(client, signal));
  const action = useAction();
  const [name, setName] = useState("");
  const [role, setRole] = useState<ApiToken["role"]>("read");
  const [life, setLife] = useState(90 * DAY_S);
  const [made, setMade] = useState<string | null>(null);
  const [revoked, setRevoked] = useState<ApiToken | null>(null);
  const changed = (): void => {
    tokens.refresh();
    onChanged();
  };
  const create = (): void =>
    void action.run("Creating the token…", async () => {
      setMade((await createToken(client, name.trim(), role, life)).token);
      setName("");
      changed();
      return undefined;
    });
  return (
    <>
      <p className={styles.muted}>A token lets a program use this service as you, until it expires or you revoke it.</p>
      <form
        className={styles.form}
        onSubmit={(event) => {
          event.preventDefault();
          create();
        }}
      >
        <label>
          Name
          <input
            className={controls.field}
            maxLength={MOST_NAME}
            placeholder="build server"
            value={name}
            onChange={(event) => setName(event.target.value)}
          />
        </label>
        <label>
          Permissions
          <select
            className={controls.field}
            value={role}
            onChange={(event) => setRole(event.target.value as ApiToken["role"])}
          >
            {ROLES.map(([value, words]) => (
              <option key={value} value={value}>
                {words}
              </option>
            ))}
          </select>
        </label>
        <label>
          Expires in
          <select className={controls.field} value={life} onChange={(event) => setLife(Number(event.target.value))}>
            {LIVES.map(([words, seconds]) => (
              <option key={seconds} value={seconds}>
                {words}
              </option>
            ))}
          </select>
        </label>
        <Button kind="primary" type="submit" disabled={name.trim() === "" || action.busy !== null}>
          Create token
        </Button>
      </form>
      <News action={action} />
      {made !== null && (
        <Notice role="status">
          <p>Copy it now: it is not shown again.</p>
          <div className={styles.made}>
            <code>{made}</code>
            <CopyButton text={made} label="Copy the token" />
          </div>
        </Notice>
      )}
      {tokens.problem && (
        <Notice tone="bad" role="alert">
          {tokens.problem.message}
        </Notice>
      )}
      {tokens.value?.length === 0 && <p className={styles.muted}>No tokens yet.</p>}
      {tokens.value !== null && tokens.value.length > 0 && (
        <div className={styles.scroll} tabIndex={0} role="region" aria-label="API tokens">
          <table className={styles.table}>
            <thead>
              <tr>
                <th scope="col">Name</th>
                <th scope="col">Access</th>
                <th scope="col">Expires</th>
                <th scope="col">Last used</th>
                <th scope="col">
                  <span className={controls.hidden}>Revoke</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {tokens.value.map((one) => (
                <tr key={one.id}>
                  <td>{visible(one.name)}</td>
                  <td className={styles.word}>{one.role === "admin" ? "everything" : one.role}</td>
                  <td className={styles.number}>{day(one.expires_at)}</td>
                  <td className={styles.number}>{one.last_used_at === null ? "never" : day(one.last_used_at)}</td>
                  <td>
                    <IconButton icon="clear" label={`Revoke ${visible(one.name)}`} onClick={() => setRevoked(one)} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
      {revoked && (
        <Ask
          title={`Revoke ${visible(revoked.name)}?`}
          action="Revoke"
          onClose={() => setRevoked(null)}
          onYes={() =>
            void action.run("Revoking…", async () => {
              await revokeToken(client, revoked.id);
              changed();
              return "Revoked: programs with this token are refused from now on.";
            })
          }
        >
          <p>Programs that use this token are refused at once, and their open streams end.</p>
        </Ask>
      )}
    </>
  );
}

export function day(time: string): string {
  return new Date(time).toLocaleDateString([], { dateStyle: "medium" });
}

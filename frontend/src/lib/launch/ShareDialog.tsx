import { type ReactNode, useEffect, useState } from "react";

import type { PreviewClient } from "../api/client";
import { asProblem } from "../api/problem";
import type { PreviewAccess, ShareLink } from "../api/types";
import { Button, classes, CopyButton, copyText, IconButton, Notice } from "../ui/controls";
import controls from "../ui/controls.module.css";
import { Dialog } from "../ui/Dialog";
import styles from "./launch.module.css";
import shareStyles from "./share.module.css";
import { livesUntil } from "./lives";

const ROLES: readonly [ShareLink["role"], string][] = [
  ["open", "open the preview"],
  ["watch", "watch its log and requests (read-only)"],
  ["use", "watch, send requests and comment"],
];

/** Each machine takes names below `localhost` for itself (RFC 6761, section 6.3). */
function isLocal(address: string): boolean {
  return new URL(address).hostname.endsWith("localhost");
}

interface ShareDialogProps {
  client: PreviewClient;
  generationId: string;
  /** The preview's own end: no link outlives it. */
  expiresAt: string;
  onClose: () => void;
}

/** Links to pass on, each with an end, and whether anybody may look. */
export function ShareDialog({ client, generationId, expiresAt, onClose }: ShareDialogProps): ReactNode {
  const [access, setAccess] = useState<PreviewAccess | null>(null);
  const [wrong, setWrong] = useState<string | null>(null);
  // As it was when the dialog was opened: a choice does not vanish under the pointer.
  const [lives] = useState(() => livesUntil(Date.parse(expiresAt), Date.now()));
  const [life, setLife] = useState(() => lives.at(-1)?.[1] ?? 60);
  const [copied, setCopied] = useState(false);
  const [isMaking, setMaking] = useState(false);
  const [role, setRole] = useState<ShareLink["role"]>("open");
  const act = async (what: () => Promise<unknown>): Promise<void> => {
    setWrong(null);
    try {
      await what();
      setAccess(await client.access(generationId));
    } catch (error) {
      setWrong(asProblem(error).message);
    }
  };
  useEffect(() => {
    client.access(generationId).then(setAccess, (error: unknown) => setWrong(asProblem(error).message));
  }, [client, generationId]);
  return (
    <Dialog title="Share the preview" onClose={onClose}>
      {wrong !== null && (
        <Notice tone="bad" role="alert">
          {wrong}
        </Notice>
      )}
      <p className={styles.hint}>
        People with a link need no account. It lets them open the preview, or watch it on this page with you. Links stop
        working when the preview ends.
      </p>
      <form
        className={shareStyles.shareNew}
        onSubmit={(event) => {
          event.preventDefault();
          setCopied(false);
          setMaking(true);
          void act(async () => {
            const made = await client.share(generationId, life, role);
            await copyText(made.url);
            setCopied(true);
          }).finally(() => setMaking(false));
        }}
      >
        <label>
          People may{" "}
          <select
            className={controls.field}
            value={role}
            onChange={(event) => setRole(ROLES.find(([one]) => one === event.target.value)?.[0] ?? "open")}
          >
            {ROLES.map(([one, words]) => (
              <option key={one} value={one}>
                {words}
              </option>
            ))}
          </select>
        </label>
        <label>
          Expires{" "}
          <select className={controls.field} value={life} onChange={(event) => setLife(Number(event.target.value))}>
            {lives.map(([words, seconds]) => (
              <option key={seconds} value={seconds}>
                {words}
              </option>
            ))}
          </select>
        </label>
        <Button kind="primary" type="submit" disabled={isMaking} className={shareStyles.shareMake}>
          {isMaking ? "Creating…" : "New link"}
        </Button>
        <span className={shareStyles.copied} role="status">
          {isMaking ? "Creating the link…" : copied ? "Copied" : ""}
        </span>
      </form>
      <ul className={shareStyles.shares} aria-label="Share links">
        {access === null && wrong === null && <li role="status">Loading the links…</li>}
        {access?.shares.map((one) => (
          <li key={one.id}>
            <input
              className={classes(controls.field, shareStyles.shareLink)}
              readOnly
              value={one.url}
              aria-label="Share link"
              onFocus={(event) => event.target.select()}
            />
            <CopyButton text={one.url} label="Copy the link" />
            <IconButton
              icon="clear"
              label="Revoke the link"
              onClick={() => void act(() => client.revokeShare(generationId, one.id))}
            />
            <small>
              {ROLES.find(([known]) => known === one.role)?.[1]}, until{" "}
              {new Date(one.expires_at).toLocaleString([], { dateStyle: "medium", timeStyle: "short" })}
              {one.closed && "; closed to new guests"}
            </small>
          </li>
        ))}
      </ul>
      {access?.shares.some((one) => one.role === "open" && isLocal(one.url)) && (
        <p className={styles.hint} role="note">
          These links work only on this machine. Set <code>PREVIEW_DOMAIN</code> to share previews with others.
        </p>
      )}
      <label className={shareStyles.public}>
        <input
          type="checkbox"
          checked={access?.public ?? false}
          disabled={access === null}
          onChange={(event) => {
            const isPublic = event.target.checked;
            void act(() => client.setPublic(generationId, isPublic));
          }}
        />
        Public: open to anyone with the address
      </label>
    </Dialog>
  );
}

import { type ReactNode, useEffect, useState } from "react";

import type { PreviewClient } from "../api/client";
import { asProblem } from "../api/problem";
import type { PreviewAccess, ShareLink } from "../api/types";
import { useTranslate, english, type Untranslated, type Translate } from "../texts/translate";
import { Button, classes, CopyButton, copyText, IconButton, Notice } from "../ui/controls";
import controls from "../ui/controls.module.css";
import { Dialog } from "../ui/Dialog";
import styles from "./launch.module.css";
import shareStyles from "./share.module.css";
import { livesUntil } from "./lives";

const ROLES: readonly (readonly [ShareLink["role"], Untranslated])[] = [
  ["open", english("open the preview")],
  ["watch", english("watch its log and requests (read-only)")],
  ["use", english("watch, send requests and comment")],
];

function roleWords(t: Translate, role: ShareLink["role"]): string {
  const words = ROLES.find(([known]) => known === role)?.[1];
  return words ? t(words) : role;
}

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
  const t = useTranslate();
  const [access, setAccess] = useState<PreviewAccess | null>(null);
  const [wrong, setWrong] = useState<string | null>(null);
  // As it was when the dialog was opened: a choice does not vanish under the pointer.
  const [lives] = useState(() => livesUntil(t, Date.parse(expiresAt), Date.now()));
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
    <Dialog title={t("Share the preview")} onClose={onClose}>
      {wrong !== null && (
        <Notice tone="bad" role="alert">
          {wrong}
        </Notice>
      )}
      <p className={styles.hint}>
        {t(
          "People with a link need no account. It lets them open the preview, or watch it on this page with you. Links stop working when the preview ends.",
        )}
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
        <fieldset className={shareStyles.roles}>
          <legend>{t("People can")}</legend>
          {ROLES.map(([one, words]) => (
            <label key={one}>
              <input type="radio" name="role" value={one} checked={role === one} onChange={() => setRole(one)} />
              {t(words)}
            </label>
          ))}
        </fieldset>
        <label>
          {t("Expires")}{" "}
          <select className={controls.field} value={life} onChange={(event) => setLife(Number(event.target.value))}>
            {lives.map(([words, seconds]) => (
              <option key={seconds} value={seconds}>
                {words}
              </option>
            ))}
          </select>
        </label>
        <Button kind="primary" type="submit" disabled={isMaking} className={shareStyles.shareMake}>
          {isMaking ? t("Creating…") : t("New link")}
        </Button>
        <span className={shareStyles.copied} role="status">
          {isMaking ? t("Creating the link…") : copied ? t("Copied") : ""}
        </span>
      </form>
      <ul className={shareStyles.shares} aria-label={t("Share links")}>
        {access === null && wrong === null && <li role="status">{t("Loading the links…")}</li>}
        {access?.shares.map((one) => (
          <li key={one.id}>
            <input
              className={classes(controls.field, shareStyles.shareLink)}
              readOnly
              value={one.url}
              aria-label={t("Share link")}
              onFocus={(event) => event.target.select()}
            />
            <CopyButton text={one.url} label={t("Copy the link")} />
            <IconButton
              icon="clear"
              label={t("Revoke the link")}
              onClick={() => void act(() => client.revokeShare(generationId, one.id))}
            />
            <small>
              {roleWords(t, one.role)}
              {t(", until {value}", {
                value: new Date(one.expires_at).toLocaleString([], { dateStyle: "medium", timeStyle: "short" }),
              })}
              {one.closed && t("; closed to new guests")}
            </small>
          </li>
        ))}
      </ul>
      {access?.shares.some((one) => one.role === "open" && isLocal(one.url)) && (
        <p className={styles.hint} role="note">
          {t("These links work only on this machine. Set")} <code>PREVIEW_DOMAIN</code>{" "}
          {t("to share previews with others.")}
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
        {t("Public: open to anyone with the address")}
      </label>
    </Dialog>
  );
}

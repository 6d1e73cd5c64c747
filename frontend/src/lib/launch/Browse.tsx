import { type ReactNode, useState } from "react";

import type { PreviewClient } from "../api/client";
import { asProblem } from "../api/problem";
import { useTranslate } from "../texts/translate";
import { Button, IconButton, Notice } from "../ui/controls";
import { Dialog } from "../ui/Dialog";
import styles from "./browse.module.css";
import { ShareDialog } from "./ShareDialog";
import { useLaunchTexts } from "./texts";

interface BrowseProps {
  client: PreviewClient;
  generationId: string;
  disabled: boolean;
  /** The preview's own port, for programs on this machine. */
  address: string;
  expiresAt: string;
}

/** Opens the preview in a tab of its own, on its own address, and shares it. */
export function Browse({ client, generationId, disabled, address, expiresAt }: BrowseProps): ReactNode {
  const t = useTranslate();
  const [wrong, setWrong] = useState<string | null>(null);
  const [isSharing, setSharing] = useState(false);
  const [isExplained, setExplained] = useState(false);
  const texts = useLaunchTexts();
  const open = async (): Promise<void> => {
    setWrong(null);
    // Before the answer: later a browser would take it for a window that nobody asked for.
    const tab = window.open("about:blank");
    try {
      const { url } = await client.openLink(generationId);
      if (tab === null) {
        setWrong(t("The browser blocked the new tab. Allow pop-ups for this page, then press Open again."));
        return;
      }
      tab.opener = null;
      tab.location.replace(url);
    } catch (error) {
      tab?.close();
      setWrong(asProblem(error).message);
    }
  };
  return (
    <>
      <Button small icon="screen" disabled={disabled} onClick={() => void open()}>
        {texts.open}
      </Button>
      <Button small kind="quiet" icon="chain" disabled={disabled} onClick={() => setSharing(true)}>
        {texts.share}
      </Button>
      <IconButton icon="info" label={texts.howToReach} onClick={() => setExplained(true)} />
      {wrong !== null && (
        <Notice tone="bad" role="alert">
          {wrong}
        </Notice>
      )}
      {isSharing && (
        <ShareDialog
          client={client}
          generationId={generationId}
          expiresAt={expiresAt}
          onClose={() => setSharing(false)}
        />
      )}
      {isExplained && (
        <Dialog title={texts.howToReach} onClose={() => setExplained(false)}>
          <dl className={styles.reach}>
            <dt>{t("In this browser")}</dt>
            <dd>
              <strong>{t("Open")}</strong>{" "}
              {t("shows it at a separate address, only for you. Cookies and sign-ins of the application work there.")}
            </dd>
            <dt>{t("For other people")}</dt>
            <dd>
              <strong>{t("Share")}</strong> {t("makes a link to that address, which needs no account.")}
            </dd>
            <dt>{t("For programs on the service’s machine")}</dt>
            <dd>
              <code>{address}</code>{" "}
              {t("is the application’s own port; no token is needed. It changes with each launch.")}
            </dd>
          </dl>
        </Dialog>
      )}
    </>
  );
}

import { type ReactNode, useState } from "react";

import type { PreviewClient } from "../api/client";
import { asProblem } from "../api/problem";
import { Button, Notice } from "../ui/controls";
import { ShareDialog } from "./ShareDialog";

interface BrowseProps {
  client: PreviewClient;
  generationId: string;
  disabled: boolean;
}

/** Opens the preview in a tab of its own, on its own address, and shares it. */
export function Browse({ client, generationId, disabled }: BrowseProps): ReactNode {
  const [wrong, setWrong] = useState<string | null>(null);
  const [isSharing, setSharing] = useState(false);
  const open = async (): Promise<void> => {
    setWrong(null);
    // Before the answer: later a browser would take it for a window that nobody asked for.
    const tab = window.open("about:blank");
    try {
      const { url } = await client.openLink(generationId);
      if (tab === null) {
        setWrong("The browser did not open a tab. Allow it for this page, and press Open again.");
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
        Open
      </Button>
      <Button small kind="quiet" icon="chain" disabled={disabled} onClick={() => setSharing(true)}>
        Share
      </Button>
      {wrong !== null && (
        <Notice tone="bad" role="alert">
          {wrong}
        </Notice>
      )}
      {isSharing && <ShareDialog client={client} generationId={generationId} onClose={() => setSharing(false)} />}
    </>
  );
}

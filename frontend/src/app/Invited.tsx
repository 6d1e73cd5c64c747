import { type ReactNode, type SubmitEvent, useState } from "react";

import { joinService, MOST_MEMBER_NAME } from "../lib/api/invitations";
import { asProblem } from "../lib/api/problem";
import type { Session } from "../lib/api/types";
import { Button, classes, Notice } from "../lib/ui/controls";
import controls from "../lib/ui/controls.module.css";
import { visible } from "../lib/ui/visible";
import { Logo } from "./Logo";
import { client } from "./ownToken";
import styles from "./signIn.module.css";

/** The code of an invitation in the address; null if there is none. */
export function codeOf(hash: string): string | null {
  return /^#\/invite\/([A-Za-z0-9_-]+)$/.exec(hash)?.[1] ?? null;
}

interface InvitedProps {
  code: string;
  /** The user who is signed in already; empty for nobody. */
  userId: string;
  onJoined: (session: Session) => void;
  onLeave: () => void;
}

/** Somebody with an invitation: joins by a click, so that an opened link alone signs nobody in or out. */
export function Invited({ code, userId, onJoined, onLeave }: InvitedProps): ReactNode {
  const [name, setName] = useState("");
  const [problem, setProblem] = useState<string | null>(null);
  const [isBusy, setBusy] = useState(false);
  const join = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    setBusy(true);
    setProblem(null);
    try {
      onJoined(await joinService(client, code, name.trim()));
    } catch (error) {
      setProblem(asProblem(error).message);
      setBusy(false);
    }
  };
  return (
    <main className={styles.signIn}>
      <div className={styles.card}>
        <Logo size={40} />
        <h1>You are invited to join preview</h1>
        {userId !== "" && (
          <Notice tone="warn">
            You are signed in as {visible(userId)}. Joining creates a new user, and signs this browser in as that user.
          </Notice>
        )}
        <form onSubmit={(event) => void join(event)}>
          <label htmlFor="name">Your name</label>
          <input
            id="name"
            autoComplete="name"
            maxLength={MOST_MEMBER_NAME}
            className={classes(controls.field, styles.tokenField)}
            value={name}
            onChange={(event) => setName(event.target.value)}
          />
          {problem && (
            <Notice tone="bad" role="alert">
              {problem}
            </Notice>
          )}
          <Button kind="primary" type="submit" disabled={isBusy}>
            {isBusy ? "Joining…" : "Join"}
          </Button>
        </form>
        <Button kind="quiet" onClick={onLeave}>
          {userId === "" ? "Sign in another way" : "Keep my current account"}
        </Button>
      </div>
    </main>
  );
}

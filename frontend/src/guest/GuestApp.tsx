import { type ReactNode, type SubmitEvent, useEffect, useMemo, useState } from "react";

import { Logo } from "../app/Logo";
import { useThemeChoice } from "../app/theme";
import { useSmallScreen } from "../app/useSmallScreen";
import {
  FailuresPanel,
  PeoplePanel,
  PreviewClient,
  PreviewProvider,
  PreviewTerminal,
  RecordsPanel,
  RequestPanel,
} from "../lib";
import { asProblem, type Problem } from "../lib/api/problem";
import { joinPreview, leavePreview, type Me, whoAmI } from "../lib/api/together";
import { deskOf } from "../lib/request/desk";
import { Faces } from "../lib/together/Faces";
import { RoleContext } from "../lib/together/role";
import { useTogether } from "../lib/together/useTogether";
import { Button, classes, IconButton, Notice } from "../lib/ui/controls";
import controls from "../lib/ui/controls.module.css";
import { Panel } from "../lib/ui/Panel";
import { Tabs } from "../lib/ui/Tabs";
import tokens from "../lib/ui/tokens.module.css";
import { visible } from "../lib/ui/visible";
import styles from "./guest.module.css";
import { GuestPreviewClient } from "./guestClient";
import { addressOf, type GuestPlace, placeOf } from "./place";

const asking = new PreviewClient();
const MOST_NAME = 40;

/** The page of a guest: an invitation, and then the one preview that it is for. */
export function GuestApp(): ReactNode {
  const [place, setPlace] = useState<GuestPlace | null>(() => placeOf(location.hash));
  const [me, setMe] = useState<Me | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  useEffect(() => {
    const look = (): void => {
      const next = placeOf(location.hash);
      // Another place than a guest's is the other page's.
      if (next === null) location.reload();
      else setPlace(next);
    };
    addEventListener("hashchange", look);
    return () => removeEventListener("hashchange", look);
  }, []);
  useEffect(() => {
    if (place === null || place.token !== null) return;
    const leaving = new AbortController();
    whoAmI(asking, place.generationId, leaving.signal).then(setMe, (error: unknown) => {
      if (!leaving.signal.aborted) setProblem(asProblem(error));
    });
    return () => leaving.abort();
  }, [place]);
  if (place === null) return null;
  return (
    <div className={classes(tokens.root, styles.app)}>
      {me === null && problem && <Over problem={problem} />}
      {me === null && !problem && place.token !== null && (
        <Invitation
          place={{ ...place, token: place.token }}
          onJoined={(found) => {
            // The link's secret is not kept in the address, which people copy.
            history.replaceState(null, "", addressOf(found.generation_id));
            setMe(found);
          }}
        />
      )}
      {me === null && !problem && place.token === null && <Opening />}
      {me !== null && <Watching me={me} />}
    </div>
  );
}

function Card({ title, children }: { title: string; children: ReactNode }): ReactNode {
  return (
    <main className={styles.center}>
      <div className={styles.card}>
        <Logo size={40} />
        <h1>{title}</h1>
        {children}
      </div>
    </main>
  );
}

/** Says that the page is on its way; a guest who joined comes back here by a reload. */
function Opening(): ReactNode {
  return (
    <main className={styles.center}>
      <p role="status">Loading the preview…</p>
    </main>
  );
}

function Over({ problem }: { problem: Problem }): ReactNode {
  return (
    <Card title="This link no longer works">
      <p>{problem.message}</p>
    </Card>
  );
}

interface InvitationProps {
  place: { generationId: string; token: string };
  onJoined: (me: Me) => void;
}

function Invitation({ place, onJoined }: InvitationProps): ReactNode {
  const [name, setName] = useState("");
  const [problem, setProblem] = useState<Problem | null>(null);
  const [isBusy, setBusy] = useState(false);
  const join = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    setBusy(true);
    setProblem(null);
    try {
      onJoined(await joinPreview(asking, place.generationId, place.token, name.trim()));
    } catch (error) {
      setProblem(asProblem(error));
      setBusy(false);
    }
  };
  return (
    <Card title="You are invited to watch a preview">
      <p>You see its log, requests and failures as they happen. Its owner and other guests see your name.</p>
      <form onSubmit={(event) => void join(event)}>
        <label htmlFor="name">Your name</label>
        <input
          id="name"
          autoFocus
          autoComplete="nickname"
          className={controls.field}
          maxLength={MOST_NAME}
          placeholder="Guest"
          value={name}
          onChange={(event) => setName(event.target.value)}
        />
        {problem && (
          <Notice tone="bad" role="alert">
            {problem.message}
          </Notice>
        )}
        <Button kind="primary" type="submit" disabled={isBusy}>
          {isBusy ? "Joining…" : "Join"}
        </Button>
      </form>
    </Card>
  );
}

const ENDED = {
  removed: ["You were removed", "The owner has removed you from this preview."],
  expired: ["This link no longer works", "Your link has expired or was revoked. Ask its sender for a new one."],
  end: ["This preview has ended", "Ask its owner for a new link when it runs again."],
} as const;

function Watching({ me }: { me: Me }): ReactNode {
  const client = useMemo(() => new GuestPreviewClient(me.generation_id, me.expires_at), [me]);
  return (
    <PreviewProvider client={client}>
      <RoleContext value={me.role}>
        <Whole me={me} client={client} />
      </RoleContext>
    </PreviewProvider>
  );
}

type Pane = "log" | "requests" | "failures" | "people";

function Whole({ me, client }: { me: Me; client: GuestPreviewClient }): ReactNode {
  const generationId = me.generation_id;
  const { viewers, ended } = useTogether(generationId, { client });
  const [theme] = useThemeChoice();
  const isSmall = useSmallScreen();
  const [pane, setPane] = useState<Pane>("log");
  const [failure, setFailure] = useState<string | null>(null);
  const desk = deskOf(client, generationId);
  const [hasLeft, setLeft] = useState(false);
  if (hasLeft)
    return (
      <Card title="You have left">
        <p>Open the link again to come back.</p>
      </Card>
    );
  if (ended !== null)
    return (
      <Card title={ENDED[ended][0]}>
        <p role="alert">{ENDED[ended][1]}</p>
      </Card>
    );
  const shown = isSmall || pane !== "log" ? pane : "requests";
  const onShowLog = isSmall ? () => setPane("log") : undefined;
  const showFailure = (id: string): void => {
    setFailure(id);
    setPane("failures");
  };
  const showRequest = (number: number): void => {
    desk.showRecord(number);
    setPane("requests");
  };
  const tabs: (readonly [Pane, string])[] = [
    ["requests", "Requests"],
    ["failures", "Failures"],
    ["people", "People"],
  ];
  if (isSmall) tabs.unshift(["log", "Log"]);
  const common = { generationId, theme, onShowLog };
  return (
    <>
      <header className={styles.top}>
        <Logo />
        <h1>{visible(me.project)}</h1>
        <span className={styles.role}>
          {visible(me.name)}, {me.role === "use" ? "may send requests" : "watches"}
        </span>
        <span className={styles.spring} />
        <Faces viewers={viewers} onShow={() => setPane("people")} />
        <IconButton
          icon="close"
          label="Leave"
          onClick={() => void leavePreview(client, generationId).finally(() => setLeft(true))}
        />
      </header>
      <main className={styles.panes} data-pane={shown}>
        <div className={styles.log}>
          <PreviewTerminal generationId={generationId} theme={theme} />
        </div>
        <Tabs label="View" tabs={tabs} tab={shown} onTab={setPane} />
        <div className={styles.pane}>
          {shown === "requests" && me.role === "watch" && (
            <Panel label="Requests" theme={theme}>
              <RecordsPanel {...common} desk={desk} onShowFailure={showFailure} />
            </Panel>
          )}
          {shown === "requests" && me.role === "use" && <RequestPanel {...common} onShowFailure={showFailure} />}
          {shown === "failures" && (
            <FailuresPanel {...common} shown={failure} onShown={setFailure} onShowRequest={showRequest} />
          )}
          {shown === "people" && <PeoplePanel {...common} onShowFailure={showFailure} onShowRequest={showRequest} />}
        </div>
      </main>
    </>
  );
}

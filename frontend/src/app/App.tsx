import { lazy, type ReactNode, Suspense, useCallback, useEffect, useState } from "react";

import { PreviewProvider, type ThemeChoice } from "../lib";
import { asProblem } from "../lib/api/problem";
import type { Session } from "../lib/api/types";
import { Button, classes, IconButton, Notice } from "../lib/ui/controls";
import controls from "../lib/ui/controls.module.css";
import tokens from "../lib/ui/tokens.module.css";
import styles from "./app.module.css";
import { projectOf } from "./address";
import { DropVeil } from "./DropVeil";
import { Logo } from "./Logo";
import { client, keepToken } from "./ownToken";
import { DropZone, Sidebar, UploadButton } from "./Sidebar";
import { type SignedOutBecause, SignIn } from "./SignIn";
import { useThemeChoice } from "./theme";
import { isOn, type Projects, useProjects } from "./useProjects";
import { ReplaceQuestion } from "./ReplaceQuestion";
import { type Upload, useUpload } from "./useUpload";
import { Workspace } from "./Workspace";

const AccountDialog = lazy(async () => ({ default: (await import("../lib/account/AccountDialog")).AccountDialog }));
const PeopleHere = lazy(async () => ({ default: (await import("../lib/together/PeopleHere")).PeopleHere }));

type Who = { kind: "asking" } | { kind: "nobody"; why: SignedOutBecause } | { kind: "known"; session: Session };

/** The page: who it is for, their projects, and one of these. */
export function App(): ReactNode {
  const [who, setWho] = useState<Who>({ kind: "asking" });
  const [theme, setTheme] = useThemeChoice();

  const ask = useCallback(async () => setWho(await askWho()), []);
  useEffect(() => void ask(), [ask]);
  const signedOut = useCallback(() => {
    keepToken(undefined);
    setWho({ kind: "nobody", why: "over" });
  }, []);
  const signIn = useCallback(async (given: string) => {
    try {
      setWho({ kind: "known", session: await client.openSession(given) });
    } catch (error) {
      if (asProblem(error).status !== 404) throw error;
      keepToken(given);
      setWho({ kind: "known", session: await client.session() });
    }
  }, []);
  const signOut = useCallback(async () => {
    await client.logout().catch(() => undefined);
    keepToken(undefined);
    setWho({ kind: "nobody", why: "new" });
  }, []);

  return (
    <div className={classes(tokens.root, styles.app)}>
      <PreviewProvider client={client}>
        {who.kind === "nobody" && <SignIn onToken={signIn} why={who.why} />}
        {who.kind === "known" && (
          <Home
            session={who.session}
            theme={theme}
            onTheme={setTheme}
            onSignedOut={signedOut}
            onSignOut={() => void signOut()}
          />
        )}
      </PreviewProvider>
    </div>
  );
}

async function askWho(): Promise<Who> {
  const isLinkUsed = takeFromAddress("login") === "used";
  try {
    return { kind: "known", session: await client.session() };
  } catch (error) {
    if (asProblem(error).status === 401) return { kind: "nobody", why: isLinkUsed ? "used" : "new" };
    // The service is away for a moment: the page says so itself, where it matters.
    return { kind: "known", session: { user_id: "", tier: null, expires_at: null } };
  }
}

/** What the address says, once: it is gone from the address then, and not said again on a reload. */
function takeFromAddress(name: string): string | null {
  const address = new URL(location.href);
  const value = address.searchParams.get(name);
  if (value === null) return null;
  address.searchParams.delete(name);
  history.replaceState(null, "", address);
  return value;
}

interface HomeProps {
  session: Session;
  theme: ThemeChoice;
  onTheme: (theme: ThemeChoice) => void;
  onSignedOut: () => void;
  onSignOut: () => void;
}

const NEXT_THEME: Record<ThemeChoice, ThemeChoice> = { system: "light", light: "dark", dark: "system" };
const THEME_ICON = { system: "screen", light: "sun", dark: "moon" } as const;

function Home({ session, theme, onTheme, onSignedOut, onSignOut }: HomeProps): ReactNode {
  const projects = useProjects(client, onSignedOut);
  const [selected, select] = useSelection(projects);
  const project = projects.list?.find((one) => one.id === selected) ?? null;
  const drop = useUpload(projects, project, select);
  const { refresh } = projects;
  const [showsAccount, setAccount] = useState(false);
  useEffect(
    () => (selected === null ? undefined : client.onChange(selected, () => void refresh())),
    [selected, refresh],
  );
  return (
    <div className={styles.home} {...drop.handlers}>
      <header className={styles.top}>
        <Logo />
        <h1>preview</h1>
        <label className={styles.picker}>
          <span className={controls.hidden}>Project</span>
          <select className={controls.field} value={selected ?? ""} onChange={(event) => select(event.target.value)}>
            {project === null && <option value="">Projects</option>}
            {projects.list?.map((one) => (
              <option key={one.id} value={one.id}>
                {one.name}
              </option>
            ))}
          </select>
        </label>
        {projects.takesUploads && <UploadButton onPick={drop.take} isUploading={drop.isUploading} />}
        <span className={styles.spring} />
        {project && (
          <Suspense>
            <PeopleHere
              key={project.id}
              generationId={project.id}
              onShow={() => (location.hash = `#/${encodeURIComponent(project.id)}?show=people`)}
            />
          </Suspense>
        )}
        <IconButton
          icon={THEME_ICON[theme]}
          label={`Theme: ${theme}. Change it`}
          onClick={() => onTheme(NEXT_THEME[theme])}
        />
        {session.user_id && (
          <Button small kind="quiet" icon="person" title="Account" onClick={() => setAccount(true)}>
            <span className={controls.hidden}>Account of </span>
            <span className={styles.user}>{session.user_id}</span>
          </Button>
        )}
        <Button small kind="quiet" onClick={onSignOut}>
          Sign out
        </Button>
      </header>
      <div className={styles.columns}>
        <Sidebar
          projects={projects}
          selected={selected}
          onSelect={select}
          onPick={drop.take}
          onReplace={drop.replace}
          isUploading={drop.isUploading}
        />
        <div className={styles.main}>
          <ReplaceQuestion drop={drop} />
          {drop.problem && (
            <Notice
              tone="bad"
              role="alert"
              actions={
                <Button small kind="quiet" onClick={drop.dismiss}>
                  Dismiss
                </Button>
              }
            >
              {drop.problem}
            </Notice>
          )}
          {project ? (
            <Workspace
              project={project}
              theme={theme}
              onSignIn={onSignedOut}
              onShow={select}
              nameOf={(id) => projects.list?.find((one) => one.id === id)?.name ?? id}
            />
          ) : (
            projects.list !== null && <Welcome takesUploads={projects.takesUploads} drop={drop} />
          )}
        </div>
      </div>
      {showsAccount && (
        <Suspense>
          <AccountDialog onClose={() => setAccount(false)} />
        </Suspense>
      )}
      {drop.isOver && <DropVeil running={project && isOn(project.preview) ? project.name : null} />}
    </div>
  );
}

function Welcome({ takesUploads, drop }: { takesUploads: boolean; drop: Upload }): ReactNode {
  return (
    <main className={styles.welcome}>
      <h2>Run a backend and watch its logs</h2>
      {takesUploads ? (
        <>
          <ol>
            <li>Drop a project’s folder or zip here.</li>
            <li>Launch it: dependencies are installed, and it gets a URL.</li>
            <li>Watch what it prints, and try its endpoints.</li>
          </ol>
          <DropZone onPick={drop.take} isUploading={drop.isUploading} />
        </>
      ) : (
        <p>This service is given its projects by the program that runs it. None has been launched yet.</p>
      )}
    </main>
  );
}

/** The project in the address bar, else the one that runs, else the newest. */
function useSelection(projects: Projects): [string | null, (id: string) => void] {
  const [chosen, setChosen] = useState(fromAddress);
  useEffect(() => {
    const look = (): void => setChosen(fromAddress());
    addEventListener("hashchange", look);
    return () => removeEventListener("hashchange", look);
  }, []);
  const select = useCallback((id: string) => {
    location.hash = `#/${encodeURIComponent(id)}`;
    setChosen(id);
  }, []);
  const { list } = projects;
  const isThere = list?.some((one) => one.id === chosen) ?? false;
  const running = list?.find((one) => one.preview && ["starting", "running"].includes(one.preview.status));
  return [isThere ? chosen : (running?.id ?? list?.[0]?.id ?? null), select];
}

function fromAddress(): string | null {
  return projectOf(location.hash);
}

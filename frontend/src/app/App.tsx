import { lazy, type MouseEvent, type ReactNode, Suspense, useCallback, useEffect, useMemo, useState } from "react";

import { PreviewProvider, type ThemeChoice } from "../lib";
import { asProblem } from "../lib/api/problem";
import type { Session } from "../lib/api/types";
import { Menu, type MenuItem } from "../lib/terminal/Menu";
import { useTranslate } from "../lib/texts/translate";
import { Button, classes, IconButton, Notice } from "../lib/ui/controls";
import controls from "../lib/ui/controls.module.css";
import tokens from "../lib/ui/tokens.module.css";
import styles from "./app.module.css";
import { projectOf } from "./address";
import { DropVeil } from "./DropVeil";
import { codeOf, Invited } from "./Invited";
import { Logo } from "./Logo";
import { ProjectMenu } from "./ProjectMenu";
import { client, keepToken } from "./ownToken";
import { Sidebar, stateOf, UploadButton } from "./Sidebar";
import { REFUSALS, type SignedOutBecause, SignIn } from "./SignIn";
import { useShortcuts } from "./shortcuts";
import { useThemeChoice } from "./theme";
import { useSmallScreen } from "./useSmallScreen";
import { useNotifications } from "./useNotifications";
import { grouped } from "./order";
import { isOn, type Projects, useProjects } from "./useProjects";
import { RemovedNotice } from "./RemovedNotice";
import { ReplaceQuestion } from "./ReplaceQuestion";
import { type Upload, useUpload } from "./useUpload";
import { Welcome } from "./Welcome";
import { Workspace } from "./Workspace";

const AccountDialog = lazy(async () => ({ default: (await import("../lib/account/AccountDialog")).AccountDialog }));
const PeopleHere = lazy(async () => ({ default: (await import("../lib/together/PeopleHere")).PeopleHere }));
const FromGithub = lazy(async () => ({ default: (await import("./FromGithub")).FromGithub }));
const Palette = lazy(async () => ({ default: (await import("./Palette")).Palette }));
const Shortcuts = lazy(async () => ({ default: (await import("./Shortcuts")).Shortcuts }));

type Who = { kind: "asking" } | { kind: "nobody"; why: SignedOutBecause } | { kind: "known"; session: Session };

/** The page: who it is for, their projects, and one of these. */
export function App(): ReactNode {
  const [who, setWho] = useState<Who>({ kind: "asking" });
  const [code, setCode] = useState(() => codeOf(location.hash));
  const [theme, setTheme] = useThemeChoice();

  useEffect(() => {
    const look = (): void => setCode(codeOf(location.hash));
    addEventListener("hashchange", look);
    return () => removeEventListener("hashchange", look);
  }, []);
  const leaveInvitation = useCallback(() => {
    // The code is not kept in the address, which people copy.
    history.replaceState(null, "", location.pathname + location.search);
    setCode(null);
  }, []);
  const joined = useCallback(
    (session: Session) => {
      keepToken(undefined);
      leaveInvitation();
      setWho({ kind: "known", session });
    },
    [leaveInvitation],
  );
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
        {who.kind !== "asking" && code !== null && (
          <Invited
            code={code}
            userId={who.kind === "known" ? who.session.user_id : ""}
            onJoined={joined}
            onLeave={leaveInvitation}
          />
        )}
        {who.kind === "nobody" && code === null && <SignIn onToken={signIn} why={who.why} />}
        {who.kind === "known" && code === null && (
          <Home
            key={who.session.user_id}
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
  const refusal = takeFromAddress("login");
  try {
    return { kind: "known", session: await client.session() };
  } catch (error) {
    if (asProblem(error).status === 401)
      return { kind: "nobody", why: REFUSALS.find((one) => one === refusal) ?? "new" };
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
  const t = useTranslate();
  const known = useProjects(client, session.user_id, onSignedOut);
  const [selected, select] = useSelection(known);
  const [told, setTold] = useState<ToldState | null>(null);
  const projects = useMemo(() => withTold(known, told), [known, told]);
  const project = projects.list?.find((one) => one.id === selected) ?? null;
  const drop = useUpload(projects, project, select);
  const { forget } = drop;
  const onState = useCallback(
    (state: string) => {
      if (selected !== null) setTold({ id: selected, state });
      if (state === "starting") forget();
    },
    [selected, forget],
  );
  const notifications = useNotifications(projects.list, select);
  const isSmall = useSmallScreen();
  const [overlay, setOverlay] = useState<"palette" | "help" | "account" | "github" | null>(null);
  useShortcuts(setOverlay);
  const { refresh } = projects;
  useEffect(
    () => (selected === null ? undefined : client.onChange(selected, () => void refresh())),
    [selected, refresh],
  );
  const nextTheme = useCallback(() => onTheme(NEXT_THEME[theme]), [onTheme, theme]);
  const openGithub = useCallback(() => setOverlay("github"), []);
  const more: MenuItem[] = [
    { label: `Theme: ${theme}`, act: nextTheme },
    ...(notifications.isOn === null
      ? []
      : [{ label: "Desktop notifications", act: notifications.toggle, isChecked: notifications.isOn }]),
    ...(projects.takesUploads ? [{ label: "Import from GitHub…", act: openGithub }] : []),
    ...(session.user_id ? [{ label: "Account, usage and limits", act: () => setOverlay("account") }] : []),
    { label: "Commands (Ctrl+K)", act: () => setOverlay("palette") },
    { label: "Keyboard shortcuts (?)", act: () => setOverlay("help") },
  ];
  const ofProject = {
    projects,
    onSelect: select,
    onReplace: drop.replace,
    onUpdate: drop.update,
    isUploading: drop.isUploading,
  };
  const signOutItem: MenuItem = {
    label: session.user_id ? `Sign out ${session.user_id}` : "Sign out",
    act: onSignOut,
  };
  return (
    <div className={styles.home} {...drop.handlers}>
      <a className={styles.skip} href="#main" onClick={skip}>
        Skip to the project
      </a>
      <header className={styles.top}>
        <Logo />
        <h1>preview</h1>
        <label className={styles.picker}>
          <span className={controls.hidden}>Project</span>
          <select className={controls.field} value={selected ?? ""} onChange={(event) => select(event.target.value)}>
            {project === null && <option value="">Projects</option>}
            {grouped(projects.list ?? []).map(({ name, projects: members }) => {
              const options = members.map((one) => (
                <option key={one.id} value={one.id}>
                  {isOn(one.preview) && !projects.isLost ? "● " : ""}
                  {one.name}
                  {one.preview ? ` (${stateOf(t, one, projects.isLost)})` : ""}
                </option>
              ));
              return name === "" ? (
                options
              ) : (
                <optgroup key={name} label={name}>
                  {options}
                </optgroup>
              );
            })}
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
        <Button small kind="quiet" icon="search" className={styles.wideOnly} onClick={() => setOverlay("palette")}>
          Commands <kbd>Ctrl K</kbd>
        </Button>
        <IconButton
          icon={THEME_ICON[theme]}
          className={styles.wideOnly}
          label={`Theme: ${theme}. Change it`}
          onClick={nextTheme}
        />
        {session.user_id && (
          <Button small kind="quiet" icon="person" title="Account" onClick={() => setOverlay("account")}>
            <span className={controls.hidden}>Account of </span>
            <span className={styles.user}>{session.user_id}</span>
          </Button>
        )}
        <Button small kind="quiet" className={styles.wideOnly} onClick={onSignOut}>
          Sign out
        </Button>
        <span className={styles.wideOnly}>
          <Menu icon="more" label="Page menu" items={more} />
        </span>
        <span className={styles.narrowOnly}>
          {!isSmall ? null : project && projects.takesUploads ? (
            <ProjectMenu key={project.id} {...ofProject} project={project} label="Menu" more={[...more, signOutItem]} />
          ) : (
            <Menu icon="more" label="Menu" items={[...more, signOutItem]} />
          )}
        </span>
      </header>
      <div className={styles.columns}>
        {!isSmall && <Sidebar {...ofProject} selected={selected} onPick={drop.take} onGithub={openGithub} />}
        <div className={styles.main}>
          <ReplaceQuestion drop={drop} />
          <RemovedNotice projects={projects} onSelect={select} />
          <Told projects={projects} hasProject={project !== null} drop={drop} />
          {project ? (
            <Workspace
              project={project}
              theme={theme}
              onSignIn={onSignedOut}
              onState={onState}
              onShow={select}
              unread={projects.unread.get(project.id) ?? 0}
              nameOf={(id) => projects.list?.find((one) => one.id === id)?.name ?? id}
            />
          ) : (
            projects.list !== null && (
              <Welcome projects={projects} drop={drop} onGithub={openGithub} onSelect={select} />
            )
          )}
        </div>
      </div>
      {drop.isOver && <DropVeil running={project && isOn(project.preview) ? project.name : null} />}
      <Suspense fallback={null}>
        {overlay === "palette" && (
          <Palette
            project={project}
            projects={projects}
            onSelect={select}
            actions={[...more, signOutItem]}
            onClose={() => setOverlay(null)}
          />
        )}
        {overlay === "account" && (
          <AccountDialog
            onClose={() => setOverlay(null)}
            onRestored={(id) => void projects.refresh().then(() => select(id))}
          />
        )}
        {overlay === "github" && <FromGithub onImport={drop.takeFrom} onClose={() => setOverlay(null)} />}
        {overlay === "help" && <Shortcuts onClose={() => setOverlay(null)} />}
      </Suspense>
    </div>
  );
}

interface ToldState {
  id: string;
  state: string;
}

/** The projects, where the one that is shown has the state that its header shows. */
function withTold(projects: Projects, told: ToldState | null): Projects {
  if (told === null || told.state === "none" || projects.list === null) return projects;
  const list = projects.list.map((one) => (one.id === told.id ? { ...one, shownState: told.state } : one));
  return { ...projects, list };
}

/** What concerns the page as a whole. Of a project that is shown, its log tells that the service is gone. */
function Told({ projects, hasProject, drop }: { projects: Projects; hasProject: boolean; drop: Upload }): ReactNode {
  return (
    <>
      {projects.problem && !hasProject && <Notice tone="bad">{projects.problem.message}</Notice>}
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
    </>
  );
}

/** The address has the project; a link to a part of the page would lose it. */
function skip(event: MouseEvent): void {
  event.preventDefault();
  document.getElementById("main")?.focus();
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
    // The address of the project that is shown has its view too, which stays.
    if (fromAddress() !== id) location.hash = `#/${encodeURIComponent(id)}`;
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

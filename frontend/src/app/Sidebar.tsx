import { type ReactNode, type RefObject, useRef, useState } from "react";

import { useTranslate, type Translate } from "../lib/texts/translate";
import { Button, Dot, IconButton } from "../lib/ui/controls";
import controls from "../lib/ui/controls.module.css";
import { ago } from "../lib/ui/format";
import { Icon } from "../lib/ui/icons";
import { pickInput, type Picked } from "./folder";
import styles from "./app.module.css";
import projectStyles from "./projects.module.css";
import { type Group, grouped, matching } from "./order";
import { Unread } from "./PaneSwitch";
import { ProjectMenu } from "./ProjectMenu";
import { isOn, type Project, type Projects } from "./useProjects";

/** Fewer projects are seen at a glance. */
const SEARCHED_FROM = 6;

interface SidebarProps {
  projects: Projects;
  selected: string | null;
  onSelect: (id: string) => void;
  onPick: (picked: Promise<Picked>) => void;
  /** Asks for the address of a repository. */
  onGithub: () => void;
  /** Makes the selected project's files those of its repository. */
  onUpdate: () => void;
  /** New files of the selected project. */
  onReplace: (picked: Promise<Picked>) => void;
  isUploading: boolean;
}

/** The person's projects, and the place to drop another. */
export function Sidebar(props: SidebarProps): ReactNode {
  const { projects, selected, onSelect, onReplace, onUpdate, isUploading } = props;
  const t = useTranslate();
  const { list, takesUploads, isLost } = projects;
  const [search, setSearch] = useState("");
  return (
    <nav className={projectStyles.sidebar} aria-label="Projects">
      <h2 className={projectStyles.sideTitle}>Projects</h2>
      {list?.length === 0 && <p className={styles.hint}>Nothing here yet.</p>}
      {(list?.length ?? 0) >= SEARCHED_FROM && (
        <input
          type="search"
          className={controls.field}
          placeholder="Search projects"
          aria-label="Search projects"
          value={search}
          onChange={(event) => setSearch(event.target.value)}
        />
      )}
      <div className={projectStyles.projects}>
        {grouped(matching(list ?? [], search)).map((group) => (
          <ProjectGroup key={group.name} group={group} isFound={search.trim() !== ""}>
            {group.projects.map((project) => (
              <li className={projectStyles.projectRow} key={project.id}>
                <button
                  type="button"
                  className={projectStyles.project}
                  title={ageOf(t, project)}
                  aria-current={project.id === selected ? "page" : undefined}
                  onClick={() => onSelect(project.id)}
                >
                  <Dot tone={toneOf(project, isLost)} />
                  <span className={projectStyles.projectName}>{project.name}</span>
                  {(projects.unread.get(project.id) ?? 0) > 0 && (
                    <Unread count={projects.unread.get(project.id) ?? 0} />
                  )}
                  <span className={projectStyles.projectState}>{stateOf(t, project, isLost)}</span>
                </button>
                {takesUploads && project.id === selected && (
                  <span className={projectStyles.projectMenu}>
                    <ProjectMenu
                      project={project}
                      projects={projects}
                      onSelect={onSelect}
                      onReplace={onReplace}
                      onUpdate={onUpdate}
                      isUploading={isUploading}
                    />
                  </span>
                )}
              </li>
            ))}
          </ProjectGroup>
        ))}
      </div>
      {takesUploads && list !== null && list.length > 0 && <DropZone {...props} />}
    </nav>
  );
}

const CLOSED_KEY = "preview:closed-groups";

/** The projects of one group below its name, which opens and closes them; those of no group have no name. */
function ProjectGroup({
  group,
  isFound,
  children,
}: {
  group: Group;
  isFound: boolean;
  children: ReactNode;
}): ReactNode {
  const { name, projects } = group;
  const [isClosed, setClosed] = useState(() => closedGroups().includes(name));
  if (name === "") return <ul className={projectStyles.group}>{children}</ul>;
  // What a search finds is shown, wherever it is.
  const isOpen = isFound || !isClosed;
  const toggle = (): void => {
    const others = closedGroups().filter((one) => one !== name);
    localStorage.setItem(CLOSED_KEY, JSON.stringify(isClosed ? others : [...others, name]));
    setClosed(!isClosed);
  };
  return (
    <section aria-label={name}>
      <button type="button" className={projectStyles.groupName} aria-expanded={isOpen} onClick={toggle}>
        <Icon name="down" />
        <span className={projectStyles.projectName}>{name}</span>
        <span className={projectStyles.groupCount}>{projects.length}</span>
      </button>
      {isOpen && <ul className={projectStyles.group}>{children}</ul>}
    </section>
  );
}

/** Names of the groups that the person has closed in this browser. */
function closedGroups(): string[] {
  try {
    const kept: unknown = JSON.parse(localStorage.getItem(CLOSED_KEY) ?? "[]");
    return Array.isArray(kept) ? kept.map(String) : [];
  } catch {
    return [];
  }
}

export function DropZone(props: Pick<SidebarProps, "onPick" | "onGithub" | "isUploading">): ReactNode {
  const { onPick, onGithub, isUploading } = props;
  const folder = useRef<HTMLInputElement>(null);
  const archive = useRef<HTMLInputElement>(null);
  return (
    <div className={projectStyles.dropZone}>
      <p role="status">
        <strong>{isUploading ? "Uploading…" : "Drop a folder or a zip"}</strong>
        {isUploading ? "it appears here once it is uploaded" : "anywhere on this page"}
      </p>
      <div className={projectStyles.dropButtons}>
        <Button small icon="folder" disabled={isUploading} onClick={() => folder.current?.click()}>
          Folder
        </Button>
        <Button small icon="upload" disabled={isUploading} onClick={() => archive.current?.click()}>
          Zip
        </Button>
        <Button small icon="link" disabled={isUploading} onClick={onGithub}>
          GitHub
        </Button>
      </div>
      <input
        ref={folder}
        type="file"
        hidden
        aria-label="A folder"
        {...{ webkitdirectory: "" }}
        onChange={(event) => take(event.target, onPick)}
      />
      <ArchiveInput field={archive} onPick={onPick} />
    </div>
  );
}

/** The way in where there is no room for the list: telephones pick a file, and have no folders to drop. */
export function UploadButton({ onPick, isUploading }: Pick<SidebarProps, "onPick" | "isUploading">): ReactNode {
  const archive = useRef<HTMLInputElement>(null);
  return (
    <span className={projectStyles.uploadButton}>
      <IconButton
        icon="upload"
        label={isUploading ? "Uploading…" : "Upload a zip"}
        disabled={isUploading}
        onClick={() => archive.current?.click()}
      />
      <ArchiveInput field={archive} onPick={onPick} />
    </span>
  );
}

function ArchiveInput({ field, onPick }: { field: RefObject<HTMLInputElement | null> } & Pick<SidebarProps, "onPick">) {
  return (
    <input
      ref={field}
      type="file"
      hidden
      aria-label="A zip or tar.gz"
      accept=".zip,.tar.gz,.tgz,application/zip,application/gzip"
      onChange={(event) => take(event.target, onPick)}
    />
  );
}

function take(input: HTMLInputElement, onPick: SidebarProps["onPick"]): void {
  if (input.files && input.files.length > 0) onPick(pickInput(input.files));
  input.value = "";
}

function toneOf({ preview, shownState }: Project, isLost: boolean): "good" | "busy" | "bad" | "idle" {
  if (isLost && isOn(preview)) return "idle";
  switch (shownState ?? preview?.status) {
    case "running":
      return "good";
    case "starting":
    case "restarting":
    case "stopping":
      return "busy";
    case "failed":
      return "bad";
    default:
      return "idle";
  }
}

/** The state in a word; of what has never run, when it came. */
export function stateOf(t: Translate, { preview, createdAt, shownState }: Project, isLost: boolean): string {
  if (isLost && isOn(preview)) return "unknown";
  if (preview || shownState !== undefined) return shownState ?? preview?.status ?? "";
  return createdAt === null ? "" : `added ${ago(t, createdAt)}`;
}

function ageOf(t: Translate, { createdAt }: Project): string | undefined {
  return createdAt === null ? undefined : `Added ${ago(t, createdAt)}`;
}

import {
  type CSSProperties,
  type KeyboardEvent,
  type ReactNode,
  useCallback,
  useEffect,
  useMemo,
  useRef,
  useState,
} from "react";

import type { PreviewClient } from "../api/client";
import type { LogLine } from "../api/types";
import { usePreviewClient } from "../context";
import { isNothingYet } from "../logs/session";
import { isNote } from "../logs/store";
import { FilterField } from "../filter/FilterField";
import { isRange, type Term, withRange, withSpan } from "../filter/terms";
import { useTerms } from "../filter/useTerms";
import { type LogLook, MOST_COLUMNS, WHOLE_LOG } from "../logs/look";
import { LogRows } from "../logs/rows";
import { rangeTerms } from "../logs/timeline";
import { EVERYTHING, isUnfiltered, type LogFilter, LogView } from "../logs/view";
import { useTranslate, english, TextsProvider } from "../texts/translate";
import { Contained } from "../ui/Contained";
import { Button, classes, copyText, IconButton } from "../ui/controls";
import { Icon } from "../ui/icons";
import { count } from "../ui/format";
import { colorScheme, type ThemeChoice, useTheme } from "../ui/theme";
import tokens from "../ui/tokens.module.css";
import { useLogSession, useLogSnapshot } from "../usePreviewLogs";
import { Announcer } from "./Announcer";
import { ColumnRow } from "./ColumnRow";
import { ConnectionWord } from "./ConnectionLine";
import { allText, saveAsJsonLines, saveAsText } from "./exportLines";
import { ExportMenu } from "./ExportMenu";
import { FilterRow } from "./FilterRow";
import { LineTip } from "./LineTip";
import { lineOfKey } from "./logKeys";
import { MoreMenu } from "./MoreMenu";
import type { HoveredLine } from "./screenTypes";
import { SearchRow } from "./SearchRow";
import { TimelineRow } from "./TimelineRow";
import { useTimeline } from "./useTimeline";
import lineStyles from "./line.module.css";
import rowStyles from "./rows.module.css";
import { TERMINAL_TOOLS, type TerminalTexts, type TerminalTool, NamedTextsProvider, useTexts } from "./texts";
import styles from "./terminal.module.css";
import { ChosenLine, countWords, Empty, ExportRow, Foot } from "./TerminalParts";
import { useExport } from "./useExport";
import { useReveal } from "./useReveal";
import { useLineCounts, useScreen } from "./useScreen";
import { useSearch, useWanted } from "./useSearch";

export interface PreviewTerminalProps {
  generationId: string;
  client?: PreviewClient;
  theme?: ThemeChoice;
  /** Id of an earlier launch, to show its log; default: the newest one. */
  launch?: string;
  /** Whether lines begin with their time, and whether long ones wrap, until the person says otherwise. */
  timestamps?: boolean;
  wrap?: boolean;
  fontSize?: number;
  /** The filter and the chosen line to begin with, and what is called when the person changes them. */
  look?: LogLook;
  onLook?: (look: LogLook) => void;
  /** Makes places of tracebacks in the project's code links. */
  onOpenFile?: (path: string, line: number) => void;
  /** Called to show the logs of earlier launches; without it the menu does not offer them. */
  onEarlier?: () => void;
  /** Replaces fixed texts, such as `{ live: "En direct" }`. */
  texts?: TerminalTexts;
  /** The tools of the toolbar; `false` for no toolbar. Default: all. */
  tools?: readonly TerminalTool[] | false;
  /** Whether a sentence below the lines says how the preview ended, for a page that says it nowhere else. Default: true. */
  end?: boolean;
  /** Words for lines that have a mark of their own, such as “2 comments” or “Alert: many errors”, by number. */
  lineMarks?: ReadonlyMap<number, string>;
  className?: string;
  style?: CSSProperties;
}

/** The log of a generation's preview as a terminal. It fills its parent, which needs a height. */
export function PreviewTerminal(props: PreviewTerminalProps): ReactNode {
  return (
    <TextsProvider texts={props.texts}>
      <Contained name={english("The log")} key={`${props.generationId} ${props.launch ?? ""}`}>
        <NamedTextsProvider value={props.texts ?? NO_TEXTS}>
          <WholePreviewTerminal {...props} />
        </NamedTextsProvider>
      </Contained>
    </TextsProvider>
  );
}

const NO_TEXTS: TerminalTexts = {};
const NO_COLUMNS: readonly string[] = [];

function WholePreviewTerminal(props: PreviewTerminalProps): ReactNode {
  const t = useTranslate();
  const { generationId, fontSize = 13, launch = null, tools = TERMINAL_TOOLS } = props;
  const texts = useTexts();
  const has = (tool: TerminalTool): boolean => tools !== false && tools.includes(tool);
  const session = useLogSession(generationId, { client: props.client, launch });
  const snapshot = useLogSnapshot(session);
  const { look, terms, setFilter, setLine, toggleColumn, showAll } = useLook(props);
  const { filter, line, columns = NO_COLUMNS } = look;
  // The lines that pass the terms are the service's to say.
  const passing = useLogSession(generationId, { client: props.client, filter: terms.filter, launch });
  const passingSnapshot = useLogSnapshot(passing);
  const theme = useTheme(props.theme);
  const [timestamps, setTimestamps] = useState(props.timestamps ?? true);
  const [wrap, setWrap] = useState(props.wrap ?? true);
  const [open, setOpen] = useState<"search" | "filter" | null>(null);
  const [hovered, setHovered] = useState<HoveredLine | null>(null);
  const [showsChecks, setShowsChecks] = useState(false);
  const check = snapshot.healthCheck;
  const { path, status } = check ?? {};
  const wanted = useWanted(open === "search");
  const hiding = useMemo(() => {
    const without = showsChecks || path === undefined || status === undefined ? null : { path, status };
    const isOwn = (line: LogLine): boolean => session.markOf(line) !== undefined;
    return { hidesChecks: !showsChecks, without, isOwn };
  }, [session, showsChecks, path, status]);
  const view = useMemo(
    () => new LogView(passing.store, { ...filter, ...hiding }, wanted.limit),
    [passing, filter, hiding, wanted.limit],
  );
  const [folding] = useState(() => ({ isOn: true, toggled: new Set<number>() }));
  const rows = useMemo(() => new LogRows(view, folding), [view, folding]);
  const [isFolding, setFolding] = useState(true);
  const { onOpenFile } = props;
  const options = { timestamps, wrap, theme, fontSize, line, canOpenFiles: onOpenFile !== undefined, columns, t };
  const { host, screen, state } = useScreen({
    ...{ session, passing, rows, options, onHover: setHovered, onPick: setLine, onFile: onOpenFile },
    onTerm: (term) => void terms.add(term),
    onColumn: toggleColumn,
    lineMarks: props.lineMarks,
  });
  const fold = (isOn: boolean): void => {
    setFolding(isOn);
    screen?.foldAll(isOn);
  };
  const search = useSearch(view, screen, open === "search", wanted);
  const counts = useLineCounts(session, passing, view);
  const timeline = useTimeline(passing.store, hiding);
  const [showsTimeline, setShowsTimeline] = useState(true);
  const file = useExport(session, props.client);
  const isFiltered = !isUnfiltered(filter) || terms.filter !== "";
  useReveal({ session, passing, view, screen, line, isFiltered, onUnfilter: showAll });

  const closeSearch = (): void => {
    setOpen(null);
    screen?.focus();
  };
  const key = (event: KeyboardEvent): void => {
    const isFind = has("search") && (event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "f";
    const isInList = event.target === host.current && !event.ctrlKey && !event.metaKey && !event.altKey;
    if (isFind || (isInList && has("search") && event.key === "/")) setOpen("search");
    else if (isInList && screen && "eEwW".includes(event.key)) {
      const position = lineOfKey(rows, event.key, screen.here);
      if (position !== null) screen.reveal(position);
    } else if (isInList && "nN".includes(event.key)) search.go(event.key === "n" ? 1 : -1);
    else return;
    event.preventDefault();
  };
  const name = `${generationId}-${snapshot.previewId ?? "log"}`;
  // A file that is kept has no holes: health checks are only left out of sight.
  const whole = (): LogView => new LogView(passing.store, filter);
  const clear = (): void => {
    session.clear();
    if (passing !== session) passing.clear();
  };
  const restore = (): void => {
    session.restore();
    passing.restore();
    view.sync();
    screen?.show(rows);
  };

  return (
    <div
      className={classes(tokens.root, styles.sized, props.className)}
      style={{ colorScheme: colorScheme(props.theme ?? "system"), ...props.style }}
    >
      <section className={styles.terminal} aria-label={texts.log} onKeyDown={key}>
        {tools !== false && (
          <div className={styles.bar} role="toolbar" aria-label={texts.tools}>
            <div className={styles.connection}>
              <ConnectionWord snapshot={snapshot} />
              <span className={styles.lines}>{countWords(t, counts)}</span>
            </div>
            {has("search") && (
              <IconButton
                icon="search"
                label={texts.search}
                aria-expanded={open === "search"}
                onClick={() => setOpen(open === "search" ? null : "search")}
              />
            )}
            {has("filter") && (
              <IconButton
                icon="filter"
                label={texts.filter}
                aria-expanded={open === "filter" || isFiltered}
                onClick={() => setOpen(open === "filter" ? null : "filter")}
              />
            )}
            {has("timestamps") && (
              <IconButton
                icon="clock"
                label={texts.timestamps}
                pressed={timestamps}
                onClick={() => setTimestamps(!timestamps)}
              />
            )}
            {has("wrap") && <IconButton icon="wrap" label={texts.wrap} pressed={wrap} onClick={() => setWrap(!wrap)} />}
            {has("export") && (
              <ExportMenu
                filter={filter}
                hasTerms={terms.filter !== ""}
                onExport={(format, isWhole) =>
                  file.start(format, isWhole ? EVERYTHING : filter, isWhole ? "" : terms.filter)
                }
                onCopy={() => void copyText(screen?.selected() || allText(view))}
                onSaveText={() => void saveAsText(whole(), name)}
                onSaveJson={() => void saveAsJsonLines(whole(), name)}
                onLink={props.onLook && (() => void copyText(location.href))}
              />
            )}
            {has("more") && (
              <MoreMenu
                onClear={clear}
                onEarlier={props.onEarlier}
                hiddenChecks={counts.hidden}
                showsChecks={showsChecks}
                onChecks={setShowsChecks}
                isFolding={isFolding}
                onFold={fold}
                showsTimeline={showsTimeline}
                onTimeline={setShowsTimeline}
              />
            )}
          </div>
        )}
        {open === "search" && <SearchRow search={search} onClose={closeSearch} />}
        {showsTimeline && has("timeline") && (
          <TimelineRow
            buckets={timeline.buckets}
            isMore={passing.store.hasOlder}
            isNarrow={terms.terms.some(isRange)}
            onRange={(fromMs, toMs) => terms.set(withSpan(terms.terms, rangeTerms(fromMs, toMs)))}
            onWhole={() => terms.set(withRange(t, terms.terms, ""))}
          />
        )}
        {open === "filter" && <FilterRow filter={filter} counts={timeline} onFilter={setFilter} />}
        {(open === "filter" || terms.terms.length > 0) && (
          <div className={rowStyles.row}>
            <FilterField
              terms={terms}
              label={texts.filterField}
              example='error -path:/health "phrase"'
              isOpen={open === "filter"}
            />
          </div>
        )}
        {terms.filter !== "" && passingSnapshot.connection.phase === "failed" && (
          <div className={rowStyles.row} role="alert">
            {passingSnapshot.connection.problem.message}
          </div>
        )}
        {line !== null && <ChosenLine line={line} onShow={session.reveal} onClear={() => setLine(null)} />}
        <ExportRow file={file} />
        {columns.length > 0 && <ColumnRow {...{ columns, timestamps, fontSize }} onRemove={toggleColumn} />}
        <div className={styles.stage}>
          <div
            ref={host}
            className={lineStyles.host}
            tabIndex={0}
            role="log"
            aria-live="off"
            aria-label={texts.lines}
          />
          {counts.shown === 0 && counts.all > 0 ? (
            <div className={styles.empty}>
              <strong>{texts.noLinesMatch}</strong>
              <span>{t("{countWords} shown.", { countWords: countWords(t, counts) })}</span>
              <Button onClick={showAll}>{texts.showAll}</Button>
            </div>
          ) : (
            counts.all === 0 &&
            view.end === view.first &&
            (counts.hasCleared ? (
              <div className={styles.empty}>
                <span>{texts.cleared}</span>
                <Button onClick={restore}>{texts.showEarlier}</Button>
              </div>
            ) : (
              <Empty isNothing={isNothingYet(snapshot.connection)} phase={snapshot.connection.phase} />
            ))
          )}
          {passingSnapshot.loadingOlder && (
            <div className={styles.older} role="status">
              {texts.loadingOlder}
            </div>
          )}
          {!state.isFollowing && (
            <button type="button" className={styles.pill} onClick={() => screen?.follow()}>
              <Icon name="down" />
              {state.newLines > 0 ? count(t, state.newLines, "{count} new line", "{count} new lines") : texts.toNewest}
            </button>
          )}
        </div>
        <Announcer view={view} />
        <Foot hasEnd={props.end ?? true} snapshot={snapshot} onRetry={session.retryNow} />
        {hovered && <LineTip line={hovered} mark={isNote(hovered.entry) ? undefined : session.markOf(hovered.entry)} />}
      </section>
    </div>
  );
}

/** The look at a log: of the host's page to begin with, and of the person from then on. */
function useLook({ client: given, look: first, onLook }: PreviewTerminalProps) {
  const client = usePreviewClient(given);
  const [look, setLook] = useState(first ?? WHOLE_LOG);
  const told = useRef(onLook);
  useEffect(() => {
    told.current = onLook;
  });
  useEffect(() => told.current?.(look), [look]);
  const setTerms = useCallback((terms: Term[]) => setLook((now) => ({ ...now, terms })), []);
  const terms = useTerms(client, look.terms, setTerms, "on_lines");
  const setFilter = useCallback((filter: LogFilter) => setLook((now) => ({ ...now, filter })), []);
  const setLine = useCallback((line: number | null) => setLook((now) => ({ ...now, line })), []);
  const toggleColumn = useCallback(
    (path: string) =>
      setLook(({ columns = [], ...now }) => {
        const others = columns.filter((one) => one !== path);
        // With too many columns, the oldest is removed.
        const next = others.length < columns.length ? others : [...others, path].slice(-MOST_COLUMNS);
        return next.length > 0 ? { ...now, columns: next } : now;
      }),
    [],
  );
  const showAll = useCallback(
    () =>
      setLook((now) => ({
        ...now,
        filter: EVERYTHING,
        terms: now.terms.map((one) => ({ ...one, isOn: false })),
      })),
    [],
  );
  return { look, terms, setFilter, setLine, toggleColumn, showAll };
}

import { type CSSProperties, type ReactNode, useState } from "react";

import type { PreviewClient } from "../api/client";
import { usePreviewClient } from "../context";
import { useTranslate, type Translate, english, TextsProvider, type Texts } from "../texts/translate";
import { Contained } from "../ui/Contained";
import { classes } from "../ui/controls";
import { tabLabel, Tabs } from "../ui/Tabs";
import { colorScheme, type ThemeChoice } from "../ui/theme";
import tokens from "../ui/tokens.module.css";
import { type PreviewData, usePreviewData } from "../usePreviewData";
import { type PreviewSnapshots, usePreviewSnapshots } from "../usePreviewSnapshots";
import panel from "../ui/panel.module.css";
import { Databases } from "./Databases";
import { Snapshots } from "./Snapshots";
import { SqlView } from "./SqlView";
import { TableView } from "./TableView";
import { useQuery } from "./useQuery";
import type { TableChoice } from "./useRows";

export interface DataPanelProps {
  generationId: string;
  /** What people call it; a fork is named after it. */
  name?: string;
  client?: PreviewClient;
  theme?: ThemeChoice;
  /** Go to another generation, such as a new fork. */
  onShow?: (generationId: string) => void;
  /** Replaces words shown, by their English text. */
  texts?: Texts;
  className?: string;
  style?: CSSProperties;
}

/** The data of a generation's preview: servers, databases, read-only SQL and snapshots. It fills its parent. */
export function DataPanel(props: DataPanelProps): ReactNode {
  return (
    <TextsProvider texts={props.texts}>
      <Contained name={english("This panel")} key={props.generationId}>
        <WholeDataPanel {...props} />
      </Contained>
    </TextsProvider>
  );
}

type View = "databases" | "sql" | "snapshots";

function WholeDataPanel(props: DataPanelProps): ReactNode {
  const t = useTranslate();
  const { generationId } = props;
  const client = usePreviewClient(props.client);
  const data = usePreviewData(generationId, { client });
  const snapshots = usePreviewSnapshots(generationId, { client });
  const query = useQuery(client, generationId);
  const [view, show] = useState<View>("databases");
  const tabs: (readonly [View, string])[] = [
    ["databases", t("Databases")],
    ["sql", t("SQL")],
    ["snapshots", labelOf(t, snapshots)],
  ];
  return (
    <div
      className={classes(tokens.root, panel.panel, props.className)}
      style={{ colorScheme: colorScheme(props.theme ?? "system"), ...props.style }}
    >
      <Tabs label={t("Data")} tabs={tabs} tab={view} onTab={show} />
      <div className={panel.view} role="tabpanel" aria-label={tabLabel(tabs, view)}>
        {view === "databases" && <DatabasesView client={client} generationId={generationId} data={data} />}
        {view === "sql" && <SqlView data={data} query={query} />}
        {view === "snapshots" && (
          <Snapshots
            client={client}
            generationId={generationId}
            name={props.name ?? "project"}
            snapshots={snapshots}
            isRunning={data.isRunning}
            onShow={props.onShow}
          />
        )}
      </div>
    </div>
  );
}

function labelOf(t: Translate, { snapshots }: PreviewSnapshots): string {
  return snapshots ? t("Snapshots ({snapshots})", { snapshots: snapshots.length }) : t("Snapshots");
}

interface DatabasesViewProps {
  client: PreviewClient;
  generationId: string;
  data: PreviewData;
}

/** All databases, or one of their tables. */
function DatabasesView({ client, generationId, data }: DatabasesViewProps): ReactNode {
  const [open, setOpen] = useState<TableChoice | null>(null);
  const [last, setLast] = useState<TableChoice | null>(null);
  if (!open || !data.isRunning) return <Databases data={data} last={last} onOpen={setOpen} />;
  const back = (): void => {
    setLast(open);
    setOpen(null);
  };
  return (
    <TableView
      client={client}
      generationId={generationId}
      choice={open}
      revision={data.databases}
      onRefresh={data.refresh}
      onBack={back}
    />
  );
}

import { type CSSProperties, type ReactNode, useState } from "react";

import type { PreviewClient } from "../api/client";
import { usePreviewClient } from "../context";
import { Contained } from "../ui/Contained";
import { classes } from "../ui/controls";
import { Tabs } from "../ui/Tabs";
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
  className?: string;
  style?: CSSProperties;
}

/** The data of a generation's preview: servers, databases, read-only SQL and snapshots. It fills its parent. */
export function DataPanel(props: DataPanelProps): ReactNode {
  return (
    <Contained name="This panel" key={props.generationId}>
      <WholeDataPanel {...props} />
    </Contained>
  );
}

type View = "databases" | "sql" | "snapshots";

function WholeDataPanel(props: DataPanelProps): ReactNode {
  const { generationId } = props;
  const client = usePreviewClient(props.client);
  const data = usePreviewData(generationId, { client });
  const snapshots = usePreviewSnapshots(generationId, { client });
  const query = useQuery(client, generationId);
  const [view, show] = useState<View>("databases");
  return (
    <div
      className={classes(tokens.root, panel.panel, props.className)}
      style={{ colorScheme: colorScheme(props.theme ?? "system"), ...props.style }}
    >
      <Tabs
        label="Data"
        tabs={[
          ["databases", "Databases"],
          ["sql", "SQL"],
          ["snapshots", labelOf(snapshots)],
        ]}
        tab={view}
        onTab={show}
      />
      <div className={panel.view} role="tabpanel" aria-label={view}>
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

function labelOf({ snapshots }: PreviewSnapshots): string {
  return snapshots ? `Snapshots (${snapshots.length})` : "Snapshots";
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

import {
  DataPanel,
  FailuresPanel,
  FilesPanel,
  LaunchPanel,
  PreviewClient,
  PreviewProvider,
  PreviewTerminal,
  RequestPanel,
  usePreview,
  usePreviewLogs,
} from "@preview/react";
import { StrictMode } from "react";

function Badge() {
  const { instance } = usePreview("gen_1");
  const { logs, isConnected } = usePreviewLogs("gen_1");
  return <p>{`${instance === null} ${logs.length} ${isConnected}`}</p>;
}

/** The same on the server and in the browser. */
export function App({ baseUrl = "https://previews.example.com" }) {
  const client = new PreviewClient({ baseUrl, token: () => "x" });
  return (
    <StrictMode>
      <PreviewProvider client={client}>
        <Badge />
        <LaunchPanel generationId="gen_1" name="Mine" />
        <PreviewTerminal
          generationId="gen_1"
          onLine={(line) => (globalThis.lastLine = line.seq)}
          onStatus={(status) => (globalThis.lastStatus = status.status)}
          texts={{ live: "En direct", filter: "Filtrer" }}
          tools={["search", "filter"]}
          style={{ height: 300 }}
        />
        <RequestPanel generationId="gen_1" />
        <FailuresPanel generationId="gen_1" />
        <FilesPanel generationId="gen_1" />
        <DataPanel generationId="gen_1" />
      </PreviewProvider>
    </StrictMode>
  );
}

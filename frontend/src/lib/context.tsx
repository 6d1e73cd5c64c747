import { createContext, type ReactNode, useContext } from "react";

import { PreviewClient } from "./api/client";

const ClientContext = createContext<PreviewClient | null>(null);

/** Gives the hooks and pieces below it the client they talk through. */
export function PreviewProvider({ client, children }: { client: PreviewClient; children: ReactNode }): ReactNode {
  // React 18 knows no context as a provider.
  return <ClientContext.Provider value={client}>{children}</ClientContext.Provider>;
}

let ownOrigin: PreviewClient | undefined;

/** The client given, else the provider's, else one for this page's own origin that relies on the session cookie. */
export function usePreviewClient(given?: PreviewClient): PreviewClient {
  const provided = useContext(ClientContext);
  return given ?? provided ?? (ownOrigin ??= new PreviewClient());
}

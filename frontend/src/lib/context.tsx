import { createContext, type ReactNode, useContext } from "react";

import { PreviewClient } from "./api/client";
import { type Texts, TextsProvider } from "./texts/translate";

const ClientContext = createContext<PreviewClient | null>(null);

export interface PreviewProviderProps {
  client: PreviewClient;
  /** Replaces words of all components below, by their English text. */
  texts?: Texts;
  children: ReactNode;
}

/** Gives the hooks and pieces below it the client they talk through, and the words they show. */
export function PreviewProvider({ client, texts, children }: PreviewProviderProps): ReactNode {
  // React 18 knows no context as a provider.
  return (
    <ClientContext.Provider value={client}>
      <TextsProvider texts={texts}>{children}</TextsProvider>
    </ClientContext.Provider>
  );
}

let ownOrigin: PreviewClient | undefined;

/** The client given, else the provider's, else one for this page's own origin that relies on the session cookie. */
export function usePreviewClient(given?: PreviewClient): PreviewClient {
  const provided = useContext(ClientContext);
  return given ?? provided ?? (ownOrigin ??= new PreviewClient());
}

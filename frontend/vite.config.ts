import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

const service = process.env.PREVIEW_SERVICE ?? "http://127.0.0.1:8000";

// The page: built into the Python package, which serves it. No file has an address of another host.
export default defineConfig({
  plugins: [react()],
  base: "./",
  // The service puts a new nonce here with each answer (`preview/http/routes/page.py`); scripts and styles of others have none.
  html: { cspNonce: "NONCE-OF-THIS-ANSWER" },
  build: {
    outDir: "../preview/http/static",
    emptyOutDir: true,
    target: "es2022",
    // These know light-dark(): what it is rewritten to for older ones knows the system's scheme, and no other choice.
    cssTarget: ["chrome123", "edge123", "firefox120", "safari17.5"],
    // A data: address for a small file would need a wider Content-Security-Policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 760,
  },
  server: { proxy: { "/api": service, "/login": service } },
  test: {
    // A busy machine.
    testTimeout: 60_000,
    environment: "happy-dom",
    setupFiles: ["tests/setup.ts"],
    include: ["src/**/*.test.{ts,tsx}", "tests/**/*.test.{ts,tsx}"],
    restoreMocks: true,
    maxWorkers: 1,
  },
});

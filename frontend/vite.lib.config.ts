import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// The pieces to embed. React comes from the host; the rest comes along. Class names are scoped.
export default defineConfig({
  plugins: [react()],
  publicDir: false,
  build: {
    outDir: "dist",
    emptyOutDir: true,
    target: "es2022",
    // These know light-dark(): what it is rewritten to for older ones knows the system's scheme, and no other choice.
    cssTarget: ["chrome123", "edge123", "firefox120", "safari17.5"],
    minify: false,
    lib: { entry: "src/lib/index.ts", formats: ["es"], fileName: "preview-react", cssFileName: "preview-react" },
    rolldownOptions: { external: ["react", "react-dom", "react/jsx-runtime"] },
  },
});

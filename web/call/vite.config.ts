import { defineConfig } from "vite";

// What is built is gzipped into ../dist (bundle.mjs), committed and embedded in the binary, so its names and bytes must depend on the sources alone.
export default defineConfig({
    base: "./",
    build: {
        outDir: "build",
        emptyOutDir: true,
        target: "es2022",
        sourcemap: false,
        chunkSizeWarningLimit: 3000,
        assetsInlineLimit: 0,
    },
    worker: { format: "es" },
});

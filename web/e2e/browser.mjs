// Debian's Chromium with made-up devices, and a page that holds a bare livekit-client.
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

export async function startBrowser() {
    return chromium.launch({
        executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
        args: [
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--autoplay-policy=no-user-gesture-required",
            "--use-fake-ui-for-media-stream",
            "--use-fake-device-for-media-stream",
            "--auto-accept-this-tab-capture",
            "--disable-features=WebRtcHideLocalIpsWithMdns",
        ],
    });
}

const library = fileURLToPath(new URL("node_modules/livekit-client/dist/livekit-client.umd.js", import.meta.url));
const worker = fileURLToPath(new URL("node_modules/livekit-client/dist/livekit-client.e2ee.worker.js", import.meta.url));
const sealed = fileURLToPath(new URL("e2ee-page.js", import.meta.url));
const helpers = fileURLToPath(new URL("page.js", import.meta.url));

/** Serves the bare page; getUserMedia needs an origin that counts as secure, which loopback does. */
export async function servePage() {
    const page = `<!doctype html><meta charset="utf-8"><title>bare client</title>
<style>video { display: inline-block; background: #444 }</style><body><script src="/livekit.js"></script><script src="/page.js"></script><script src="/e2ee-page.js"></script>`;
    const files = {
        "/livekit.js": await readFile(library),
        "/page.js": await readFile(helpers),
        "/e2ee-page.js": await readFile(sealed),
        "/worker.js": await readFile(worker),
        "/": page,
    };
    const server = createServer((request, response) => {
        const body = files[request.url];
        response.writeHead(body === undefined ? 404 : 200, {
            "Content-Type": request.url === "/" ? "text/html" : "text/javascript",
        });
        response.end(body);
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    return { url: `http://127.0.0.1:${server.address().port}/`, close: () => server.close() };
}

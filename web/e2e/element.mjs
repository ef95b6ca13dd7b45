// Element Call, unmodified from its package, as a widget in our host page; and what tests ask of it.
import { createReadStream } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { createServer } from "node:http";
import { once } from "node:events";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { until } from "./focus.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const elementCall = join(here, "node_modules/@element-hq/element-call-embedded/dist");
const wasm = join(here, "node_modules/@matrix-org/matrix-sdk-crypto-wasm/pkg");

const types = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".json": "application/json",
    ".wasm": "application/wasm",
    ".svg": "image/svg+xml",
};

/** Serves the host page and, below /element-call/, Element Call. One origin, on loopback, which counts as secure. */
export async function serveElementCall() {
    const bundle = await build({
        entryPoints: [join(here, "element-host.js")],
        bundle: true,
        format: "esm",
        target: "chrome120",
        write: false,
        define: { global: "globalThis" },
        logLevel: "error",
    });
    const memory = { "/": [".html", await readFile(join(here, "element-host.html"))], "/host.js": [".js", bundle.outputFiles[0].contents] };
    const server = createServer(async (request, response) => {
        const path = normalize(new URL(request.url, "http://host").pathname);
        if (memory[path]) {
            response.writeHead(200, { "Content-Type": types[memory[path][0]] }).end(memory[path][1]);
            return;
        }
        const [, first, ...rest] = path.split("/");
        const file = first === "element-call" ? join(elementCall, ...rest) : first === "pkg" ? join(wasm, ...rest) : null;
        if (!file || !(await stat(file).then((s) => s.isFile(), () => false))) {
            response.writeHead(404).end();
            return;
        }
        response.writeHead(200, { "Content-Type": types[extname(file)] ?? "application/octet-stream", "Cache-Control": "max-age=3600" });
        createReadStream(file).pipe(response);
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    return {
        url: `http://127.0.0.1:${server.address().port}/`,
        close() {
            server.closeAllConnections();
            server.close();
        },
    };
}

/** Runs in every frame before its scripts: peer connections can be asked for their statistics later. */
function watchPeerConnections() {
    const peers = (window.peerConnections = []);
    window.RTCPeerConnection = class extends window.RTCPeerConnection {
        constructor(...args) {
            super(...args);
            peers.push(this);
        }
    };
}

/** Runs in Element Call's frame: all inbound and outbound streams. */
async function streams() {
    const found = [];
    for (const pc of window.peerConnections) {
        if (pc.connectionState === "closed") continue;
        (await pc.getStats()).forEach((s) => {
            if (s.type === "inbound-rtp" || s.type === "outbound-rtp") {
                found.push({
                    way: s.type.split("-")[0],
                    kind: s.kind,
                    ssrc: s.ssrc,
                    rid: s.rid,
                    packets: s.packetsReceived ?? s.packetsSent ?? 0,
                    frames: s.framesDecoded ?? s.framesSent ?? 0,
                    width: s.frameWidth ?? 0,
                    energy: s.totalAudioEnergy ?? 0,
                    lost: s.packetsLost ?? 0,
                });
            }
        });
    }
    return found;
}

/**
 * A user in a browser of its own: signed in, keys uploaded, room known; not yet in the call. `mode` is what the user
 * would choose in Element Call's developer settings: compatibility or matrix_2_0.
 */
export async function openHost({ browser, hostUrl, user, room, mode }) {
    const context = await browser.newContext({ viewport: { width: 1000, height: 700 }, permissions: ["camera", "microphone"] });
    await context.addInitScript(watchPeerConnections);
    await context.addInitScript((m) => localStorage.setItem("matrix-setting-matrix-rtc-mode", JSON.stringify(m)), mode);
    const page = await context.newPage();
    const lines = [];
    page.on("console", (message) => lines.push(`${message.type()}: ${message.text()}`));
    page.on("pageerror", (error) => lines.push(`page error: ${error.message}`));
    const requests = [];
    page.on("response", (response) => {
        const url = new URL(response.url());
        if (/\/(sfu\/get|get_token|delegate_delayed_leave)$/.test(url.pathname)) requests.push({ url: url.href, method: response.request().method(), status: response.status(), response });
    });
    await page.goto(hostUrl);
    await page.waitForFunction(() => window.host);
    await page.evaluate((o) => window.host.start(o), { baseUrl: user.http, userId: user.id, accessToken: user.token, deviceId: user.device, roomId: room });

    const frame = () => page.frame({ name: "element-call" });
    const host = {
        page,
        user,
        lines,
        requests,
        frame,
        seen: () => page.evaluate(() => window.host.seen),
        /** Opens Element Call, which joins at once. */
        call: (params) => page.evaluate((o) => window.host.open(o), { roomId: room, params }),
        streams: () => frame().evaluate(streams),
        text: () => frame().evaluate(() => document.body.innerText),
        hangup: () => page.evaluate(() => window.host.hangup()),

        /** The answers of a door, oldest first. */
        door: (path) => requests.filter((r) => new URL(r.url).pathname.endsWith(path) && r.method === "POST"),

        /** Waits until so many videos of others are decoded, and as many voices heard. */
        async sees(others, frames = 5) {
            await until(
                `${user.id} to see and hear ${others}`,
                async () => {
                    const inbound = (await host.streams()).filter((s) => s.way === "inbound");
                    const videos = inbound.filter((s) => s.kind === "video" && s.frames >= frames);
                    const voices = inbound.filter((s) => s.kind === "audio" && s.energy > 0);
                    return videos.length >= others && voices.length >= others;
                },
                30_000,
            );
        },

        /** For a test's failure: what the page said last. */
        report: async () => [`-- ${user.id}`, ...lines.slice(-60), await host.text().catch((e) => e.message), JSON.stringify(await host.streams().catch(() => []))].join("\n"),
        close: () => context.close(),
    };
    return host;
}

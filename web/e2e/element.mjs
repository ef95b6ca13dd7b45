// Element Call, unmodified from its package, as a widget in our host page; and what tests ask of it.
import { createReadStream } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { createServer } from "node:http";
import { once } from "node:events";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { startBrowser } from "./browser.mjs";
import { freePort, makeFocus, until } from "./focus.mjs";
import { startSynapse } from "./synapse.mjs";

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

/**
 * Asks a door of the focus for a token, as Element Call does: /sfu/get, /get_token, or "proxied", the one behind the
 * homeserver. `change` replaces parts of the request.
 */
export async function askDoor(world, door, user, room, { openid, ...change } = {}) {
    const member = { id: "m", claimed_user_id: user.id, claimed_device_id: user.device };
    if (door === "proxied") {
        const path = "/_matrix/client/unstable/io.element.msc4195/rtc/livekit/get_token";
        return user.call("POST", path, { room_id: room, slot_id: "m.call#ROOM", url: world.focus.ws, member, ...change }).then(
            (answer) => ({ status: 200, ...answer }),
            ({ status, errcode, error }) => ({ status, errcode, error }),
        );
    }
    openid ??= await user.openid();
    const body = door === "/sfu/get" ? { room, openid_token: openid, device_id: user.device } : { room_id: room, slot_id: "m.call#ROOM", openid_token: openid, member };
    const answer = await fetch(world.service + door, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ ...body, ...change }) });
    return { status: answer.status, cors: answer.headers.get("access-control-allow-origin"), ...(await answer.json()) };
}

/**
 * Synapse, a focus that it advertises, a browser and the host page. `registered` is the reach of the focus's appservice
 * registration. Synapse then loads what `weir registration` and `weir advise` wrote, unedited; without a registration the
 * focus knows nobody's membership.
 */
export async function startWorld({ registered, config = {}, synapse: settings = {} } = {}) {
    const homeserver = await freePort();
    const focus = await makeFocus(
        { ...config, homeserver: { server_name: settings.serverName ?? "hs.test", internal_url: `http://127.0.0.1:${homeserver}`, ...config.homeserver } },
        { registered },
    );
    const transports = [{ type: "livekit", livekit_service_url: focus.http }];
    const started = await Promise.allSettled([
        startSynapse({ port: homeserver, ...(registered ? { advice: focus.advice } : { transports }), ...settings }),
        focus.start(),
        startBrowser(),
        serveElementCall(),
    ]);
    const [synapse, , browser, page] = started.map((s) => s.value);
    const close = async () => {
        await browser?.close();
        page?.close();
        const status = await focus.close();
        await synapse?.close();
        return status;
    };
    const failed = started.find((s) => s.status === "rejected");
    if (failed) {
        await close();
        throw failed.reason;
    }
    const host = (user, room, mode) => openHost({ browser, hostUrl: page.url, user, room, mode });
    return { synapse, focus, browser, page, service: focus.http, host, close };
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
 * would choose in Element Call's settings for developers: compatibility or matrix_2_0.
 */
export async function openHost({ browser, hostUrl, user, room, mode }) {
    const context = await browser.newContext({ viewport: { width: 1000, height: 700 }, permissions: ["camera", "microphone"] });
    await context.addInitScript(watchPeerConnections);
    await context.addInitScript(
        (settings) => Object.entries(settings).forEach(([key, value]) => localStorage.setItem(`matrix-setting-${key}`, JSON.stringify(value))),
        // A small picture: several cameras are encoded and decoded on one machine.
        { "matrix-rtc-mode": mode, "advanced-camera": true, "camera-resolution": "640x360" },
    );
    const page = await context.newPage();
    const lines = [];
    page.on("console", (message) => lines.push(`${message.type()}: ${message.text()}`));
    page.on("pageerror", (error) => lines.push(`page error: ${error.message}`));
    const requests = [];
    page.on("response", (response) => {
        const url = new URL(response.url());
        const request = response.request();
        if (request.method() !== "POST" || !/\/(sfu\/get|get_token|delegate_delayed_leave)$/.test(url.pathname)) return;
        requests.push({
            origin: url.origin,
            path: url.pathname,
            status: response.status(),
            sent: request.postDataJSON(),
            answer: response.json().catch(() => null),
            at: Date.now(),
        });
    });
    const sockets = [];
    page.on("websocket", (socket) => {
        const entry = { url: new URL(socket.url()), opened: Date.now(), closed: 0 };
        sockets.push(entry);
        socket.on("close", () => (entry.closed = Date.now()));
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
        sockets, // signalling connections, oldest first; closed is 0 while open
        frame,
        seen: () => page.evaluate(() => window.host.seen),
        /** Opens Element Call, which joins at once. */
        call: (params) => page.evaluate((o) => window.host.open(o), { roomId: room, params }),
        streams: () => frame().evaluate(streams),
        text: () => frame().evaluate(() => document.body.innerText),
        hangup: () => page.evaluate(() => window.host.hangup()),
        /** Presses a button of Element Call, by its name. */
        press: (name) => page.frameLocator("iframe").getByRole("button", { name, exact: true }).click(),

        /** The answers of a door, oldest first. */
        door: (path) => requests.filter((r) => r.path === path),

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
                60_000,
            );
        },

        /** Waits until all that is received moves on: the call is alive. Without `decoded`, to arrive is enough. */
        async receives({ decoded = true } = {}) {
            const count = async () => (await host.streams()).filter((s) => s.way === "inbound").map((s) => [s.kind, decoded && s.kind === "video" ? s.frames : s.packets, s.ssrc]);
            const before = new Map((await count()).map(([, n, ssrc]) => [ssrc, n]));
            await until(`media for ${user.id} to move on`, async () => {
                const moved = new Set((await count()).filter(([, n, ssrc]) => n > (before.get(ssrc) ?? 0) + 3).map(([kind]) => kind));
                return moved.has("audio") && moved.has("video");
            }, 60_000);
        },

        /** For a test's failure: what the page said last. */
        report: async () => [`-- ${user.id}`, ...lines.slice(-60), await host.text().catch((e) => e.message), JSON.stringify(await host.streams().catch(() => []))].join("\n"),
        /** Closes the browser's window, after leaving the call if it is in one. */
        async close() {
            await page.evaluate(() => window.host.leave()).catch(() => {}); // it may have crashed
            await context.close();
        },

        /** Ends the renderer at once, as a crash does: nothing of the page runs any more, nobody is told. */
        async kill() {
            const session = await context.newCDPSession(page);
            const crashed = page.waitForEvent("crash");
            session.send("Page.crash").catch(() => {}); // it never answers
            await crashed;
        },
    };
    return host;
}

// The programs under test, started on loopback and stopped by their process ids.
import { execFile as execute, spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, connect as dial } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

export const bin = process.env.BIN ?? fileURLToPath(new URL("../../bin/", import.meta.url));

const execFile = promisify(execute);

/** A free TCP port of loopback. */
export async function freePort() {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address();
    server.close();
    await once(server, "close");
    return port;
}

/** Starts a program and keeps what it prints. */
export function run(program, args, env = {}) {
    const child = spawn(program, args, { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] });
    const out = [];
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => out.push(chunk));
    const ended = once(child, "exit");
    return {
        child,
        ended,
        output: () => Buffer.concat(out).toString(),
        async stop(signal = "SIGTERM") {
            if (child.exitCode === null && child.signalCode === null) child.kill(signal);
            await ended;
            return child.exitCode;
        },
    };
}

/** Asks until the answer is yes; the limit is for a program that never will. */
export async function until(what, ask, limit = 30_000) {
    const end = Date.now() + limit;
    for (;;) {
        const answer = await ask();
        if (answer) return answer;
        if (Date.now() > end) throw new Error(`waited in vain for: ${what}`);
        await new Promise((resolve) => setTimeout(resolve, 50));
    }
}

/** `weir serve --dev` on free ports. */
export async function startDev(args = []) {
    const port = await freePort();
    const media = await freePort();
    const process = run(`${bin}/weir`, ["serve", "--dev", ...args], {
        WEIR_PORT: String(port),
        WEIR_RTC__UDP_PORT: String(media),
        WEIR_PROMETHEUS__PORT: "0",
    });
    const http = `http://127.0.0.1:${port}`;
    await until("weir serve --dev", async () => {
        if (process.child.exitCode !== null) throw new Error(`weir ended:\n${process.output()}`);
        return fetch(`${http}/readyz`).then((r) => r.ok, () => false);
    });
    return { ...process, port, http, ws: `ws://127.0.0.1:${port}` };
}

const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");

/** A call token signed with the development key. */
export function token(identity, room, grants = {}) {
    const now = Math.floor(Date.now() / 1000);
    const head = part({ alg: "HS256", typ: "JWT" });
    const body = part({
        iss: "devkey",
        sub: identity,
        name: identity,
        nbf: now - 10,
        exp: now + 3600,
        video: { roomJoin: true, room, canPublish: true, canSubscribe: true, canPublishData: true, canUpdateOwnMetadata: true, ...grants },
    });
    const signature = createHmac("sha256", "secret").update(`${head}.${body}`).digest("base64url");
    return `${head}.${body}.${signature}`;
}

/** Calls RoomService. */
export async function api(focus, method, body, grants) {
    const answer = await fetch(`${focus.http}/twirp/livekit.RoomService/${method}`, {
        method: "POST",
        headers: { "Content-Type": "application/json", Authorization: `Bearer ${token("api", body.room ?? "", grants)}` },
        body: JSON.stringify(body),
    });
    return { status: answer.status, body: await answer.json() };
}

/** A TCP relay in front of a port, whose connections can be cut. */
export async function relay(port) {
    const open = new Set();
    const server = createServer((socket) => {
        const onward = dial(port, "127.0.0.1");
        open.add(socket);
        for (const [a, b] of [[socket, onward], [onward, socket]]) {
            a.pipe(b);
            a.on("error", () => b.destroy());
            a.on("close", () => {
                open.delete(socket);
                b.destroy();
            });
        }
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    return {
        ws: `ws://127.0.0.1:${server.address().port}`,
        cut() {
            for (const socket of open) socket.destroy();
        },
        close() {
            this.cut();
            server.close();
        },
    };
}

/**
 * A focus with a configuration (keys of the YAML file), on free ports unless it names them, in a folder of its own; not
 * started yet. `registered`: it has an appservice registration, of that reach (ask, assert, push).
 */
export async function makeFocus(config, { registered } = {}) {
    const port = config.port ?? (await freePort());
    const folder = await mkdtemp(join(tmpdir(), "weir-focus-"));
    const file = join(folder, "weir.yaml");
    const registration = registered && join(folder, "registration.yaml");
    const advice = registered && join(folder, "synapse.yaml");
    const http = `http://127.0.0.1:${port}`;
    const whole = {
        public_url: http,
        bind_addresses: ["127.0.0.1"],
        port,
        prometheus: { port: 0 },
        drain: { timeout: "1s" },
        storage: { dir: folder },
        ...config,
        homeserver: registration ? { registration_file: registration, ...config.homeserver } : config.homeserver,
        rtc: { udp_port: await freePort(), advertise: ["127.0.0.1"], ...config.rtc },
    };
    await writeFile(file, JSON.stringify(whole)); // JSON is YAML
    if (registration) {
        const made = run(`${bin}/weir`, ["registration", "--config", file, "--mode", registered, "--write"]);
        await made.ended;
        if (made.child.exitCode !== 0) throw new Error(`weir registration: ${made.output()}`);
        await writeFile(advice, (await execFile(`${bin}/weir`, ["advise", "synapse", "--config", file])).stdout);
    }
    let process;
    return {
        port,
        http,
        ws: `ws://127.0.0.1:${port}`,
        file,
        advice,
        output: () => process.output(),

        /** Starts it, or starts it again after stop, with what it had stored. */
        async start() {
            process = run(`${bin}/weir`, ["serve", "--config", file]);
            await until("weir serve", async () => {
                if (process.child.exitCode !== null) throw new Error(`weir ended:\n${process.output()}`);
                return fetch(`${http}/readyz`).then((r) => r.ok, () => false);
            });
        },

        stop: (signal) => process.stop(signal),

        /** Stops it for good; returns its exit status. */
        async close() {
            const status = await process.stop();
            await rm(folder, { recursive: true, force: true });
            return status;
        },
    };
}

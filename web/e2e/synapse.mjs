// A real Synapse on loopback in a folder of its own, and the users and rooms that tests make there.
import { createHmac, randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { freePort, run, until } from "./focus.mjs";

const python = join(process.env.SYNAPSE_VENV ?? fileURLToPath(new URL("../../out/synapse/", import.meta.url)), "bin/python");

const unlimited = { per_second: 10_000, burst_count: 10_000 };
const secret = () => randomBytes(24).toString("base64url");

/** homeserver.yaml; JSON is YAML. The experimental flags are those that MatrixRTC needs. */
/** What a homeserver for calls has beside what it has anyway: as `weir advise synapse` says, where there is no such advice. */
const forCalls = (transports) => ({
    experimental_features: {
        msc3266_enabled: true,
        msc4143_enabled: true,
        msc4222_enabled: true,
        msc4354_enabled: true,
    },
    max_event_delay_duration: "24h",
    matrix_rtc: { transports },
});

function configuration({ serverName, port, folder, transports, advice, extra }) {
    return {
        server_name: serverName,
        public_baseurl: `http://127.0.0.1:${port}/`,
        pid_file: join(folder, "pid"),
        listeners: [{ port, bind_addresses: ["127.0.0.1"], type: "http", resources: [{ names: ["client", "federation"] }] }],
        database: { name: "sqlite3", args: { database: join(folder, "homeserver.db") } },
        log_config: join(folder, "log.yaml"),
        media_store_path: join(folder, "media"),
        signing_key_path: join(folder, "signing.key"),
        macaroon_secret_key: secret(),
        form_secret: secret(),
        registration_shared_secret: secret(),
        report_stats: false,
        trusted_key_servers: [],
        suppress_key_server_warning: true,
        bcrypt_rounds: 4,
        presence: { enabled: false },
        ...(advice ? {} : forCalls(transports)),
        rc_message: unlimited,
        rc_registration: unlimited,
        rc_login: { address: unlimited, account: unlimited, failed_attempts: unlimited },
        rc_joins: { local: unlimited, remote: unlimited },
        rc_joins_per_room: unlimited,
        rc_invites: { per_room: unlimited, per_user: unlimited, per_issuer: unlimited },
        rc_delayed_event_mgmt: unlimited,
        rc_room_creation: unlimited,
        ...extra,
    };
}

const logging = {
    version: 1,
    formatters: { plain: { format: "%(asctime)s %(levelname)s %(name)s %(message)s" } },
    handlers: { console: { class: "logging.StreamHandler", formatter: "plain" } },
    root: { level: "WARNING", handlers: ["console"] },
    disable_existing_loggers: false,
};

/**
 * Starts Synapse. `advice` is a file of configuration that it loads first; without one `transports` is what it advertises
 * to clients. `port` is given by who must know it before the start.
 */
export async function startSynapse({ serverName = "hs.test", transports = [], advice, extra = {}, port } = {}) {
    port ??= await freePort();
    const folder = await mkdtemp(join(tmpdir(), "weir-synapse-"));
    const config = configuration({ serverName, port, folder, transports, advice, extra });
    const file = join(folder, "homeserver.yaml");
    await writeFile(file, JSON.stringify(config, null, 2));
    await writeFile(join(folder, "log.yaml"), JSON.stringify(logging));
    await writeFile(config.signing_key_path, `ed25519 a_test ${randomBytes(32).toString("base64").replace(/=+$/, "")}\n`);
    const http = `http://127.0.0.1:${port}`;
    let process;
    const synapse = {
        serverName,
        http,
        port,
        folder,
        output: () => process?.output() ?? "",

        /** Starts it, or starts it again after stop. */
        async start() {
            process = run(python, ["-m", "synapse.app.homeserver", ...(advice ? ["-c", advice] : []), "-c", file], { PYTHONUNBUFFERED: "1" });
            await until(
                "Synapse",
                async () => {
                    if (process.child.exitCode !== null) throw new Error(`Synapse ended:\n${process.output()}`);
                    return fetch(`${http}/health`).then((r) => r.ok, () => false);
                },
                60_000,
            );
        },

        /** Stops it and keeps its data: an outage. */
        async stop() {
            const patience = setTimeout(() => process.child.kill("SIGKILL"), 10_000);
            await process.stop();
            clearTimeout(patience);
        },

        /** Stops it for good. */
        async close() {
            await this.stop();
            await rm(folder, { recursive: true, force: true });
        },

        /** Registers a user by the shared secret, which no rate limit or captcha stands before. */
        async register(name, { admin = false } = {}) {
            const path = "/_synapse/admin/v1/register";
            const { nonce } = await call(http, null, "GET", path);
            const password = secret();
            const mac = createHmac("sha1", config.registration_shared_secret)
                .update([nonce, name, password, admin ? "admin" : "notadmin"].join("\0"))
                .digest("hex");
            const body = await call(http, null, "POST", path, { nonce, username: name, password, admin, mac });
            return new User(http, body, password);
        },
    };
    try {
        await synapse.start();
    } catch (error) {
        await synapse.close();
        throw error;
    }
    return synapse;
}

/** One request; what the server says against it becomes an error with status and errcode. */
async function call(http, token, method, path, body) {
    const answer = await fetch(http + path, {
        method,
        headers: { "Content-Type": "application/json", ...(token && { Authorization: `Bearer ${token}` }) },
        body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await answer.text();
    let content;
    try {
        content = JSON.parse(text);
    } catch {
        content = { error: text }; // an appservice behind Synapse may say anything
    }
    if (!answer.ok) throw Object.assign(new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(content)}`), { status: answer.status, ...content });
    return content;
}

const enc = encodeURIComponent;
let transaction = 0;

/** A user on one device, speaking to the homeserver without any library. */
export class User {
    constructor(http, { user_id, access_token, device_id }, password) {
        Object.assign(this, { http, id: user_id, token: access_token, device: device_id, password });
    }

    call(method, path, body) {
        return call(this.http, this.token, method, path, body);
    }

    #room(method, room, path, body) {
        return this.call(method, `/_matrix/client/v3/rooms/${enc(room)}/${path}`, body);
    }

    /** The same user on one more device. */
    async login(device) {
        const body = await call(this.http, null, "POST", "/_matrix/client/v3/login", {
            type: "m.login.password",
            identifier: { type: "m.id.user", user: this.id },
            password: this.password,
            device_id: device,
        });
        return new User(this.http, body, this.password);
    }

    /** A fresh OpenID token, as the doors of a focus want it. */
    openid() {
        return this.call("POST", `/_matrix/client/v3/user/${enc(this.id)}/openid/request_token`, {});
    }

    /** A room where all may call, as Element Web makes them; returns its id. */
    async createRoom({ encrypted = false, invite = [], preset = "private_chat", powers = {} } = {}) {
        const state = encrypted ? [{ type: "m.room.encryption", state_key: "", content: { algorithm: "m.megolm.v1.aes-sha2" } }] : [];
        const { room_id } = await this.call("POST", "/_matrix/client/v3/createRoom", {
            preset,
            invite: invite.map((user) => user.id),
            initial_state: state,
            power_level_content_override: { events: { "org.matrix.msc3401.call.member": 0 }, ...powers },
        });
        await Promise.all(invite.map((user) => user.join(room_id)));
        return room_id;
    }

    join(room) {
        return this.#room("POST", room, "join", {});
    }

    leave(room) {
        return this.#room("POST", room, "leave", {});
    }

    invite(room, user) {
        return this.#room("POST", room, "invite", { user_id: user.id });
    }

    kick(room, user) {
        return this.#room("POST", room, "kick", { user_id: user.id });
    }

    ban(room, user) {
        return this.#room("POST", room, "ban", { user_id: user.id });
    }

    unban(room, user) {
        return this.#room("POST", room, "unban", { user_id: user.id });
    }

    send(room, type, content, query = "") {
        return this.#room("PUT", room, `send/${enc(type)}/e2e${transaction++}${query}`, content);
    }

    setState(room, type, key, content) {
        return this.#room("PUT", room, `state/${enc(type)}/${enc(key)}`, content);
    }

    /** All state events of a type. */
    async state(room, type) {
        const events = await this.#room("GET", room, "state");
        return type === undefined ? events : events.filter((event) => event.type === type);
    }

    /** The events that the homeserver will send later by itself. */
    async delayed() {
        const body = await this.call("GET", "/_matrix/client/unstable/org.matrix.msc4140/delayed_events");
        return body.scheduled ?? body.delayed_events ?? [];
    }

    /** The call members that state events claim: those with content. */
    async stateMembers(room) {
        return (await this.state(room, "org.matrix.msc3401.call.member")).filter((event) => Object.keys(event.content).length > 0);
    }

    /** The sticky events of a room now, in the clear only if the room is not encrypted. */
    async sticky(room) {
        const filter = enc(JSON.stringify({ room: { rooms: [room] } }));
        const sync = await this.call("GET", `/_matrix/client/v3/sync?timeout=0&filter=${filter}`);
        const joined = sync.rooms?.join?.[room];
        return [...(joined?.msc4354_sticky?.events ?? []), ...(joined?.timeline?.events ?? []).filter((event) => event.msc4354_sticky)];
    }
}

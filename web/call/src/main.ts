import type { MatrixClient, Room } from "matrix-js-sdk";
import { enter, signIn, signOut, type Credentials } from "./account.ts";
import { Call } from "./call.ts";
import { Controls } from "./controls.ts";
import { el, reason } from "./dom.ts";
import type { Secrecy } from "./keys.ts";
import { readLink, type CallLink } from "./link.ts";
import { Stage } from "./stage.ts";
import { StatsReader } from "./stats.ts";
import "./style.css";

const app = document.getElementById("app")!;

const secrecyWords: Record<Secrecy, string> = {
    members: "End-to-end encrypted, each member with keys of their own",
    password: "End-to-end encrypted with the call's password",
    none: "Not encrypted",
};

function alertLine(): { node: HTMLElement; say: (text: string) => void } {
    const node = el("p", { class: "alert", role: "alert" });
    return { node, say: (text) => (node.textContent = text) };
}

/** The form for those whose link does not say everything. */
function loginForm(link: CallLink, message: string): Promise<Credentials & { room: string; password2?: string }> {
    return new Promise((resolve) => {
        const field = (label: string, name: string, value: string, type = "text"): HTMLLabelElement =>
            el("label", {}, label, el("input", { name, type, value, required: name !== "password2", autocomplete: name }));
        const form = el(
            "form",
            { class: "login" },
            el("h1", {}, "Join the call"),
            field("Homeserver", "homeserver", link.homeserver ?? ""),
            field("User", "user", link.user ?? ""),
            field("Password", "password", "", "password"),
            field("Room", "room", link.room ?? ""),
            field("Call password (end-to-end encryption)", "password2", link.password ?? "", "password"),
            el("p", { class: "alert", role: "alert" }, message),
            el("button", { type: "submit" }, "Join"),
        );
        form.addEventListener("submit", (event) => {
            event.preventDefault();
            const data = new FormData(form);
            const text = (name: string): string => String(data.get(name) ?? "");
            resolve({
                homeserver: text("homeserver"),
                user: text("user"),
                password: text("password"),
                room: text("room"),
                password2: text("password2") || undefined,
            });
        });
        app.replaceChildren(form);
        form.querySelector<HTMLInputElement>("input[value='']")?.focus();
    });
}

async function start(): Promise<void> {
    const link = readLink(location.hash);
    let message = "";
    for (;;) {
        let wanted: Credentials & { room: string; password2?: string };
        if (!message && link.homeserver && link.user && link.login && link.room) {
            wanted = { homeserver: link.homeserver, user: link.user, password: link.login, room: link.room, password2: link.password };
        } else {
            wanted = await loginForm(link, message);
        }
        try {
            app.replaceChildren(el("p", { class: "waiting", role: "status" }, "Joining…"));
            const client = await signIn(wanted);
            const room = await enter(client, wanted.room, wanted.password2 === undefined);
            await runCall(client, room, { ...link, password: wanted.password2 });
            return;
        } catch (error) {
            message = reason(error);
        }
    }
}

async function runCall(client: MatrixClient, room: Room, link: CallLink): Promise<void> {
    const stage = new Stage();
    const stats = new StatsReader();
    const alert = alertLine();
    let controls: Controls | undefined;
    let showStats = false;
    let queued = false;
    const redraw = (): void => {
        if (queued) return;
        queued = true;
        queueMicrotask(() => {
            queued = false;
            stage.show(call.sources());
            controls?.refresh();
            document.body.classList.toggle("reconnecting", call.reconnecting);
        });
    };
    const call = new Call(client, room, link, redraw, (why) => leave(why));
    const leave = (why: string): void => {
        void call.leave().then(() => signOut(client));
        app.replaceChildren(
            el(
                "section",
                { class: "login" },
                el("h1", {}, "You left the call"),
                el("p", { role: "status" }, why),
                el("button", { type: "button", onclick: () => location.reload() }, "Join again"),
            ),
        );
    };
    await call.join();
    controls = new Controls(call.local, {
        toggleView: () => stage.toggleView(),
        toggleStats: () => {
            showStats = !showStats;
            document.body.classList.toggle("with-stats", showStats);
            return showStats;
        },
        leave: () => leave("See you soon."),
        warn: alert.say,
    });
    const header = el(
        "header",
        {},
        el("h1", {}, room.name),
        el("p", { class: "encryption" }, secrecyWords[call.secrecy]),
    );
    app.replaceChildren(header, alert.node, stage.root, controls.root);
    redraw();
    addEventListener("pagehide", () => void call.leave());
    setInterval(() => {
        if (!showStats) return;
        for (const source of call.sources()) {
            const out = stage.statsOf(source.key);
            if (out) void stats.read(source).then((text) => (out.textContent = text));
        }
    }, 1000);
    if (!link.muted) await publish(call, alert.say);
    redraw();
}

/** Turns camera and microphone on, each for itself: one may be missing or refused. */
async function publish(call: Call, warn: (text: string) => void): Promise<void> {
    const local = call.local.localParticipant;
    const tried = await Promise.allSettled([local.setMicrophoneEnabled(true), local.setCameraEnabled(true)]);
    const failed = tried.filter((t) => t.status === "rejected").map((t) => reason(t.reason));
    if (failed.length) warn(`You take part without ${failed.length === 2 ? "camera and microphone" : "one device"}: ${failed[0]}`);
}

void start();

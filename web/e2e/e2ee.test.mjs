// livekit-client's own encryption in Chromium against the Go side's, through a focus: each opens every frame of the other,
// with shared and per-participant keys, while keys are ratcheted and rotated.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";
import { servePage, startBrowser } from "./browser.mjs";
import { bin, startDev, token, until } from "./focus.mjs";

let focus, browser, bare;

before(async () => {
    focus = await startDev();
    browser = await startBrowser();
    bare = await servePage();
});

after(async () => {
    await browser?.close();
    bare?.close();
    const status = await focus?.stop();
    assert.equal(status, 0, `weir ended with status ${status}:\n${focus?.output()}`);
});

const newKey = () => randomBytes(16).toString("base64");

/** The Go participant: obeys one order at a time, and answers each with what it received so far. */
async function startPeer(identity, room, args, first = {}) {
    const child = spawn(`${bin}/weir-bench`, ["peer", `--url=${focus.ws}`, `--token=${token(identity, room)}`, ...args], { stdio: ["pipe", "pipe", "pipe"] });
    let errors = "";
    child.stderr.on("data", (chunk) => (errors += chunk));
    const answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const peer = {
        async order(o) {
            child.stdin.write(JSON.stringify(o) + "\n");
            const { value, done } = await answers.next();
            if (done) throw new Error(`weir-bench peer ended: ${errors}`);
            const report = JSON.parse(value);
            assert.equal(report.error, undefined);
            return report;
        },
        report: () => peer.order({}),
        of: async (from, codec) => (await peer.report()).frames[`${from} ${codec}`] ?? { opened: 0, keyframes: 0, refused: {}, indices: {}, clear: 0 },
        async close() {
            child.stdin.end();
            if (child.exitCode === null) await once(child, "exit");
            assert.equal(child.exitCode, 0, errors);
        },
    };
    await peer.order(first);
    return peer;
}

async function openPage(identity, room, options) {
    const context = await browser.newContext();
    const page = await context.newPage();
    page.on("pageerror", (error) => console.error(`${identity}:`, error.message));
    await page.goto(bare.url);
    const client = {
        call: (fn, ...args) => page.evaluate(([f, a]) => window.sealed[f](...a), [fn, args]),
        join: () => client.call("join", focus.ws, token(identity, room), options),
        close: () => context.close(),
    };
    return client;
}

const atLeast = (what, n, ask) => until(what, async () => (await ask()) >= n, 45_000);

// A frame that was sealed before a ratchet and comes after one that was sealed behind it, on the other track, is lost to
// livekit-client: it keeps no key from before.
const overtaken = "gopher: InvalidKey: valid key missing for participant gopher";

/** Both sides go on opening the other's frames, and none is refused, but what a ratchet of Go's key may overtake. */
async function bothOpen(alice, peer, codec, { index, more = 15, ratcheted = false } = {}) {
    const before = await alice.call("received", "gopher");
    const [video, audio] = [await peer.of("alice", codec), await peer.of("alice", "opus")];
    const mine = (tally) => (index === undefined ? tally.opened : (tally.indices[index] ?? 0));
    await atLeast(`${more} more ${codec} frames opened in Go`, mine(video) + more, async () => mine(await peer.of("alice", codec)));
    await atLeast(`${more} more Opus frames opened in Go`, mine(audio) + more, async () => mine(await peer.of("alice", "opus")));
    await atLeast(`${more} more ${codec} frames decoded in Chromium`, before.frames + more, async () => (await alice.call("received", "gopher")).frames);
    await until("a voice in Chromium", async () => (await alice.call("received", "gopher")).energy > before.energy);
    for (const [name, tally] of Object.entries((await peer.report()).frames)) {
        assert.deepEqual(tally.refused, {}, `${name}: frames that Go refused`);
        assert.equal(tally.clear, 0, `${name}: frames in clear`);
    }
    const errors = (await alice.call("errors")).filter((e) => !ratcheted || e !== overtaken);
    assert.deepEqual(errors, [], "errors of livekit-client");
}

for (const codec of ["vp8", "vp9", "h264"]) {
    describe(`per-participant keys, ${codec}`, () => {
        const room = `keys-${codec}`;
        const keys = { alice: [newKey(), newKey()], gopher: [newKey(), newKey()] };
        let alice, peer;

        before(async () => {
            peer = await startPeer("gopher", room, [`--echo=${codec},opus`], { set: { index: 0, key: keys.gopher[0] } });
            await peer.order({ set: { identity: "alice", index: 0, key: keys.alice[0] } });
            alice = await openPage("alice", room, {
                codec,
                scalability: codec === "vp9" ? "L1T1" : undefined,
                keys: [
                    { identity: "alice", index: 0, key: keys.alice[0] },
                    { identity: "gopher", index: 0, key: keys.gopher[0] },
                ],
            });
            assert.ok(await alice.call("encodes", codec), `this Chromium does not encode ${codec}`);
            await alice.join();
        });
        after(async () => {
            await alice?.close();
            await peer?.close();
        });

        test("each opens the other's frames", async () => {
            await bothOpen(alice, peer, codec, { more: 40 });
            assert.equal((await alice.call("sending")).toLowerCase(), codec);
            assert.deepEqual((await alice.call("received", "gopher")).encrypted, [true, true]);
            assert.ok((await peer.of("alice", codec)).keyframes > 0);
        });

        test("Chromium ratchets its key, Go follows", async () => {
            await alice.call("ratchet", "alice", 0);
            await bothOpen(alice, peer, codec);
        });

        test("Go ratchets its key, Chromium follows", async () => {
            await peer.order({ ratchet: true });
            await bothOpen(alice, peer, codec, { ratcheted: true });
        });

        test("Chromium rotates to a new index", async () => {
            await peer.order({ set: { identity: "alice", index: 1, key: keys.alice[1] } });
            await alice.call("set", "alice", 1, keys.alice[1]);
            await bothOpen(alice, peer, codec, { index: 1 });
        });

        test("Go rotates to a new index", async () => {
            await alice.call("set", "gopher", 1, keys.gopher[1]);
            await peer.order({ set: { index: 1, key: keys.gopher[1] } });
            await peer.order({ use: 1 });
            await bothOpen(alice, peer, codec);
        });
    });
}

describe("VP9 in spatial layers", () => {
    test("Go opens every layer frame", async () => {
        const key = newKey();
        const peer = await startPeer("gopher", "layers", [], { set: { identity: "alice", index: 0, key } });
        const alice = await openPage("alice", "layers", { codec: "vp9", scalability: "L3T3_KEY", keys: [{ identity: "alice", index: 0, key }] });
        await alice.join();
        await atLeast("150 layer frames", 150, async () => (await peer.of("alice", "vp9")).opened);
        for (const tally of Object.values((await peer.report()).frames)) assert.deepEqual(tally.refused, {});
        await alice.close();
        await peer.close();
    });
});

for (const single of [true, false]) {
    describe(`a shared password, ${single ? "one transport" : "two transports"}`, () => {
        test("each opens the other's frames; another password opens nothing, and both sides say so", async () => {
            const room = `password-${single}`;
            const peer = await startPeer("gopher", room, ["--password=correct horse", "--echo=vp8,opus", ...(single ? [] : ["--dual"])]);
            const alice = await openPage("alice", room, { password: "correct horse", single });
            await alice.join();
            await bothOpen(alice, peer, "vp8", { more: 40 });
            const mallory = await openPage("mallory", room, { password: "battery staple", single });
            await mallory.join();
            await until("mallory to be told", async () => (await mallory.call("errors")).some((e) => e.startsWith("gopher:")));
            assert.equal((await mallory.call("received", "gopher")).frames, 0);
            await until("Go to refuse mallory's frames", async () => Object.keys((await peer.of("mallory", "vp8")).refused).length > 0);
            assert.equal((await peer.of("mallory", "vp8")).opened, 0);
            await mallory.close();
            await alice.close();
            await peer.close();
        });
    });
}

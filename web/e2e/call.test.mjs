// The demo as a person sees it: two pages in one encrypted call with the bots, and one with the wrong password.
import assert from "node:assert/strict";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { startBrowser } from "./browser.mjs";
import { bin, freePort, run, until } from "./focus.mjs";

let demo, browser, links, folder;

before(async () => {
    folder = await mkdtemp(join(tmpdir(), "weir-e2e-"));
    const ports = [await freePort(), await freePort(), await freePort()].map(String);
    demo = run(`${bin}/weir-demo`, ["-port", ports[0], "-media-port", ports[1], "-matrix-port", ports[2]], { TMPDIR: folder });
    links = await until("the demo's links", async () => {
        if (demo.child.exitCode !== null) throw new Error(`the demo ended:\n${demo.output()}`);
        const found = demo.output().match(/http:\S+\/call\/\S+/g);
        return found?.length === 2 && found;
    }, 60_000);
    browser = await startBrowser();
});

after(async () => {
    await browser?.close();
    const status = await demo?.stop("SIGINT");
    const left = await readdir(folder);
    await rm(folder, { recursive: true });
    assert.equal(status, 0, demo?.output());
    assert.deepEqual(left, [], "the demo leaves nothing behind");
});

async function open(link, viewport = { width: 1280, height: 800 }) {
    const context = await browser.newContext({ viewport, ignoreHTTPSErrors: true });
    const page = await context.newPage();
    page.on("pageerror", (error) => console.error(error.message));
    await page.goto(link);
    await page.waitForSelector(".stage .tile", { timeout: 45_000 });
    return page;
}

/** Frames that the pictures on a page have shown, by participant. */
const frames = (page) =>
    page.evaluate(() =>
        Object.fromEntries(
            [...document.querySelectorAll(".tile:not(.mirror) video")].map((v) => [
                v.closest(".tile").dataset.identity,
                v.getVideoPlaybackQuality().totalVideoFrames,
            ]),
        ),
    );

/** How loud the sounds on a page are, by participant: the root mean square of 50 ms. */
const loudness = (page) =>
    page.evaluate(async () => {
        const context = new AudioContext();
        await context.resume();
        const heard = [...document.querySelectorAll(".tile audio")].filter((a) => a.srcObject);
        const meters = heard.map((a) => {
            const meter = new AnalyserNode(context, { fftSize: 2048 });
            context.createMediaStreamSource(a.srcObject).connect(meter);
            return [a.closest(".tile").dataset.identity, meter];
        });
        await new Promise((resolve) => setTimeout(resolve, 400));
        const levels = meters.map(([who, meter]) => {
            const samples = new Float32Array(meter.fftSize);
            meter.getFloatTimeDomainData(samples);
            return [who, Math.sqrt(samples.reduce((sum, s) => sum + s * s, 0) / samples.length)];
        });
        await context.close();
        return Object.fromEntries(levels);
    });

async function seesThree(page) {
    const start = await frames(page);
    return until("three moving pictures of others", async () => {
        const now = await frames(page);
        return Object.entries(now).filter(([who, n]) => n > (start[who] ?? 0) + 5).length >= 3;
    });
}

describe("the demo call", () => {
    let alice, bob;

    before(async () => {
        alice = await open(links[0]);
        bob = await open(links[1]);
    });

    test("both see each other and the bots, decrypted", async () => {
        for (const page of [alice, bob]) {
            await seesThree(page);
            assert.match(await page.textContent("header"), /End-to-end encrypted/);
            const notices = await page.locator(".notice").allTextContents();
            assert.deepEqual(notices.filter(Boolean), []);
        }
        if (process.env.PICTURE) await alice.screenshot({ path: process.env.PICTURE });
    });

    test("both hear each other and the bots", async () => {
        for (const page of [alice, bob]) {
            await until("three voices", async () => Object.values(await loudness(page)).filter((l) => l > 0.001).length >= 3);
        }
    });

    test("mute, camera, views and stats answer to their buttons", async () => {
        const press = async (id, on) => {
            await alice.click(`#${id}`);
            await alice.waitForSelector(`#${id}[aria-pressed="${on}"]`);
        };
        await press("microphone", "false");
        await bob.waitForSelector(".tile:not(.mirror) .name.muted");
        await press("microphone", "true");
        await press("camera", "false");
        await press("camera", "true");
        await press("view", "true");
        await alice.waitForSelector(".stage.speaker .tile.large");
        await press("view", "false");
        await press("stats-button", "true");
        await until("numbers", async () => /kb\/s/.test((await alice.locator(".stats").allTextContents()).join()));
    });

    test("a wrong password shows undecryptable video, not a crash", async () => {
        const mallory = await open(links[1].replace(/password=[^&]+/, "password=wrong"), { width: 420, height: 800 });
        const errors = [];
        mallory.on("pageerror", (error) => errors.push(error.message));
        await mallory.getByText("can't be decrypted").first().waitFor({ timeout: 30_000 });
        assert.equal(await mallory.locator(".controls #leave").count(), 1);
        assert.deepEqual(errors, []);
        await mallory.click("#leave");
        await mallory.getByText("You left the call").waitFor();
    });

    test("leaving takes the tile away and the membership with it", async () => {
        await bob.click("#leave");
        await bob.getByText("You left the call").waitFor();
        await until("bob's tile to go", async () => !Object.keys(await frames(alice)).some((who) => who.includes("bob:")), 20_000);
    });
});

// The call page in an encrypted room of a real homeserver: each participant has keys of its own, which go to the others'
// devices by Olm, as unmodified Element Call sends and wants them.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openCallPage } from "./callpage.mjs";
import { startWorld } from "./element.mjs";
import { until } from "./focus.mjs";

let world, alice, bob, carol, dave, room;
const open = [];

before(async () => {
    world = await startWorld({ registered: "assert", config: { web: { call: true } } });
    [alice, bob, carol, dave] = await Promise.all(["alice", "bob", "carol", "dave"].map((name) => world.synapse.register(name)));
    room = await alice.createRoom({ encrypted: true, invite: [bob, carol, dave] });
});

after(async () => {
    await Promise.all(open.map((window) => window.close()));
    await world?.close();
});

const enter = async (user, options) => {
    const page = await openCallPage(world, user, room, options);
    open.push(page);
    return page;
};

/** Runs a step and, should it fail, tells what the pages said. */
const step = async (act) => {
    try {
        await act();
    } catch (error) {
        for (const window of open) console.error(await window.report());
        throw error;
    }
};

let pages, element;

test("two pages decode each other without any password", async () => {
    const from = Date.now();
    pages = [await enter(alice), await enter(bob)];
    await step(() => Promise.all([pages[0].sees(bob), pages[1].sees(alice)]));
    console.log(`two pages see each other ${Date.now() - from} ms after the first was opened`);
    for (const { page, notices } of pages) {
        assert.match(await page.textContent("header"), /each member with keys of their own/);
        assert.equal(await page.locator(".tile .lock:visible").count(), 2);
        assert.deepEqual(await notices(), []);
    }
});

test("so do a page and unmodified Element Call", async () => {
    const from = Date.now();
    element = await world.host(carol, room, "compatibility");
    open.push(element);
    await element.call();
    await step(() => Promise.all([element.sees(2), ...pages.map((page) => page.sees(carol))]));
    console.log(`Element Call and two pages see each other ${Date.now() - from} ms after it was opened`);
    const { keys, errors } = await element.seen();
    assert.deepEqual(errors, []);
    assert.ok(keys.length >= 2 && keys.every((key) => key.encrypted), "the pages' keys came encrypted");
});

test("a page that has no key says so", async () => {
    const late = await enter(dave, { password: "not of this call" });
    await step(() => late.page.getByText(/can't be decrypted: the password differs|can't be decrypted: their key has not come/).first().waitFor({ timeout: 30_000 }));
    for (const page of pages) {
        await step(() => page.page.getByText("dave can't be decrypted").waitFor({ timeout: 30_000 }));
        await page.sees(carol);
    }
    await late.leave();
});

test("all go on with new keys when somebody has left", async () => {
    const before = pages.map((page, i) => page.keyOf(pages[1 - i].user));
    await element.hangup();
    await until("carol's membership to end", async () => (await alice.stateMembers(room)).every((event) => event.sender !== carol.id));
    await step(() => until("new keys of the others", async () => pages.every((page, i) => page.keyOf(pages[1 - i].user) > before[i])));
    await step(() => Promise.all([pages[0].sees(bob), pages[1].sees(alice)]));
    await until("no complaint", async () => (await Promise.all(pages.map((page) => page.notices()))).flat().length === 0);
    console.log(`keys of the other: ${before} before, ${pages.map((page, i) => page.keyOf(pages[1 - i].user))} after`);
});

test("who leaves is no member and no device any more", async () => {
    await pages[1].leave();
    await until("the membership to end", async () => (await alice.stateMembers(room)).every((event) => event.sender !== bob.id));
    await until("the device to end", async () => (await bob.call("GET", "/_matrix/client/v3/devices")).devices.length === 1);
});

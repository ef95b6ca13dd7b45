// A bot of ours and unmodified Element Call in an encrypted room: each reads the other's keys and frames, also after a
// third member has left and everybody has new keys.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { startWorld } from "./element.mjs";
import { bin, run, until } from "./focus.mjs";

let world, alice, carol, robot, room, hosts, bot;

/** What the bot said last. */
const said = () => bot.output().trim().split("\n").findLast((line) => line.startsWith("{") && line.endsWith("}"));
const report = () => JSON.parse(said() ?? "{}");
const opened = (user, codec) => report().frames?.[`${user.id}:${user.device} ${codec}`];
const total = (user, codec) => opened(user, codec)?.opened ?? 0;
const newest = (user, codec) => Math.max(-1, ...Object.keys(opened(user, codec)?.indices ?? {}).map(Number));

before(async () => {
    world = await startWorld({ registered: "assert" });
    [alice, carol, robot] = await Promise.all(["alice", "carol", "robot"].map((name) => world.synapse.register(name)));
    room = await alice.createRoom({ encrypted: true, invite: [carol, robot] });
    hosts = await Promise.all([alice, carol].map((user) => world.host(user, room, "compatibility")));
    await Promise.all(hosts.map((host) => host.call()));
    await Promise.all(hosts.map((host) => host.sees(1)));
    bot = run(`${bin}/weir-bench`, ["call", "--homeserver", world.synapse.http, "--user", robot.id, "--room", room], { WEIR_BENCH_PASSWORD: robot.password });
});

after(async () => {
    await bot?.stop();
    await Promise.all((hosts ?? []).map((host) => host.close()));
    await world?.close();
});

test("both sides decrypt picture and voice", async () => {
    try {
        await until("the bot to open what both send", async () => [alice, carol].every((user) => total(user, "vp8") > 20 && total(user, "opus") > 20), 60_000);
        await Promise.all(hosts.map((host) => host.sees(2)));
    } catch (error) {
        console.log(bot.output().slice(-4000), await hosts[0].report());
        throw error;
    }
    assert.equal(report().members.length, 2);
});

test("it goes on with new keys when a third member has left", async () => {
    const [first, second] = hosts;
    const own = () => Math.max(...[...bot.output().matchAll(/own key in use.* index=(\d+)/g)].map((found) => Number(found[1])));
    const before = { alice: newest(alice, "vp8"), own: own() };
    await second.hangup();
    await until("carol's membership to end", async () => (await alice.stateMembers(room)).every((event) => event.sender !== carol.id));
    await until("new keys on both sides", async () => own() > before.own && newest(alice, "vp8") > before.alice, 30_000);
    const counts = [total(alice, "vp8"), total(alice, "opus")];
    await first.receives();
    await until("the bot to open more", async () => total(alice, "vp8") > counts[0] + 20 && total(alice, "opus") > counts[1] + 20);
    // A frame that overtakes its key cannot be opened; after the change there must be none such.
    const refused = Object.values(opened(alice, "vp8").refused).reduce((a, b) => a + b, 0);
    await until("the bot to open still more", async () => total(alice, "vp8") > counts[0] + 60);
    assert.equal(Object.values(opened(alice, "vp8").refused).reduce((a, b) => a + b, 0), refused, said());
    console.log(`frames of alice by key: ${JSON.stringify(opened(alice, "vp8").indices)}; own key ${own()}`);
});

test("a bot that ends is no member any more", async () => {
    assert.equal(await bot.stop(), 0, bot.output().slice(-2000));
    assert.ok((await alice.stateMembers(room)).every((event) => event.sender !== robot.id));
});
